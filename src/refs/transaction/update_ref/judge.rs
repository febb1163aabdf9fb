//! Which edits of a batch are bad, as far as a reading of the refs shows it.
//!
//! Nothing is locked here: what is found bad is refused, and whether the rest is good git says under its locks.

use anyhow::Result;
use bstr::{BStr, ByteSlice};

use super::super::{
    Edit, Failure, Site,
    check::{Values, check_old_value},
    conflicts::{self, Taken},
};
use crate::{
    objects::database::Database,
    refs::{
        name,
        snapshot::Snapshot,
        symbolic::{Symbolic, SymbolicRefs},
    },
};

/// The bad ones of `edits` and why; `database` has the new objects.
pub(super) fn bad_edits<'e>(
    edits: impl Iterator<Item = (usize, &'e Edit)>,
    site: Site<'_>,
    database: &Database,
) -> Result<Vec<(usize, Failure)>> {
    let snapshot = Snapshot::read(site.repository)?;
    let mut entries = snapshot.entries();
    let existing: Vec<&BStr> = entries.by_ref().map(|entry| entry.name()).collect();
    entries.finish()?;
    let edits: Vec<_> = edits.collect();
    let names: Vec<&BStr> = edits.iter().map(|(_, edit)| edit.name.as_ref()).collect();
    let mut symbolic = SymbolicRefs::of(site.repository, &names)?;
    let mut changes = Vec::with_capacity(edits.len());
    for (index, edit) in edits {
        let name = match symbolic.follow(edit.name.as_ref())? {
            Symbolic::LeadsTo(target) => target,
            Symbolic::No | Symbolic::Broken => edit.name.clone(),
        };
        changes.push((name, index, edit));
    }
    // As they would be locked: of two that exclude each other the later stays.
    changes.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
    let mut taken = Taken::new(changes.iter().map(|(name, ..)| name.as_ref()));
    let mut values = Values::new(database);
    let mut bad = Vec::new();
    let mut created = Vec::new();
    for (name, index, edit) in &changes {
        let name = name.as_bstr();
        let actual = snapshot.find(name);
        if actual.is_some_and(|id| id.is_null()) {
            // Nobody can read it; what to say of it, git knows.
            continue;
        }
        let checked = check_old_value(name, edit, actual).and_then(|()| match edit.is_deletion() {
            true => Ok(()),
            false => values.of(name, edit, false).map(drop),
        });
        if let Err(failure) = checked {
            taken.remove(name);
            bad.push((*index, failure));
        } else if actual.is_none() && !edit.is_deletion() {
            created.push((name, *index));
        }
    }
    // What cannot be carried out anyhow is in nobody's way.
    for (name, index) in created {
        if let Err(failure) = check_name(name, &existing).and_then(|()| taken.check(name)) {
            taken.remove(name);
            bad.push((index, failure));
        }
    }
    Ok(bad)
}

/// Whether the ref `name` may be created beside the `existing` ones, which are in byte order.
fn check_name(name: &BStr, existing: &[&BStr]) -> Result<(), Failure> {
    let at = |wanted: &BStr| existing.partition_point(|other| *other < wanted);
    let mut prefixes = name::prefixes(name).filter(|prefix| existing.binary_search(prefix).is_ok());
    if let Some(prefix) = prefixes.next() {
        return Err(Failure::conflict(conflicts::exists(prefix, name)));
    }
    let directory = conflicts::directory(name);
    match existing.get(at(directory.as_ref())) {
        Some(below) if below.starts_with(&directory) => Err(Failure::conflict(conflicts::exists(below, name))),
        _ => Ok(()),
    }
}
