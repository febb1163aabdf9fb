//! Taking the files that lock a ref, and making the directories they need; dropping what is returned undoes both.
//!
//! A lock is `<ref>.lock`, which git makes with O_EXCL and so respects in any form. It is a regular file that holds the
//! new value where it is renamed into place, and a symbolic link that names the transaction where it is a mark alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::mark::Mark;
use crate::{
    config::SharedRepository,
    interrupt::{Doomed, Interrupts},
};

/// What every lock is made with.
#[derive(Debug, Clone, Copy)]
pub struct Locksmith<'a> {
    /// Removes the locks if a signal ends the process.
    pub interrupts: &'a Interrupts,
    /// The permissions of files and directories.
    pub shared: SharedRepository,
}

/// A file or link that this process made and that goes when this value is dropped.
#[derive(Debug)]
#[must_use]
pub struct Held {
    path: PathBuf,
    /// `None` once the path is somebody else's, or a name that stays.
    doomed: Option<Doomed>,
}

/// Directories that were made on the way to a lock. When this is dropped, those that are empty go.
#[derive(Debug, Default)]
pub struct MadeDirectories(Vec<(PathBuf, Doomed)>);

impl Locksmith<'_> {
    /// Make the lock file `path` with `contents`, waiting up to `timeout` (`None`: for ever) for another holder.
    pub fn file(
        &self,
        path: &Path,
        contents: &[u8],
        sync: bool,
        timeout: Option<Duration>,
        made: &mut MadeDirectories,
    ) -> io::Result<Held> {
        let (mut file, held) = self.acquire(path, timeout, made, create_new)?;
        // A failure from here on drops `held`, and the file with it.
        self.shared.adjust(path)?;
        file.write_all(contents)?;
        if sync {
            file.sync_all()?;
        }
        Ok(held)
    }

    /// Put a `mark` at `path`, waiting likewise.
    pub fn mark(
        &self,
        path: &Path,
        mark: &Mark,
        timeout: Option<Duration>,
        made: &mut MadeDirectories,
    ) -> io::Result<Held> {
        let ((), held) = self.acquire(path, timeout, made, |path| mark.put(path))?;
        Ok(held)
    }

    /// Take over the file at `path`, which a dead process left.
    pub fn adopt(&self, path: &Path) -> io::Result<Held> {
        let ((), doomed) = self.interrupts.create(path, |path| path.symlink_metadata().map(drop))?;
        Ok(Held { path: path.to_owned(), doomed: Some(doomed) })
    }

    /// Make the file `path`, which must not exist, open for writing.
    pub fn create(&self, path: &Path) -> io::Result<(File, Held)> {
        let (file, held) = self.acquire(path, Some(Duration::ZERO), &mut MadeDirectories::default(), create_new)?;
        self.shared.adjust(path)?;
        Ok((file, held))
    }

    fn acquire<T>(
        &self,
        path: &Path,
        timeout: Option<Duration>,
        made: &mut MadeDirectories,
        mut make: impl FnMut(&Path) -> io::Result<T>,
    ) -> io::Result<(T, Held)> {
        let mut waiting = Waiting::new(timeout);
        let mut vanished = 0;
        loop {
            match self.interrupts.create(path, &mut make) {
                Ok((value, doomed)) => return Ok((value, Held { path: path.to_owned(), doomed: Some(doomed) })),
                // Somebody who removes empty directories may be faster than the next round.
                Err(err) if err.kind() == ErrorKind::NotFound && vanished < 10 => {
                    vanished += 1;
                    self.make_parents(path, made)?;
                }
                Err(err) if err.kind() == ErrorKind::AlreadyExists => {
                    self.interrupts.lasts();
                    if !waiting.again() {
                        return Err(err);
                    }
                }
                Err(err) => return Err(err),
            }
        }
    }

    /// Make the directories above `path` that are missing.
    ///
    /// [`ErrorKind::NotADirectory`] if something else is in the way.
    pub fn make_parents(&self, path: &Path, made: &mut MadeDirectories) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        for _ in 0..10 {
            match self.interrupts.create_directory(parent, |path| DirBuilder::new().mode(0o777).create(path)) {
                Ok(doomed) => {
                    made.0.push((parent.to_owned(), doomed));
                    return self.shared.adjust(parent);
                }
                Err(err) if err.kind() == ErrorKind::AlreadyExists && parent.is_dir() => return Ok(()),
                Err(err) if err.kind() == ErrorKind::AlreadyExists => return Err(ErrorKind::NotADirectory.into()),
                Err(err) if err.kind() == ErrorKind::NotFound => self.make_parents(parent, made)?,
                Err(err) => return Err(err),
            }
        }
        Err(ErrorKind::NotFound.into())
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o666).open(path)
}

