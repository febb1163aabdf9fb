//! How bytes become objects that nobody else can see yet, and what those must be.

pub mod alternates;
pub mod ancestry;
pub mod bases;
pub mod connectivity;
pub mod database;
pub mod decode;
pub mod delta;
pub mod entries;
pub mod history;
pub mod index;
pub mod intake;
pub mod lane;
pub mod link;
pub mod migrate;
pub mod pack_index;
pub mod pack_stream;
pub mod packs;
pub mod plan;
pub mod progress;
pub mod quarantine;
pub mod resolve;
pub mod rows;
pub mod shallow;
mod strict;
pub mod unpack;
pub mod visit;
