//! With every ref locked: is it as it was asked to be, and may it become what was asked for?

use bstr::{BStr, BString, ByteSlice};
use gix::{ObjectId, hashtable::HashMap, objs::Kind};

use super::{
    Aborted, Change, Edit, Failure, How, Prepared, Site, Slot,
    conflicts::{self, Taken},
    prepare::{broken, cannot_lock, unresolved},
};
use crate::{
    objects::database::Database,
    refs::{
        lock::{Waiting, remove_empty_tree},
        packed::{InOrder, Packed},
        packed_write::{Value, peel},
    },
};

impl Prepared<'_> {
    /// With every lock held: old values, names that exclude each other, new values.
    pub(super) fn check_all(&mut self, edits: &[Edit]) -> Result<(), Aborted> {
        let hash = self.site.repository.hash;
        let needs_packed = |slot: &Slot| slot.loose.is_none() || slot.is_together() || edits[slot.edit].is_deletion();
        let packed = match self.slots.iter().any(needs_packed) {
            // Read now and not before: what pack-refs moved there until we had the lock must be seen.
            true => Packed::open(self.site.paths.packed_refs(), hash),
            false => Ok(None),
        };
        let packed = packed.map_err(|err| Aborted::new(self.mode, format!("{err:#}")))?;
        let mut in_order = packed.as_ref().map(InOrder::new);
        let mut taken = Taken::new(self.slots.iter().map(|slot| slot.name()));
        let mut values = Values::new(self.database);
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let checked = check_values(slot, &edits[slot.edit], in_order.as_mut(), &mut values);
            self.judge(index, checked, &mut taken)?;
        }
        // What cannot be carried out anyhow is in nobody's way, nor are the directories of its locks.
        self.drop_failed();
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let checked = check_name(slot, &edits[slot.edit], packed.as_ref(), &mut taken, self.site);
            self.judge(index, checked, &mut taken)?;
        }
        self.drop_failed();
        let mut changing = self.slots.iter_mut().filter(|slot| slot.change != Change::Nothing);
        // One ref needs no packed-refs to commit at one instant.
        if let (Some(only), None) = (changing.next(), changing.next())
            && only.is_together()
            && !only.fenced
        {
            only.how = How::Staged;
        }
        Ok(())
    }

    /// What was found out about the ref of slot `index`: it fails, or it does not.
    fn judge(&mut self, index: usize, checked: Result<(), Failure>, taken: &mut Taken) -> Result<(), Aborted> {
        let Err(failure) = checked else { return Ok(()) };
        let slot = &self.slots[index];
        taken.remove(slot.name());
        self.fail(slot.edit, failure)
    }
}

/// Old value and new value.
fn check_values(
    slot: &mut Slot,
    edit: &Edit,
    mut packed: Option<&mut InOrder<'_>>,
    values: &mut Values<'_>,
) -> Result<(), Failure> {
    let name = slot.name().to_owned();
    let name = name.as_bstr();
    let unreadable = |err: anyhow::Error| Failure::general(cannot_lock(edit, format!("{err:#}")));
    let entry = packed.as_mut().map(|packed| packed.find(name)).transpose().map_err(unreadable)?.flatten();
    let entry = entry.map(|line| line.id()).transpose().map_err(unreadable)?;
    slot.packed = entry.is_some();
    slot.old = match slot.loose {
        Some(value) => Some(value.id),
        None if slot.broken => None,
        None => entry,
    };
    if slot.broken && !(edit.is_deletion() && edit.old.is_none()) {
        return Err(Failure::general(cannot_lock(edit, broken(name))));
    }
    check_old_value(name, edit, slot.old)?;
    slot.change = match slot.old {
        _ if edit.is_deletion() && slot.old.is_none() && !slot.broken => Change::Nothing,
        _ if edit.is_deletion() => Change::Delete,
        Some(old) if old == edit.new => Change::Nothing,
        _ => Change::Write(values.of(name, edit, slot.is_together())?),
    };
    if slot.is_together()
        && slot.change != Change::Nothing
        && let Some(value) = &mut slot.loose
    {
        // Its object may be missing: then nobody can say what it peels to, and it is a ref all the same.
        value.peeled = peel(values.database, value.id).unwrap_or_default();
    }
    Ok(())
}

