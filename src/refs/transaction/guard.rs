//! Occupying the path of a ref that waits to be created: else plain git would create another below or above it.

use std::{collections::HashSet, io::ErrorKind, time::Duration};

use bstr::{BStr, BString};

use super::{
    Edit, Failure, Site, conflicts,
    prepare::{cannot_lock, unable_to_create},
};
use crate::{
    balanced::journal::Journal,
    refs::{
        lock::{Held, MadeDirectories, Waiting, remove_empty_tree},
        mark::is_mark,
        name::prefixes,
    },
};

/// Names that nobody else can make a ref of.
#[derive(Default)]
pub(super) struct Ours {
    /// The refs that this transaction has locked.
    pub(super) locked: HashSet<BString>,
    /// The directories in which a guard stands: whoever locks such a name now cannot put a file there.
    occupied: HashSet<BString>,
}

impl Ours {
    /// The transaction has `locked` these.
    pub(super) fn of(locked: HashSet<BString>) -> Self {
        Ours { locked, ..Self::default() }
    }
}

/// Put a dangling symbolic link at the path of the ref `name`, which `edit` creates and which is locked: git's and gix's
/// readers do not see it. `None` if there is a file, which may be a ref.
pub(super) fn guard(
    name: &BStr,
    edit: &Edit,
    ours: &mut Ours,
    journal: &Journal,
    site: Site<'_>,
    made: &mut MadeDirectories,
) -> Result<Option<Held>, Failure> {
    let Site { config, paths, locksmith, .. } = site;
    // Then so are all above it: most refs of a push lie in the directory of the one before.
    let is_occupied = prefixes(name).last().is_some_and(|directory| ours.occupied.contains(directory));
    let is_ours = |prefix: &&BStr| ours.locked.contains(*prefix) || ours.occupied.contains(*prefix);
    for prefix in prefixes(name).filter(|prefix| !is_occupied && !is_ours(prefix)) {
        let path = paths.lock(prefix);
        let mut waiting = Waiting::new(config.ref_lock_timeout);
        while path.symlink_metadata().is_ok() {
            if !waiting.again() {
                let err = ErrorKind::AlreadyExists.into();
                return Err(Failure::general(cannot_lock(edit, unable_to_create(&path, &err))));
            }
        }
    }
    let path = paths.loose(name);
    let mut put = || locksmith.mark(&path, journal.mark(), Some(Duration::ZERO), made);
    let guard = match put() {
        Err(err) if err.kind() == ErrorKind::AlreadyExists && !remove_empty_tree(&path) => {
            return Err(conflicts::below(name, edit, site));
        }
        Err(err) if err.kind() == ErrorKind::AlreadyExists => put(),
        guard => guard,
    };
    let guard = match guard {
        Ok(guard) => guard,
        Err(err) if err.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(err) => return Err(Failure::general(cannot_lock(edit, unable_to_create(&path, &err)))),
    };
    if !is_occupied {
        ours.occupied.extend(prefixes(name).map(BStr::to_owned));
    }
    Ok(Some(guard))
}

/// True if the directory that the ref `name` needs was barred for a moment, perhaps: a mark of another transaction stands there, or
/// nothing any more.
pub(super) fn is_barred_for_now(name: &BStr, ours: &Ours, site: Site<'_>) -> bool {
    let is_mark = |prefix: &BStr| std::fs::read_link(site.paths.loose(prefix)).is_ok_and(|text| is_mark(&text));
    let bars = |prefix: &BStr| site.paths.loose(prefix).symlink_metadata().is_ok_and(|meta| !meta.is_dir());
    prefixes(name).any(|prefix| is_mark(prefix) && !ours.locked.contains(prefix)) || !prefixes(name).any(bars)
}
