//! What a push must bring: everything that its new values reach and the repository's refs do not.

mod random;
#[path = "../support/mod.rs"]
pub mod support;
mod world;
