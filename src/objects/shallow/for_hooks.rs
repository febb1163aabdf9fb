//! The roots that a push would add, for hooks: while it is not decided whether the repository takes them over, a hook's git
//! needs them all the same, or it would miss the parents of new commits.

use std::{ffi::OsString, fs, io::Write, path::PathBuf};

use anyhow::{Context, Result};
use gix::ObjectId;

use super::{Shallow, lines};
use crate::{
    interrupt::{Doomed, Interrupts},
    repository::Repository,
};

/// The variable that makes git take another file for `shallow`.
pub const VARIABLE: &str = "GIT_SHALLOW_FILE";

/// What the file is called in the quarantine of a push that is voted upon.
pub const IN_QUARANTINE: &str = "shallow";

/// What such a file says: the repository's roots in the order of their names, then all that the `client` sent.
pub fn content(shallow: &Shallow, client: &[ObjectId]) -> Vec<u8> {
    let mut own = shallow.roots().to_vec();
    own.sort();
    lines(own.iter().chain(client))
}

/// Such a file in the git directory, which goes when the value is dropped or a signal ends the process.
#[derive(Debug)]
pub struct RootsForHooks {
    path: PathBuf,
    doomed: Option<Doomed>,
}

impl RootsForHooks {
    /// Write a new file `shallow_XXXXXX`.
    pub fn write(repository: &Repository, interrupts: &Interrupts, content: &[u8]) -> Result<Self> {
        let cannot = || format!("cannot write the shallow roots of this push in '{}'", repository.git_dir.display());
        let _whole = interrupts.hold_off();
        let file = tempfile::Builder::new().prefix("shallow_").tempfile_in(&repository.git_dir).with_context(cannot)?;
        file.as_file().write_all(content).with_context(cannot)?;
        let (_, path) = file.keep().with_context(cannot)?;
        Ok(RootsForHooks { doomed: Some(interrupts.doom(path.clone())), path })
    }

    /// What hooks get.
    pub fn environment(&self) -> [(&'static str, OsString); 1] {
        [(VARIABLE, self.path.clone().into_os_string())]
    }
}

impl Drop for RootsForHooks {
    fn drop(&mut self) {
        if let Some(doomed) = self.doomed.take() {
            doomed.settle(|| fs::remove_file(&self.path)).ok();
        }
    }
}
