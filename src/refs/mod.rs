//! Reading refs, deciding about them, and changing them.

pub mod advice;
pub mod aliases;
pub mod checkout;
pub mod loose;
pub mod name;
pub mod packed;
pub mod policy;
pub mod snapshot;
pub mod symbolic;
pub mod visibility;
pub mod worktrees;
