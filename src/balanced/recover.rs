//! Settling what transactions of dead processes left behind. What a living one holds stays, and so do git's own locks.
//!
//! Whether a writer lives is told by the lock on its journal, which the kernel frees when it dies. All of it happens under
//! a lock on the common directory, so that two recoveries do not meet.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use bstr::BString;
use nix::fcntl::{Flock, FlockArg};

use super::journal::{self, Entry, State, TransactionId, Writer};
use crate::{
    refs::{lock::remove_empty_parents, paths::Paths},
    repository::Repository,
};

/// What became of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The transaction.
    pub id: TransactionId,
    /// What was done about it.
    pub outcome: Outcome,
}

/// What was done about a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its process lives, or somebody else is recovering: left alone.
    Busy,
    /// It was undone: none of its refs had changed for its sake, or all had.
    Undone,
    /// Another machine wrote it, or it is about the directory that this one is a copy of: left alone.
    Foreign(BString),
    /// Its journal cannot be understood, for this reason: left alone.
    Unreadable(String),
}

/// Who asks for a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A push that is about to start, which settles what is surely of this machine and this repository.
    ByPush,
    /// The administrator, who knows that nobody else is at work on journals from elsewhere.
    ByName,
}

/// Settle each transaction in `repository` whose process is dead; never waits for anybody.
///
/// Costs one system call where there is nothing to settle.
pub fn recover(repository: &Repository, asked: Asked) -> Result<Vec<Finding>> {
    let directory = journal::directory(&repository.common_dir);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err).with_context(|| format!("cannot read '{}'", directory.display())),
    };
    let mut journals = Vec::new();
    let mut others = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("cannot read '{}'", directory.display()))?.file_name();
        match name.to_str().and_then(TransactionId::of_file) {
            Some(id) => journals.push(id),
            None => others.push(name),
        }
    }
    journals.sort_unstable();
    // A probe counts for left behind once its journal is gone, whose name sorts before it.
    others.sort_unstable();
    let Some(_alone) = lock(File::open(&repository.common_dir))? else {
        return Ok(journals.into_iter().map(|id| Finding { id, outcome: Outcome::Busy }).collect());
    };
    let mut findings = Vec::new();
    for id in journals {
        let path = directory.join(id.to_string());
        let outcome =
            settle(repository, &path, &id, asked).with_context(|| format!("cannot settle '{}'", path.display()))?;
        findings.extend(outcome.map(|outcome| Finding { id, outcome }));
    }
    for name in others {
        sweep(&directory, &name)?;
    }
    // Goes when nobody uses it any more.
    fs::remove_dir(&directory).ok();
    Ok(findings)
}

/// `None` if there was nothing to settle after all.
fn settle(repository: &Repository, path: &Path, id: &TransactionId, asked: Asked) -> Result<Option<Outcome>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        file => file,
    };
    let Some(file) = lock(file)? else { return Ok(Some(Outcome::Busy)) };
    // Its writer may have ended in peace between our look and our lock.
    let (ours, there) = (file.metadata()?, fs::symlink_metadata(path));
    if !there.is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev()) {
        return Ok(None);
    }
    let mut text = Vec::new();
    (&*file).read_to_end(&mut text)?;
    let here = Writer::this_process(repository.into())?;
    let entry = match Entry::read(&text, id) {
        Ok(entry) => entry,
        Err(err) => return Ok(Some(Outcome::Unreadable(format!("{err:#}")))),
    };
    let git_dir = match entry.writer {
        Some(writer) if asked == Asked::ByPush && !is_of(&writer, &here) => {
            return Ok(Some(Outcome::Foreign(writer.host)));
        }
        Some(writer) => writer.git_dir,
        None if asked == Asked::ByPush => return Ok(Some(Outcome::Foreign("an unknown machine".into()))),
        None => repository.git_dir.clone(),
    };
    let locks = match entry.state {
        Some(State::Locking) => entry.locks,
        // Nobody had synced it when the machine died; but the locks themselves name the transaction.
        None => every_name(repository)?,
    };
    // A copy of the repository has its refs where it is, not where the journal says; so has one that was moved.
    let git_dir = if git_dir.is_dir() { git_dir } else { repository.git_dir.clone() };
    undo(Paths { git_dir: &git_dir, common_dir: &repository.common_dir }, id, &locks)?;
    remove_all(&path.with_file_name(format!("{id}.d")))?;
    remove(path)?;
    Ok(Some(Outcome::Undone))
}

