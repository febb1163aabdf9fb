//! What dead pushes left and somebody has to be asked or told about: a push of other refs does not wait for that, so a
//! process of its own does it beside the push that has found it.

use std::{
    io::{self, PipeReader, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bstr::{BStr, BString, ByteSlice};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    recover::{Asked, Outcome},
    settle::settle,
};
use crate::{
    config::Config,
    refs::{
        loose::{self, Loose},
        name::prefixes,
    },
    repository::Repository,
};

/// How long a push that has nothing to do with it waits when all else is done: mostly it has ended by then.
pub const MOMENT: Duration = Duration::from_secs(1);

/// How long a push waits whose refs it is about, where `receive.balancedTimeout` is 0.
const LONG: Duration = Duration::from_secs(60);

/// How many symrefs a name may lead through.
const MAX_DEPTH: usize = 5;

/// A recovery at work.
pub struct Beside {
    /// Says what stays in doubt, and ends with it.
    heard: PipeReader,
    /// The refs that are locked until their hook was asked.
    refs: Vec<BString>,
}

impl Beside {
    /// Settle what dead pushes left, as far as that can be done at once; for the rest a process is started. `None` if there is
    /// no rest.
    pub fn begin(repository: &Repository, config: &Config) -> Result<Option<Self>> {
        let mut open: Option<Vec<BString>> = None;
        for finding in settle(repository, config, Asked::ByPush)? {
            match finding.outcome {
                Outcome::Open(refs) => open.get_or_insert_default().extend(refs),
                _ if finding.outcome.is_in_doubt() => say!("warning: {finding}"),
                _ => {}
            }
        }
        let Some(refs) = open else { return Ok(None) };
        match start(repository) {
            Ok(heard) => Ok(Some(Beside { heard, refs })),
            Err(err) => {
                say!("error: {err:#}");
                Ok(None)
            }
        }
    }

    /// If one of the refs of these full names cannot change before that is over, or not under its name, wait for its end, as
    /// long as a hook may take. True if it was waited for.
    pub fn wait_if_it_concerns(
        &mut self,
        mut names: impl Iterator<Item = BString>,
        repository: &Repository,
        config: &Config,
    ) -> bool {
        let concerns = names.any(|name| {
            let target = resolved(repository, name.as_ref());
            self.refs.iter().any(|held| [&name, &target].into_iter().any(|name| exclude_each_other(held, name)))
        });
        if concerns {
            self.wait(config.balanced_timeout.unwrap_or(LONG));
        }
        concerns
    }

    /// Wait for its end, but no longer than this; pass on what it says.
    pub fn wait(&mut self, limit: Duration) {
        let deadline = Instant::now().checked_add(limit);
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let left = deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
            // One millisecond more, since what is left of one is cut off.
            let left = PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.heard.as_fd(), PollFlags::POLLIN)], left) {
                Err(Errno::EINTR) => continue,
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            match self.heard.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => said.extend_from_slice(&buffer[..length]),
            }
        }
        said.lines().for_each(|line| say!("warning: {}", line.as_bstr()));
    }
}

/// Start this program once more, apart from everything that the client may wait for.
fn start(repository: &Repository) -> Result<PipeReader> {
    let cannot = "cannot start the recovery of what dead pushes left";
    let (heard, says) = io::pipe().context(cannot)?;
    Command::new("/proc/self/exe")
        .arg0("git-receive-pack")
        .arg("--recover-beside")
        .arg(&repository.git_dir)
        .stdin(Stdio::null())
        .stdout(says)
        .stderr(Stdio::null())
        .spawn()
        .context(cannot)?;
    Ok(heard)
}

/// True if these are one name, or cannot both be refs.
fn exclude_each_other(a: &BString, b: &BString) -> bool {
    let is_below = |a: &BString, b: &BString| prefixes(a.as_ref()).any(|prefix| prefix == b);
    a == b || is_below(a, b) || is_below(b, a)
}

/// What `name` leads to through symrefs.
fn resolved(repository: &Repository, name: &BStr) -> BString {
    let mut name = name.to_owned();
    for _ in 0..MAX_DEPTH {
        match loose::read_ref(repository, name.as_ref()) {
            Loose::Symbolic(target) => name = target,
            _ => break,
        }
    }
    name
}