/// Clashes of names.
fn check_name(
    slot: &Slot,
    edit: &Edit,
    packed: Option<&Packed>,
    taken: &mut Taken,
    site: Site<'_>,
) -> Result<(), Failure> {
    let name = slot.name();
    if slot.old.is_none() && !slot.broken {
        // Also of a ref that is to go and never was: none can be there.
        let held = slot.guard.is_some() || slot.fenced;
        return conflicts::check(name, edit, held, packed, taken, site);
    }
    if slot.loose.is_none() && !slot.broken {
        // A directory where the loose file is to be would bar it in the end; it may be there for a moment only.
        let mut waiting = Waiting::new(site.config.ref_lock_timeout);
        while !remove_empty_tree(&site.paths.loose(name)) && !edit.is_deletion() {
            site.locksmith.interrupts.lasts();
            if !waiting.again() {
                return Err(conflicts::blocking(name, edit, site));
            }
        }
    }
    Ok(())
}

/// Whether the ref `name` has the value that the edit asks for.
pub(super) fn check_old_value(name: &BStr, edit: &Edit, actual: Option<ObjectId>) -> Result<(), Failure> {
    match (edit.old, actual) {
        (Some(expected), None) if !expected.is_null() => {
            Err(Failure::new("reference does not exist", cannot_lock(edit, unresolved(name))))
        }
        (Some(expected), Some(_)) if expected.is_null() => {
            Err(Failure::new("reference already exists", cannot_lock(edit, "reference already exists")))
        }
        (Some(expected), Some(actual)) if expected != actual => {
            let message = format!("is at {actual} but expected {expected}");
            Err(Failure::new("incorrect old value provided", cannot_lock(edit, message)))
        }
        _ => Ok(()),
    }
}

/// New values, each looked at once: refs in one push often share them.
pub(super) struct Values<'a> {
    database: &'a Database,
    kinds: HashMap<ObjectId, Kind>,
}

impl<'a> Values<'a> {
    /// Of objects in `database`.
    pub(super) fn new(database: &'a Database) -> Self {
        Values { database, kinds: HashMap::default() }
    }

    /// The new value for the ref `name`, which must be there, and a commit if the ref is a branch.
    pub(super) fn of(&mut self, name: &BStr, edit: &Edit, together: bool) -> Result<Value, Failure> {
        let invalid = |message: BString| Failure::new("invalid new value provided", message);
        let trying = |what: String| words!("trying to write ref '", name, "' with ", what);
        let id = edit.new;
        match self.kind(id) {
            Ok(Some(kind)) if kind != Kind::Commit && name.starts_with(b"refs/heads/") => {
                Err(invalid(words!(format!("trying to write non-commit object {id} to branch '"), name, "'")))
            }
            Ok(Some(Kind::Tag)) if together => {
                let peeled =
                    peel(self.database, id).map_err(|err| invalid(trying(format!("broken tag {id}: {err:#}"))))?;
                Ok(Value { id, peeled })
            }
            Ok(Some(_)) => Ok(Value { id, peeled: None }),
            Ok(None) => Err(invalid(trying(format!("nonexistent object {id}")))),
            Err(err) => Err(invalid(trying(format!("object {id}: {err:#}")))),
        }
    }

    fn kind(&mut self, id: ObjectId) -> anyhow::Result<Option<Kind>> {
        if let Some(kind) = self.kinds.get(&id) {
            return Ok(Some(*kind));
        }
        let kind = self.database.header(&id)?.map(|(kind, _)| kind);
        self.kinds.extend(kind.map(|kind| (id, kind)));
        Ok(kind)
    }
}
