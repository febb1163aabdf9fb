//! Reading refs, deciding about them, and changing them.

pub mod alternates;
pub mod loose;
pub mod name;
pub mod packed;
pub mod snapshot;
pub mod visibility;
