//! The files of one ref in a commit: its loose file put in place or taken away, and everything about it let go.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Change, How, Site, Slot};
use crate::{
    refs::{
        lock::{Held, Waiting, remove_empty_parents, remove_empty_tree},
        name::{is_per_worktree, prefixes},
        packed_write::{self, Value},
    },
    shares::in_shares,
};

/// So many loose files that go are worth a thread more.
const UNLINKS: usize = 30;

/// No more threads than this, however many there are.
const MAX_THREADS: usize = 8;

/// How long a directory that somebody made for a moment may bar a loose file.
const PATIENCE: Duration = Duration::from_secs(1);

impl Slot {
    /// True if packed-refs is rewritten for it, or has to be looked at under its lock.
    pub(super) fn touches_packed(&self) -> bool {
        let packable = !is_per_worktree(self.name());
        match self.how {
            How::Alone | How::Staged => packable && self.change == Change::Delete,
            How::Together { .. } => packable && self.change != Change::Nothing,
        }
    }

    pub(super) fn entry(&self, to: Option<Value>) -> packed_write::Change {
        packed_write::Change { name: self.name().to_owned(), to }
    }

    /// Put the new value of a ref that has a commit point of its own in its place.
    pub(super) fn put_alone(&mut self, site: Site<'_>, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        if self.is_together() || !matches!(self.change, Change::Write(_)) {
            return Ok(());
        }
        let path = site.paths.loose(self.name());
        match (self.how, self.locks.last_mut()) {
            (How::Alone, Some(lock)) => put(lock, &path, changed),
            (How::Staged, _) => self.put_staged(&path, changed),
            _ => Ok(()),
        }
    }

    /// Put the staged file, if there still is one, in its place, over the guard if there is one.
    fn put_staged(&mut self, path: &Path, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        if let Some(staged) = &mut self.staged {
            put(staged, path, changed)?;
            self.staged = None;
            if let Some(guard) = &mut self.guard {
                guard.leave();
            }
        }
        self.guard = None;
        Ok(())
    }

    /// True if its loose file goes before packed-refs gets the new values, so that all of them show at one instant.
    pub(super) fn unlinks_first(&self) -> bool {
        self.is_together() && self.touches_packed() && (self.loose.is_some() || self.broken)
    }

    /// True if its loose file goes after that, if there is one.
    pub(super) fn unlinks_last(&self) -> bool {
        self.change == Change::Delete && !(self.is_together() && self.touches_packed())
    }

    /// After the rename of packed-refs: give it its loose file, if it is to have one.
    pub(super) fn finish(&mut self, site: Site<'_>, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        match (self.how, self.change) {
            (How::Together { packed_only: true }, Change::Write(_)) => self.guard = None,
            (How::Together { packed_only: false }, Change::Write(_)) => {
                self.put_staged(&site.paths.loose(self.name()), changed)?
            }
            _ => {}
        }
        Ok(())
    }

    /// Let go of the ref.
    pub(super) fn free(&mut self) {
        self.guard = None;
        self.staged = None;
        self.locks.clear();
    }
}

/// Remove the directories of the refs that are gone, as far as they are empty: each once, for many were in the same.
pub(super) fn remove_directories(slots: &[Slot], site: Site<'_>) {
    let mut last = None;
    for slot in slots.iter().filter(|slot| slot.change == Change::Delete) {
        let parent = prefixes(slot.name()).last();
        if parent != last {
            remove_empty_parents(&site.paths.loose(slot.name()), &site.paths.category(slot.name()));
            last = parent;
        }
    }
}

/// Remove loose files, in the order of `paths`: true for one that was there.
///
/// A file system that tells its disk of each block that is free (`discard`) may wait for the disk with each file, and lets
/// others in meanwhile. So there are threads, more than there may be processors.
pub(super) fn unlink_all(paths: &[PathBuf]) -> Vec<io::Result<bool>> {
    let unlink = |path: &PathBuf| match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(err) => Err(err),
    };
    let threads = (paths.len() / UNLINKS).min(MAX_THREADS);
    in_shares(paths, threads, |share| share.iter().map(unlink).collect::<Vec<_>>()).into_iter().flatten().collect()
}

/// Rename `held` to `path`; a directory that is there for a moment only, or empty, does not count.
fn put(held: &mut Held, path: &Path, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let mut waiting = Waiting::new(Some(PATIENCE));
    loop {
        match held.rename_to(path) {
            Ok(()) => {
                changed.extend(path.parent().map(Path::to_owned));
                return Ok(());
            }
            Err(err) if err.kind() != ErrorKind::IsADirectory => return Err(err),
            Err(_) if remove_empty_tree(path) => {}
            Err(err) if !waiting.again() => return Err(err),
            Err(_) => {}
        }
    }
}
