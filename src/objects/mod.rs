//! How bytes become objects that nobody else can see yet, and what those must be.

pub mod ancestry;
pub mod database;
