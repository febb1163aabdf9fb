//! What the tests share: throw-away repositories, pushes written byte by byte, both programs run on the same bytes, and
//! a look at everything that they leave behind.
//!
//! A test file takes what it needs with `pub mod support;` (public, so that what one file does not use is no dead code).

pub mod alike;
pub mod balanced;
pub mod beside;
pub mod certificate;
pub mod daemon;
pub mod dice;
pub mod fsck;
pub mod hash_object;
pub mod identities;
pub mod in_front;
pub mod in_process;
pub mod intake;
pub mod keys;
pub mod observe;
pub mod packs;
pub mod push;
pub mod scene;
pub mod server;
pub mod ssh;
pub mod story;
pub mod strace;
pub mod web;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// The program under test.
pub fn ours() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_git-receive-pack"))
}

/// The installed git's own program of the same name, which is the oracle.
pub fn gits() -> PathBuf {
    find_program("git-receive-pack").expect("git is installed")
}

/// Where the shell would find `name`; also in the directories that only root has in its `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(name)).find(|file| file.is_file())
}

/// The path of a program that not every machine has; where it is missing, says how to get it, and the test is skipped.
pub fn optional_program(name: &str, debian_package: &str) -> Option<PathBuf> {
    let found = find_program(name);
    if found.is_none() {
        skipped(&format!("{name} is not installed (Debian: apt-get install {debian_package})"));
    }
    found
}

/// Say that the running test is skipped, and why: past the harness, which shows nothing of a test that passes.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").expect("stderr");
}
