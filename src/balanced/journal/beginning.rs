//! What a journal is before anybody can find it: a file under another name, the flock on it, and the first mark beside it.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    balanced::transaction_id::TransactionId,
    interrupt::Doomed,
    refs::{
        lock::{Held, Locksmith, MadeDirectories},
        mark::Mark,
    },
    shared_mode::create_dir,
};

/// A file that is locked before anybody can find it under the name of a journal.
pub(super) fn create(
    directory: &Path,
    id: &TransactionId,
    locksmith: Locksmith<'_>,
) -> io::Result<(Flock<File>, Temporary)> {
    let path = directory.join(format!("new-{id}"));
    for _ in 0..100 {
        let made = locksmith
            .interrupts
            .create(&path, |path| OpenOptions::new().write(true).create_new(true).mode(0o666).open(path));
        let (file, temporary) = match made {
            Ok((file, doomed)) => (file, Temporary(path.clone(), Some(doomed))),
            // Whoever finishes takes the empty directory along.
            Err(err) if err.kind() == ErrorKind::NotFound => {
                create_dir(directory, locksmith.shared)?;
                continue;
            }
            Err(err) => return Err(err),
        };
        let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| match errno {
            nix::Error::EOPNOTSUPP | nix::Error::ENOSYS | nix::Error::EINVAL | nix::Error::ENOLCK => {
                ErrorKind::Unsupported.into()
            }
            errno => io::Error::from(errno),
        })?;
        // A recovery that came in between took it for what a dead one left.
        if file.metadata()?.nlink() > 0 {
            locksmith.shared.adjust(&path)?;
            return Ok((file, temporary));
        }
    }
    Err(ErrorKind::NotFound.into())
}

/// Have a signal remove the directory of journals if no other journal is in it. To be called before it gets one, since what was
/// registered last goes first.
pub(super) fn goes_when_empty(directory: &Path, locksmith: Locksmith<'_>) -> io::Result<Doomed> {
    locksmith.interrupts.create_directory(directory, |_| Ok(()))
}

/// A file that goes unless it was renamed.
pub(super) struct Temporary(PathBuf, Option<Doomed>);

impl Temporary {
    /// Where it is until then.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// It has another name now.
    pub(super) fn renamed(mut self) {
        self.1 = None;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(doomed) = self.1.take() {
            doomed.remove(&self.0, |path| std::fs::remove_file(path));
        }
    }
}

/// Make the mark that all others of transaction `id` are names of. This is where a file system that knows no symbolic links is
/// found out, before anything depends on them.
pub(super) fn first_mark(directory: &Path, id: &TransactionId, locksmith: Locksmith<'_>) -> io::Result<(Mark, Held)> {
    let (path, text) = (directory.join(first_mark_name(id)), id.link_text());
    let no_time = Some(Duration::ZERO);
    let held = locksmith.mark(&path, &Mark::new(text.clone()), no_time, &mut MadeDirectories::default());
    let held = held.map_err(|_| io::Error::from(ErrorKind::Unsupported))?;
    Ok((Mark::with_first(text, path), held))
}

/// What that one is called, in the directory of journals.
pub(super) fn first_mark_name(id: &TransactionId) -> String {
    format!("new-{id}.link")
}