impl Held {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rename it to `target`, for good. If that fails it is still held.
    pub fn rename_to(&mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, target)?;
        // Between the rename and this line a signal would look for a file that is gone: commits hold signals off.
        self.doomed = None;
        Ok(())
    }

    /// Leave it where it is: it was replaced by a rename onto it, or somebody else is to find it.
    pub fn leave(&mut self) {
        self.doomed = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(doomed) = self.doomed.take() {
            doomed.remove(&self.path, |path| std::fs::remove_file(path));
        }
    }
}

impl MadeDirectories {
    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }

    /// Leave them where they are.
    pub fn leave(&mut self) {
        self.0.clear();
    }
}

impl Drop for MadeDirectories {
    fn drop(&mut self) {
        while let Some((path, doomed)) = self.0.pop() {
            doomed.settle(|| std::fs::remove_dir(&path)).ok();
        }
    }
}

/// True if there is a symbolic link with `text` at `path`: a lock or guard of the transaction that is called so.
pub fn is_marked(path: &Path, text: &str) -> io::Result<bool> {
    match std::fs::read_link(path) {
        Ok(found) => Ok(found.as_os_str() == text),
        // It is something else, or nothing.
        Err(err) if matches!(err.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(err) => Err(err),
    }
}

/// Remove the directories above `path` as far as they are empty, up to and without `root`.
pub fn remove_empty_parents(path: &Path, root: &Path) {
    for parent in path.ancestors().skip(1).take_while(|parent| *parent != root && parent.starts_with(root)) {
        // One that is gone may be the last thing that a dead process did.
        if std::fs::remove_dir(parent).is_err_and(|err| err.kind() != ErrorKind::NotFound) {
            return;
        }
    }
}

/// Remove the directory `path` if it holds nothing but empty directories. True if there is no directory any more.
pub fn remove_empty_tree(path: &Path) -> bool {
    match std::fs::remove_dir(path) {
        Ok(()) => return true,
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return true,
        Err(_) => {}
    }
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    for entry in entries {
        let is_empty_tree = entry
            .is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && remove_empty_tree(&entry.path()));
        if !is_empty_tree {
            return false;
        }
    }
    std::fs::remove_dir(path).is_ok()
}

/// Make the names in directory `path` last.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Pauses that grow, until a time is over: there is no event to wait for where the other side is a file that may go.
pub struct Waiting {
    deadline: Option<Instant>,
    round: u64,
}

impl Waiting {
    /// Wait `timeout` altogether, `None` for ever.
    pub fn new(timeout: Option<Duration>) -> Self {
        Waiting { deadline: timeout.map(|timeout| Instant::now() + timeout), round: 0 }
    }

    /// Pause; false, at once, if the time is over.
    pub fn again(&mut self) -> bool {
        let left = match self.deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        };
        if left.is_zero() {
            return false;
        }
        self.round += 1;
        // Quadratic up to a second, and uneven so that two who wait for each other's locks do not stay in step.
        let spread = u64::from(std::process::id()).wrapping_mul(self.round).wrapping_mul(0x9e37_79b9) % 500;
        let pause = Duration::from_micros((self.round * self.round).min(1000) * (750 + spread));
        std::thread::sleep(pause.min(left));
        true
    }
}
