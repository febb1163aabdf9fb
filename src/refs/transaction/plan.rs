//! How each ref of a transaction is to come to its new value: planned before anything is locked, by what there is to do.

use std::collections::HashSet;

use super::{Edit, Mode, Site};

/// So many creations in one push, or updates of refs without a loose file, are made in one rewrite of packed-refs, and get none.
const MANY: usize = 100;

/// So much of packed-refs, in bytes, is rewritten in the time that it takes to make a loose file.
const ONE_FILE: u64 = 10_000;

/// How a ref comes to its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By the rename of its lock file.
    Alone,
    /// By the rename of its staged file, or by going; its lock is a mark.
    Staged,
    /// By the one rename of packed-refs.
    Together {
        /// It then stays without a loose file.
        packed_only: bool,
    },
}

impl How {
    /// The same for a ref that has a loose file, and so has to have one afterwards (see `commit`).
    pub(super) fn with_file(self, mode: Mode) -> Self {
        match (self, mode) {
            (How::Together { packed_only: true }, Mode::EachAlone) => How::Staged,
            (How::Together { .. }, Mode::AllOrNone) => How::Together { packed_only: false },
            (how, _) => how,
        }
    }
}

/// A plan for each of the `edits`, of which those of `order` are to be carried out; together in any case if they are `voted` upon.
pub(super) fn plan(edits: &[Edit], order: &[usize], mode: Mode, voted: bool, site: Site<'_>) -> Vec<How> {
    let count = |is_one: fn(&Edit) -> bool| order.iter().filter(|&&index| is_one(&edits[index])).count();
    let many_creations = count(Edit::is_creation) >= MANY;
    // A mark costs less than a file, once there is a first one.
    let many_deletions = count(Edit::is_deletion) >= MANY;
    let updates = match count(Edit::is_update) >= MANY {
        true => updates_without_files(edits, order, site),
        false => HashSet::new(),
    };
    let together = mode == Mode::AllOrNone && (voted || order.len() > 1);
    let how = |index: usize| match &edits[index] {
        edit if many_creations && edit.is_creation() => How::Together { packed_only: true },
        _ if updates.contains(&index) => How::Together { packed_only: true },
        _ if together => How::Together { packed_only: false },
        edit if many_deletions && edit.is_deletion() => How::Staged,
        _ => How::Alone,
    };
    (0..edits.len()).map(how).collect()
}

/// The updates of refs that packed-refs alone knows, if they are so many that it is rewritten sooner than they get files.
fn updates_without_files(edits: &[Edit], order: &[usize], site: Site<'_>) -> HashSet<usize> {
    let has_file = |index: usize| site.paths.loose(edits[index].name.as_ref()).symlink_metadata().is_ok();
    let is_without = |index: &usize| edits[*index].is_update() && !has_file(*index);
    let without: HashSet<usize> = order.iter().copied().filter(is_without).collect();
    let length = site.paths.packed_refs().metadata().map_or(0, |meta| meta.len());
    match without.len() >= MANY && length / ONE_FILE <= without.len() as u64 {
        true => without,
        false => HashSet::new(),
    }
}