fn is_of(writer: &Writer, here: &Writer) -> bool {
    (&writer.host, writer.device, writer.inode) == (&here.host, here.device, here.inode)
}

/// Take away the locks, guards and staged files of transaction `id` on `refs`, and of packed-refs.
fn undo(paths: Paths<'_>, id: &TransactionId, refs: &[BString]) -> io::Result<()> {
    let text = id.link_text();
    let mut staged_in = BTreeSet::new();
    for name in refs {
        let path = paths.loose(name.as_ref());
        staged_in.extend(path.parent().map(Path::to_owned));
        // The guard before the lock: nobody is to find the one without the other.
        remove_link(&path, &text)?;
    }
    for directory in staged_in {
        let prefix = format!("{text}-");
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(prefix.as_bytes()) {
                remove(&entry.path())?;
            }
        }
    }
    let packed = paths.packed_refs();
    remove(&packed.with_file_name(format!("packed-refs.{text}")))?;
    let mut packed_lock = packed.into_os_string();
    packed_lock.push(".lock");
    remove_link(Path::new(&packed_lock), &text)?;
    for name in refs {
        remove_link(&paths.lock(name.as_ref()), &text)?;
        remove_empty_parents(&paths.loose(name.as_ref()), &paths.category(name.as_ref()));
        remove_empty_parents(&paths.log(name.as_ref()), &paths.log_category(name.as_ref()));
    }
    Ok(())
}

/// Remove the symbolic link at `path` if it has this text.
fn remove_link(path: &Path, text: &str) -> io::Result<()> {
    match fs::read_link(path) {
        Ok(found) if found.as_os_str() == text => remove(path),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn remove_all(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        result => result,
    }
}

/// Remove what lies about without a journal: one that was never finished, its probe, or what was staged for one that is gone.
fn sweep(directory: &Path, name: &std::ffi::OsStr) -> Result<()> {
    let path = directory.join(name);
    let Some(name) = name.to_str() else { return Ok(()) };
    let without = |owner: String| fs::symlink_metadata(directory.join(owner)).is_err();
    if let Some(id) = name.strip_suffix(".d").filter(|id| TransactionId::of_file(id).is_some()) {
        if without(id.to_owned()) {
            remove_all(&path)?;
        }
    } else if let Some(id) = name.strip_prefix("new-").and_then(|name| name.strip_suffix(".link")) {
        if without(format!("new-{id}")) {
            remove(&path)?;
        }
    } else if name.starts_with("new-") {
        let file = match File::open(&path) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
            file => file,
        };
        if let Some(_dead) = lock(file)? {
            remove(&path)?;
        }
    }
    Ok(())
}

/// All names that files below refs/ have, guards and locks among them; those of locks without `.lock`.
fn every_name(repository: &Repository) -> io::Result<Vec<BString>> {
    let mut names = BTreeSet::from([BString::from("HEAD")]);
    let roots: BTreeSet<&PathBuf> = [&repository.common_dir, &repository.git_dir].into();
    for root in roots {
        let mut pending = vec![root.join("refs")];
        while let Some(directory) = pending.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(err) if err.kind() == ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    pending.push(entry.path());
                } else if let Ok(name) = entry.path().strip_prefix(root) {
                    let name = name.as_os_str().as_bytes();
                    names.insert(name.strip_suffix(b".lock").unwrap_or(name).into());
                }
            }
        }
    }
    Ok(names.into_iter().collect())
}

/// Take the kernel's lock on a file, `None` if somebody has it.
fn lock(file: io::Result<File>) -> Result<Option<Flock<File>>> {
    match Flock::lock(file?, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(Some(locked)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}
