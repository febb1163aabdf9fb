//! Adding roots to the `shallow` file: under its lock, and before the refs that need them.
//!
//! A root too many harms nobody, since no ref reaches it; a ref without its root is broken. The lock is held until the refs
//! are written, because until then `git prune` takes the new roots for unused. Lock and staged file bear the transaction's
//! name, so that what a dead process left of them is known again.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};
use gix::ObjectId;

use super::{Shallow, inherited, own_path};
use crate::{
    balanced::transaction_id::TransactionId,
    config::Config,
    interrupt::Interrupts,
    refs::{
        lock::{Held, Locksmith, MadeDirectories, is_marked, sync_directory},
        mark::Mark,
    },
    repository::Repository,
    system_error::words,
};

/// The `shallow` file, locked. Dropping it frees the lock, and removes what is staged.
pub struct Locked<'a> {
    locksmith: Locksmith<'a>,
    /// The file that is replaced: where `shallow` leads if it is a symbolic link, for that is where git looks for the lock.
    path: PathBuf,
    shallow: Shallow,
    /// Synced: it must outlast the machine.
    durable: bool,
    staged: Option<Held>,
    lock: Held,
}

/// The roots that a push under a vote adds, staged.
pub struct NewRoots<'a> {
    /// What is added, for a recovery to know; some may be in the file by now.
    pub roots: Vec<ObjectId>,
    /// The file that they go into.
    pub locked: Locked<'a>,
}

impl<'a> Locked<'a> {
    /// Lock the file for transaction `id`, waiting up to `timeout` for another holder, and read it as it is then. What is made
    /// is synced if it is to be `durable`.
    ///
    /// Fails if the lock cannot be had, and if `GIT_SHALLOW_FILE` says otherwise than the file does: nobody knows then which of
    /// them is right.
    pub fn take(
        repository: &Repository,
        config: &Config,
        interrupts: &'a Interrupts,
        id: &TransactionId,
        durable: bool,
        timeout: Option<Duration>,
    ) -> Result<Self> {
        let locksmith = Locksmith { interrupts, shared: config.shared_repository };
        let path = target(&repository.common_dir);
        let lock = lock_of(&path);
        let made = &mut MadeDirectories::default();
        let taken = match locksmith.mark(&lock, &Mark::new(id.link_text()), timeout, made) {
            // Where there are no symbolic links, git's own kind of lock will do; nobody votes there.
            Err(err) if err.kind() != ErrorKind::AlreadyExists => locksmith.file(&lock, b"", false, timeout, made),
            taken => taken,
        };
        let lock = taken.map_err(|err| match err.kind() {
            ErrorKind::AlreadyExists => anyhow!("Unable to create '{}': File exists.", lock.display()),
            _ => anyhow!("Unable to create '{}': {}", lock.display(), words(&err)),
        })?;
        let shallow = Shallow::read_from(&path, repository.hash)?;
        if let Some(other) = inherited(repository) {
            let other = Shallow::read_from(&other, repository.hash)?;
            ensure!(other == shallow, "GIT_SHALLOW_FILE says otherwise than '{}'", path.display());
        }
        Ok(Locked { locksmith, path, shallow, durable, staged: None, lock })
    }

    /// What the file says.
    pub fn shallow(&self) -> &Shallow {
        &self.shallow
    }

    /// Write a file that has these roots as well, to be put in its place; none if it has them all.
    pub fn stage(&mut self, roots: impl IntoIterator<Item = ObjectId>, id: &TransactionId) -> Result<()> {
        let Some(content) = self.shallow.content_with(roots) else { return Ok(()) };
        let staged = self.write(&content, id);
        self.staged = Some(staged.map_err(|err| anyhow!("cannot write '{}': {}", self.path.display(), words(&err)))?);
        Ok(())
    }

    fn write(&self, content: &[u8], id: &TransactionId) -> io::Result<Held> {
        let (mut file, staged) = self.locksmith.create(&staged_for(&self.path, id))?;
        file.write_all(content)?;
        if self.durable {
            file.sync_all()?;
            self.sync_names()?;
        }
        Ok(staged)
    }

    /// Put what is staged in the file's place. The lock stays.
    pub fn put_in_place(&mut self) -> Result<()> {
        let Some(staged) = &mut self.staged else { return Ok(()) };
        let _whole = self.locksmith.interrupts.hold_off();
        let put = staged.rename_to(&self.path).and_then(|()| if self.durable { self.sync_names() } else { Ok(()) });
        put.map_err(|err| anyhow!("cannot write '{}': {}", self.path.display(), words(&err)))
    }

    /// Leave everything where it is, for a recovery to find.
    pub fn leave(mut self) {
        self.lock.leave();
        self.staged.iter_mut().for_each(Held::leave);
    }

    fn sync_names(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), sync_directory)
    }
}

/// Take away what transaction `id`, whose process is dead, may have left here.
pub fn clean_up(common_dir: &Path, id: &TransactionId) -> io::Result<()> {
    let path = target(common_dir);
    let lock = lock_of(&path);
    let is_ours = is_marked(&lock, &id.link_text())?;
    let staged = fs::remove_file(staged_for(&path, id));
    let freed = if is_ours { fs::remove_file(&lock) } else { Ok(()) };
    [staged, freed].into_iter().try_for_each(|removed| match removed {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
}

fn target(common_dir: &Path) -> PathBuf {
    let path = own_path(common_dir);
    path.canonicalize().unwrap_or(path)
}

fn lock_of(path: &Path) -> PathBuf {
    with_suffix(path, ".lock")
}

fn staged_for(path: &Path, id: &TransactionId) -> PathBuf {
    with_suffix(path, &format!(".{}", id.link_text()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
