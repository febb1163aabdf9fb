//! What follows a push: git's own upkeep of the repository, which is started where it is due and never imitated.

mod due;
pub mod server_info;

use std::{
    io::ErrorKind,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    config::Config,
    git::{self, Heard},
    interrupt::Interrupts,
    repository::Repository,
    trace,
    wire::sideband::Sideband,
};

/// Run `git maintenance run --auto --quiet`, unless the configuration says not to, it would surely find nothing to do, or
/// there is no git; what it says goes to the person who pushed. Who traces sees it started in any case, as git's trace has it.
///
/// Returns when it has ended or detached itself. Whether it succeeded says nothing about the push.
pub fn run(repository: &Repository, config: &Config, sideband: &Sideband, interrupts: &Interrupts) -> Result<()> {
    let is_wanted = config.auto_gc && config.auto_maintenance;
    if !is_wanted || !(trace::is_on() || due::may_be(repository, &config.values)) {
        return Ok(());
    }
    interrupts.lasts();
    let mut git = Command::new("git");
    let detach = if config.detach_maintenance { "--detach" } else { "--no-detach" };
    git.args(["maintenance", "run", "--auto", "--quiet", detach]);
    git.current_dir(&repository.git_dir).env("GIT_DIR", ".").stdin(Stdio::null());
    match git::run(git, Heard::Both, sideband) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map(drop).context("cannot run 'git maintenance'"),
    }
}
