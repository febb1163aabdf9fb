//! What goes over the wire, and nothing of what is decided about it.

pub mod advertise;
pub mod client;
pub mod packet;
pub mod push_cert;
pub mod report;
pub mod request;
pub mod sideband;
