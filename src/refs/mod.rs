//! Reading refs, deciding about them, and changing them.

pub mod alternates;
pub mod identity;
pub mod lock;
pub mod loose;
pub mod name;
pub mod packed;
pub mod packed_write;
pub mod paths;
pub mod reflog;
pub mod snapshot;
pub mod transaction;
pub mod visibility;
