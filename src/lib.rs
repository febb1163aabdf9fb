//! A drop-in replacement for `git-receive-pack`, the program that a `git push` talks to.
//!
//! The binary is [`cli`] and [`serve`]; everything else is called from there or below. ARCHITECTURE.md has the map.

// A stderr that is gone must not end a push.
#![deny(clippy::print_stderr)]

#[macro_use]
pub mod stderr;
#[macro_use]
mod words;

pub mod balanced;
pub mod certificate;
pub mod cli;
pub mod command;
pub mod config;
pub mod durable;
pub mod git;
pub mod hooks;
pub mod interrupt;
pub mod lane;
pub mod maintenance;
pub mod objects;
pub mod refs;
pub mod repository;
pub mod serve;
pub mod shared_mode;
pub mod shares;
pub mod system_error;
pub mod trace;
pub mod wire;
