//! Reading refs, deciding about them, and changing them.

pub mod absent;
pub mod advice;
pub mod aliases;
pub mod alternates;
pub mod checkout;
pub mod date;
pub mod entry;
pub mod git_lock;
pub mod identity;
pub mod lock;
pub mod loose;
pub mod mark;
pub mod name;
pub mod packed;
pub mod packed_write;
pub mod paths;
mod plain;
pub mod policy;
pub mod reflog;
pub mod reftable;
mod scan;
pub mod snapshot;
pub mod store;
pub mod symbolic;
pub mod transaction;
pub mod visibility;
pub mod worktrees;
