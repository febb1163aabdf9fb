//! Occupying the path of a ref that waits to be created: else plain git would create another below or above it.

use std::{collections::BTreeSet, io::ErrorKind, time::Duration};

use bstr::{BStr, BString, ByteSlice};

use super::{
    Edit, Failure, Site, conflicts,
    prepare::{cannot_lock, unable_to_create},
};
use crate::{
    balanced::journal::Journal,
    refs::{
        lock::{Held, MadeDirectories, Waiting, remove_empty_tree},
        name::prefixes,
    },
};

/// Put a dangling symbolic link at the path of the ref `name`, which `edit` creates: git's and gix's readers do not see it.
/// `locked` are the names that this transaction has locked.
pub(super) fn guard(
    name: &BStr,
    edit: &Edit,
    locked: &BTreeSet<BString>,
    journal: &Journal,
    site: Site<'_>,
    made: &mut MadeDirectories,
) -> Result<Held, Failure> {
    let Site { config, paths, locksmith, .. } = site;
    for prefix in prefixes(name).filter(|prefix| !locked.contains(prefix.as_bytes().as_bstr())) {
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
    if !remove_empty_tree(&path) {
        return Err(conflicts::below(name, edit, site));
    }
    let text = journal.id().link_text();
    locksmith.link(&path, &text, Some(Duration::ZERO), made).map_err(|err| match err.kind() {
        ErrorKind::AlreadyExists => conflicts::below(name, edit, site),
        _ => Failure::general(cannot_lock(edit, unable_to_create(&path, &err))),
    })
}
