//! What lets a push of several refs commit at one instant, and what a dead one left be told and settled.

pub mod ballot;
pub mod beside;
pub mod format;
pub mod intent;
pub mod journal;
pub mod recover;
pub mod settle;
pub mod survivors;
pub mod transaction_id;
pub mod vote;
