//! Reading refs, deciding about them, and changing them.

pub mod identity;
pub mod lock;
pub mod name;
pub mod paths;
pub mod reflog;
