//! What goes over the wire, and nothing of what is decided about it.

pub mod sideband;
