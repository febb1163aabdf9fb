//! Where the objects of a push wait until the push is accepted: a directory that no other process looks into.
//!
//! It lies inside the object directory, so that moving its files out is a rename, and under a name that `git prune`
//! knows, so that one left behind by a power failure goes away some day: but in balanced mode, where it must outlast a vote
//! and a recovery knows it. Dropping it removes everything in it.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{DirBuilderExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::{
    balanced::transaction_id::TransactionId,
    config::{Config, SharedRepository},
    interrupt::{Doomed, Interrupts},
    objects::shallow::for_hooks,
    repository::Repository,
};

/// The objects of one push, kept apart from the repository's.
#[derive(Debug)]
pub struct Quarantine {
    dir: PathBuf,
    pub(super) objects_dir: PathBuf,
    pub(super) interrupts: Interrupts,
    pub(super) shared: SharedRepository,
    environment: Vec<(&'static str, OsString)>,
    /// True if the objects in it were seen to name none but each other.
    pub is_closed: bool,
    /// `None` once it is to stay.
    doomed: Option<Doomed>,
    /// Shows, where the name does not have git's meaning, that somebody lives who uses it.
    _owned: Option<Flock<File>>,
}

impl Quarantine {
    /// Make an empty one. It and all it holds goes when the value is dropped or a signal ends the process.
    pub fn create(repository: &Repository, config: &Config, interrupts: &Interrupts) -> Result<Self> {
        let objects_dir = &repository.objects_dir;
        let held_off = interrupts.hold_off();
        let dir = tempfile::Builder::new()
            .prefix("tmp_objdir-incoming-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(objects_dir)
            .with_context(|| cannot_create(objects_dir))?
            .keep();
        let doomed = interrupts.doom(dir.clone());
        drop(held_off);
        Self::new(repository, config, interrupts, dir, doomed, None)
    }

    /// Make one for a transaction that is to be voted upon: no `git prune` takes it, however long the vote lasts.
    ///
    /// It is locked (flock) for as long as this process lives, and never found unlocked under its name.
    pub fn create_for(
        id: &TransactionId,
        repository: &Repository,
        config: &Config,
        interrupts: &Interrupts,
    ) -> Result<Self> {
        let objects_dir = &repository.objects_dir;
        let dir = objects_dir.join(name_for(id));
        let unfinished = objects_dir.join(format!("tmp_objdir-{}", name_for(id)));
        let held_off = interrupts.hold_off();
        let make = || -> Result<_> {
            DirBuilder::new().mode(0o700).create(&unfinished)?;
            let doomed = (interrupts.doom(unfinished.clone()), interrupts.doom(dir.clone()));
            let owned = Flock::lock(File::open(&unfinished)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
            fs::rename(&unfinished, &dir)?;
            Ok((doomed.1, owned))
        };
        let made = make();
        if made.is_err() {
            fs::remove_dir(&unfinished).ok();
        }
        drop(held_off);
        let (doomed, owned) = made.with_context(|| cannot_create(objects_dir))?;
        Self::new(repository, config, interrupts, dir, doomed, Some(owned))
    }

    /// Take over the one that a dead process left at `dir`, which stays when the value is dropped.
    pub fn adopt(dir: PathBuf, repository: &Repository, config: &Config, interrupts: &Interrupts) -> Result<Self> {
        let doomed = interrupts.doom(dir.clone());
        let mut this = Self::new(repository, config, interrupts, dir, doomed, None)?;
        this.doomed = None;
        let roots = this.dir.join(for_hooks::IN_QUARANTINE);
        if roots.exists() {
            this.environment.push((for_hooks::VARIABLE, roots.into_os_string()));
        }
        Ok(this)
    }

    fn new(
        repository: &Repository,
        config: &Config,
        interrupts: &Interrupts,
        dir: PathBuf,
        doomed: Doomed,
        owned: Option<Flock<File>>,
    ) -> Result<Self> {
        let this = Quarantine {
            environment: environment(repository, &dir),
            is_closed: false,
            dir,
            objects_dir: repository.objects_dir.clone(),
            interrupts: interrupts.clone(),
            shared: config.shared_repository,
            doomed: Some(doomed),
            _owned: owned,
        };
        let adjusted = this.shared.adjust(&this.dir);
        adjusted.with_context(|| format!("cannot set the permissions of '{}'", this.dir.display()))?;
        Ok(this)
    }

    /// The directory: an object directory like any other, with loose objects and `pack/`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The variables that let a hook's git see the new objects beside the repository's own: `GIT_QUARANTINE_PATH`,
    /// which also forbids it to update refs, `GIT_OBJECT_DIRECTORY` and `GIT_ALTERNATE_OBJECT_DIRECTORIES` (git(1)).
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.environment.clone()
    }

    /// The same without the one that forbids to update refs: for a git that is to do just that.
    pub fn variables_for_objects(&self) -> Vec<(&'static str, OsString)> {
        self.environment.iter().filter(|(name, _)| *name != "GIT_QUARANTINE_PATH").cloned().collect()
    }

    /// Show these roots of a shallow history to hooks, for as long as they are shown the objects.
    pub fn show_roots(&mut self, content: &[u8]) -> Result<()> {
        let path = self.dir.join(for_hooks::IN_QUARANTINE);
        let written = fs::write(&path, content).and_then(|()| self.shared.adjust(&path));
        written.with_context(|| format!("cannot write '{}'", path.display()))?;
        self.environment.push((for_hooks::VARIABLE, path.into_os_string()));
        Ok(())
    }

    /// Leave it where it is, for a recovery to find.
    pub fn leave(mut self) {
        self.doomed = None;
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        // A guard of its packs that could not be removed is known by its twin in here.
        if let Some(doomed) = self.doomed.take().filter(|_| !self.interrupts.has_left()) {
            doomed.remove(&self.dir, |dir| fs::remove_dir_all(dir));
        }
    }
}

/// What the quarantine of transaction `id` is called in the object directory.
pub fn name_for(id: &TransactionId) -> String {
    format!("incoming-{id}")
}

fn cannot_create(objects_dir: &Path) -> String {
    format!("cannot create a quarantine directory in '{}'", objects_dir.display())
}

fn environment(repository: &Repository, dir: &Path) -> Vec<(&'static str, OsString)> {
    // git spells the usual place as seen from the git directory that it changed into, and hooks compare such strings.
    let objects = if repository.objects_dir == repository.git_dir.join("objects") {
        let mut spelled = repository.git_dir.clone().into_os_string();
        spelled.push("/./objects");
        spelled
    } else {
        repository.objects_dir.clone().into_os_string()
    };
    let mut own = objects.clone();
    own.push("/");
    own.push(dir.file_name().unwrap_or_default());

    let mut alternates = repository.inherited_alternates.clone().unwrap_or_default();
    if repository.inherited_alternates.is_some() {
        alternates.push(":");
    }
    alternates.push(quoted_path(objects));
    vec![
        ("GIT_OBJECT_DIRECTORY", own.clone()),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternates),
        ("GIT_QUARANTINE_PATH", own),
    ]
}

/// `path` as one part of a `:`-separated list: quoted as in C where it would be taken apart or unquoted otherwise.
fn quoted_path(path: OsString) -> OsString {
    let bytes = path.as_bytes();
    if !bytes.contains(&b':') && !bytes.starts_with(b"\"") {
        return path;
    }
    let mut quoted = vec![b'"'];
    for &byte in bytes {
        let escape = match byte {
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => byte,
            0x20..0x7f => {
                quoted.push(byte);
                continue;
            }
            _ => {
                quoted.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                continue;
            }
        };
        quoted.extend_from_slice(&[b'\\', escape]);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_list_would_misread_it() {
        assert_eq!(quoted_path("/a b/objects".into()), "/a b/objects");
        assert_eq!(quoted_path("/a:b\"\\\n\u{1}ü".into()), "\"/a:b\\\"\\\\\\n\\001\\303\\274\"");
        assert_eq!(quoted_path("\"x".into()), "\"\\\"x\"");
    }
}
