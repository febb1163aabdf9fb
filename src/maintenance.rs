//! What follows a push: git's own upkeep of the repository, which is started and never imitated.
//!
//! It may well find nothing to do, but what it looks at for that depends on which git is installed (up to 2.53 the number
//! of loose objects and packs, later also whether refs want packing, the commit-graph growing …) and on
//! `maintenance.<task>.*`. Only that git can say so; to guess in its place would be to skip upkeep that is due.

pub mod server_info;

use std::{
    io::ErrorKind,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    config::Config,
    git::{self, Heard},
    repository::Repository,
    wire::sideband::Sideband,
};

/// Run `git maintenance run --auto --quiet`, unless the configuration says not to or there is no git; what it says goes to
/// the person who pushed.
///
/// Returns when it has ended or detached itself. Whether it succeeded says nothing about the push.
pub fn run(repository: &Repository, config: &Config, sideband: &Sideband) -> Result<()> {
    if !config.auto_gc || !config.auto_maintenance {
        return Ok(());
    }
    let mut git = Command::new("git");
    let detach = if config.detach_maintenance { "--detach" } else { "--no-detach" };
    git.args(["maintenance", "run", "--auto", "--quiet", detach]);
    git.current_dir(&repository.git_dir).env("GIT_DIR", ".").stdin(Stdio::null());
    match git::run(git, Heard::Both, sideband) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map(drop).context("cannot run 'git maintenance'"),
    }
}
