//! How bytes become objects that nobody else can see yet, and what those must be.

pub mod alternates;
pub mod ancestry;
pub mod connectivity;
pub mod database;
pub mod fsck;
pub mod held;
pub mod history;
pub mod intake;
mod known;
pub mod link;
mod loose;
mod met;
pub mod migrate;
pub mod packs;
pub mod quarantine;
mod recent;
pub mod removals;
pub mod shallow;
mod spelled;
mod staged;
pub mod tree_entries;
