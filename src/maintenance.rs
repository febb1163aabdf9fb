//! What follows a push: git's own upkeep of the repository, which is started and never imitated.
//!
//! It may well find nothing to do, but what it looks at for that depends on which git is installed (up to 2.53 the number
//! of loose objects and packs, later also whether refs want packing, the commit-graph growing …) and on
//! `maintenance.<task>.*`. Only that git can say so; to guess in its place would be to skip upkeep that is due.

pub mod server_info;

use std::{
    io::{self, ErrorKind, Read},
    iter,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{config::Config, repository::Repository, trace, wire::sideband::Sideband};

/// Run `git maintenance run --auto --quiet`, unless the configuration says not to or there is no git; what it says goes to
/// the person who pushed.
///
/// Returns when it has ended or detached itself. Whether it succeeded says nothing about the push.
pub fn run(repository: &Repository, config: &Config, sideband: &Sideband) -> Result<()> {
    if !config.auto_gc || !config.auto_maintenance {
        return Ok(());
    }
    let failed = "cannot run 'git maintenance'";
    let mut git = Command::new("git");
    let detach = if config.detach_maintenance { "--detach" } else { "--no-detach" };
    git.args(["maintenance", "run", "--auto", "--quiet", detach]);
    git.current_dir(&repository.git_dir).env("GIT_DIR", ".").stdin(Stdio::null());
    git.envs(trace::for_children().into_iter().flatten());
    let traced = trace::child(None, iter::once(git.get_program()).chain(git.get_args()));
    if !sideband.is_multiplexed() {
        let stderr = io::stderr().as_fd().try_clone_to_owned().context(failed)?;
        let Some(mut child) = skip_without_git(git.stdout(stderr).spawn()).context(failed)? else { return Ok(()) };
        return end(&mut child, traced).context(failed);
    }
    let (mut output, input) = io::pipe().context(failed)?;
    git.stdout(input.try_clone().context(failed)?).stderr(input);
    let Some(mut child) = skip_without_git(git.spawn()).context(failed)? else { return Ok(()) };
    // It holds the writing end, and the end of the output would never come.
    drop(git);
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => sideband.tell(&buffer[..len]),
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err).context("cannot read what 'git maintenance' says"),
        }
    }
    end(&mut child, traced).context(failed)
}

fn end(child: &mut Child, traced: Option<trace::Child>) -> io::Result<()> {
    let status = child.wait()?;
    if let Some(traced) = traced {
        traced.ended(child.id(), status);
    }
    Ok(())
}

fn skip_without_git<T>(started: io::Result<T>) -> io::Result<Option<T>> {
    match started {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        started => started.map(Some),
    }
}
