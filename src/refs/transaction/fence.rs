//! Keeping a directory that nobody has refs in, where many are to be created: one lock and one guard stand for those of all
//! refs below it.
//!
//! A fence is what a ref of the directory's name would get that waits to be created, in the same order: its lock, so that
//! nobody makes that ref, and a mark at its path, so that nobody makes a file or a directory there. What is put at the path
//! in one step, where nothing was, says that there is no loose ref below it and no lock, and that none can come. Others who
//! want to create a ref there have to wait; so there is none where a vote or a hook may take its time, nor where packed-refs
//! has a ref of that directory, which somebody may want to update.

use std::{cell::OnceCell, io::ErrorKind, time::Duration};

use bstr::{BStr, BString, ByteSlice};

use super::{
    Edit, Prepared, Site,
    conflicts::directory,
    guard::{Ours, guard},
};
use crate::refs::{
    lock::Held,
    name::{is_per_worktree, prefixes},
    packed::Packed,
};

/// A directory that is to be kept, or is.
pub(super) struct Fence {
    /// What the names of all refs below it start with, a slash at its end.
    start: BString,
    /// The guard and the lock, in the order in which they go.
    standing: Option<(Held, Held)>,
}

impl Fence {
    /// The directory as a ref would be called that bars it.
    pub(super) fn name(&self) -> &BStr {
        self.start[..self.start.len() - 1].as_bstr()
    }

    /// True if it keeps the ref `name`.
    pub(super) fn is_around(&self, name: &BStr) -> bool {
        name.starts_with(&self.start)
    }
}

/// The longest name that a file is sure to get, and the longest path, in bytes, less `.lock`.
const LONGEST: (usize, usize) = (250, 4000);

/// The directories that may be fenced to create refs of these `names`, which are sorted: those that are not there.
pub(super) fn plan<'n>(names: impl Iterator<Item = &'n BStr> + Clone, site: Site<'_>) -> Vec<Fence> {
    if names.clone().any(|name| is_long(name, site)) {
        // A ref that cannot have a file must not be: only its own lock shows that.
        return Vec::new();
    }
    let packed = OnceCell::new();
    let is_in_use = |start: &BStr| {
        let packed = packed.get_or_init(|| Packed::open(site.paths.packed_refs(), site.repository.hash));
        // What cannot be read is told of later.
        let Ok(Some(packed)) = packed else { return false };
        let next = packed.lines_from(start).ok().and_then(|mut lines| lines.next());
        next.is_some_and(|line| line.is_ok_and(|line| line.name.starts_with(start)))
    };
    let is_absent = |name: &&BStr| {
        let found = site.paths.loose(name).symlink_metadata();
        found.is_err_and(|err| err.kind() == ErrorKind::NotFound)
    };
    let mut planned: Vec<Fence> = Vec::new();
    let mut known = None;
    for name in names.filter(|name| !is_per_worktree(name)) {
        let parent = prefixes(name).last();
        if parent == known || planned.last().is_some_and(|last| last.is_around(name)) {
            continue;
        }
        // The first of them is `refs` itself.
        match prefixes(name).skip(1).find(is_absent).map(directory) {
            Some(start) if !is_in_use(start.as_ref()) => planned.push(Fence { start, standing: None }),
            _ => known = parent,
        }
    }
    planned
}

/// True if a file called so might be refused for that.
fn is_long(name: &BStr, site: Site<'_>) -> bool {
    let (component, path) = LONGEST;
    name.len() > component
        && (name.split_str("/").any(|part| part.len() > component)
            || site.paths.common_dir.as_os_str().len() + name.len() > path)
}

/// The fence that `name` is in, if any.
pub(super) fn around<'f>(fences: &'f [Fence], name: &BStr) -> Option<&'f Fence> {
    // They are sorted, and none is in another.
    let behind = fences.partition_point(|fence| fence.start <= name);
    behind.checked_sub(1).map(|last| &fences[last]).filter(|fence| fence.is_around(name))
}

impl Prepared<'_> {
    /// Put up the fence of this number for `edit`, if nobody is there; else each of the refs in it needs locks of its own.
    pub(super) fn put_up(&mut self, number: usize, edit: &Edit, ours: &mut Ours) {
        let (Site { paths, locksmith, .. }, Some(journal)) = (self.site, &self.journal) else { return };
        let (fence, made) = (&mut self.fences[number], &mut self.made);
        let Ok(lock) = locksmith.mark(&paths.lock(fence.name()), journal.mark(), Some(Duration::ZERO), made) else {
            return;
        };
        if let Ok(Some(guard)) = guard(fence.name(), edit, ours, journal, self.site, made) {
            fence.standing = Some((guard, lock));
        }
    }

    /// True if there is no loose ref of this name and no lock on it, nor can one come.
    pub(super) fn is_fenced(&self, name: &BStr) -> bool {
        around(&self.fences, name).is_some_and(|fence| fence.standing.is_some())
    }
}
