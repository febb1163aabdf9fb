//! Queued to Prepared: everything is locked and checked, and nothing has changed that a drop does not undo.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind, Write},
    path::Path,
};

use bstr::{BStr, BString, ByteSlice};
use gix::{ObjectId, objs::Kind};

use super::{
    Aborted, Announced, Change, Edit, Failure, Hook, How, INSIDE_QUARANTINE, Mode, Phase, Prepared, Queued, Site, Slot,
    conflicts::{self, Taken},
};
use crate::{
    balanced::journal::{Journal, TransactionId},
    objects::database::Database,
    refs::{
        identity,
        lock::{Held, MadeDirectories, Waiting, remove_empty_tree},
        loose::{self, Loose},
        name::{is_well_formed, prefixes},
        packed::Packed,
        packed_write::{self, Value, peel},
        reflog::Log,
    },
};

/// So many creations in one push are made in one rewrite of packed-refs, and get no loose file.
const MANY: usize = 100;

/// How many refs git reads on the way to a value.
const MAX_DEPTH: usize = 5;

impl<'a> Queued<'a> {
    /// Lock and check everything. `database` has the new objects.
    ///
    /// With [`Mode::EachAlone`] a bad edit becomes a failure of its own, and the result is about the others; only a veto of
    /// the hook, and what bars every change, is an error. An error leaves nothing behind.
    pub fn prepare(self, database: &'a Database, mode: Mode, hook: Option<Hook<'a>>) -> Result<Prepared<'a>, Aborted> {
        let Queued { site, edits, date } = self;
        if site.repository.inside_quarantine {
            return Err(Aborted::new(mode, INSIDE_QUARANTINE));
        }
        let mut prepared = Prepared {
            slots: Vec::with_capacity(edits.len()),
            journal: None,
            made: MadeDirectories::default(),
            announced: Announced { hook, aborted: Vec::new() },
            site,
            database,
            mode,
            edits: Vec::new(),
            failures: edits.iter().map(|_| None).collect(),
            date,
            identity: BString::default(),
        };
        for (index, failure) in bad_names(&edits) {
            prepared.fail(index, failure)?;
        }
        prepared.announced.ask_first(mode, &edits, &prepared.failures)?;
        prepared.lock_all(&edits)?;
        prepared.check_all(&edits)?;
        prepared.stage_all(&edits)?;
        prepared.edits = edits;
        prepared.announce()?;
        Ok(prepared)
    }
}

/// The edits that cannot be carried out whatever refs there are.
pub(super) fn bad_names(edits: &[Edit]) -> Vec<(usize, Failure)> {
    let mut count = BTreeMap::new();
    for edit in edits {
        *count.entry(&edit.name).or_insert(0) += 1;
    }
    let bad = edits.iter().enumerate().filter_map(|(index, edit)| {
        let message = if !is_well_formed(edit.name.as_ref()) || !edit.name.starts_with(b"refs/") {
            format!("refusing to update ref with bad name '{}'", edit.name)
        } else if count[&edit.name] > 1 {
            format!("multiple updates for ref '{}' not allowed", edit.name)
        } else {
            return None;
        };
        Some((index, Failure::general(message)))
    });
    bad.collect()
}

impl Prepared<'_> {
    /// Note that edit `index` cannot be carried out, which ends the transaction if it is all or none.
    pub(super) fn fail(&mut self, index: usize, failure: Failure) -> Result<(), Aborted> {
        if self.mode == Mode::AllOrNone {
            return Err(Aborted::new(self.mode, failure.message));
        }
        self.slots.retain(|slot| slot.edit != index);
        self.failures[index].get_or_insert(failure);
        Ok(())
    }

    fn lock_all(&mut self, edits: &[Edit]) -> Result<(), Aborted> {
        let mut order: Vec<usize> = (0..edits.len()).filter(|&index| self.failures[index].is_none()).collect();
        // All pushes lock in the same order, so that of two that overlap one gets through.
        order.sort_unstable_by_key(|&index| &edits[index].name);
        let creations = order.iter().filter(|&&index| edits[index].is_creation()).count();
        let many = creations >= MANY;
        let together = match self.mode {
            Mode::AllOrNone => order.len() > 1,
            Mode::EachAlone => many,
        };
        let is_together = |edit: &Edit| together && (self.mode == Mode::AllOrNone || edit.is_creation());
        let how = |edit: &Edit| match is_together(edit) {
            true => How::Together { packed_only: many && edit.is_creation() },
            false => How::Alone,
        };
        let mut hows: Vec<How> = edits.iter().map(how).collect();
        if together {
            let edits = order.iter().map(|&index| &edits[index]).filter(|edit| is_together(edit));
            match self.begin_journal(edits) {
                Ok(journal) => self.journal = Some(journal),
                // As git does it, then: one after the other.
                Err(err) if err.kind() == ErrorKind::Unsupported => hows.fill(How::Alone),
                Err(err) => {
                    return Err(Aborted::new(self.mode, format!("cannot write the journal of this push: {err}")));
                }
            }
        }
        let mut locked = BTreeSet::new();
        for index in order {
            match self.lock(index, &edits[index], hows[index], &mut locked) {
                Ok(slot) => self.slots.push(slot),
                Err(failure) => self.fail(index, failure)?,
            }
        }
        Ok(())
    }

    fn begin_journal<'e>(&self, edits: impl Iterator<Item = &'e Edit>) -> io::Result<Journal> {
        let mut names: Vec<BString> = vec!["HEAD".into()];
        for edit in edits {
            names.push(edit.name.clone());
            for _ in 0..MAX_DEPTH {
                let Some(Loose::Symbolic(target)) =
                    names.last().map(|name| loose::read_ref(self.site.repository, name.as_ref()))
                else {
                    break;
                };
                if !is_well_formed(target.as_ref()) {
                    break;
                }
                names.push(target);
            }
        }
        let names: Vec<&BStr> = names.iter().map(|name| name.as_ref()).collect();
        Journal::begin(TransactionId::new(), self.site.paths, &names, self.site.locksmith)
    }

    /// Lock the ref of `edit`, and what it leads to; read it under the lock.
    fn lock(&mut self, index: usize, edit: &Edit, how: How, locked: &mut BTreeSet<BString>) -> Result<Slot, Failure> {
        let mut slot = Slot {
            guard: None,
            staged: None,
            locks: Vec::new(),
            edit: index,
            names: vec![edit.name.clone()],
            how,
            change: Change::Nothing,
            loose: None,
            broken: false,
            packed: false,
            old: None,
            logs: Vec::new(),
            head_log: None,
        };
        loop {
            let name = slot.name().to_owned();
            if locked.contains(&name) {
                let via =
                    format!("multiple updates for '{name}' (including one via symref '{}') are not allowed", edit.name);
                return Err(Failure::general(via));
            }
            slot.locks.push(self.lock_name(name.as_ref(), edit, how, locked)?);
            match loose::read_ref(self.site.repository, name.as_ref()) {
                Loose::Symbolic(target) => {
                    let too_deep = slot.names.len() >= MAX_DEPTH || slot.names.contains(&target);
                    if too_deep || !target.starts_with(b"refs/") || !is_well_formed(target.as_ref()) {
                        let broken = format!(
                            "cannot lock ref '{}': unable to resolve reference '{name}': reference broken",
                            edit.name
                        );
                        return Err(Failure::general(broken));
                    }
                    slot.names.push(target);
                }
                Loose::Id(id) => break slot.loose = Some(Value { id, peeled: None }),
                Loose::Broken => break slot.broken = true,
                Loose::Absent => break,
            }
        }
        if slot.is_together() && edit.is_creation() && slot.loose.is_none() && !slot.broken {
            slot.guard = Some(self.guard(slot.name(), edit, locked)?);
        }
        locked.extend(slot.names.iter().cloned());
        Ok(slot)
    }

    fn lock_name(&mut self, name: &BStr, edit: &Edit, how: How, locked: &BTreeSet<BString>) -> Result<Held, Failure> {
        let Site { config, paths, locksmith, .. } = self.site;
        let path = paths.lock(name);
        let held = match (how, &self.journal) {
            (How::Together { .. }, Some(journal)) => {
                locksmith.link(&path, &journal.id().link_text(), config.ref_lock_timeout, &mut self.made)
            }
            _ => {
                let contents = if edit.is_deletion() { String::new() } else { format!("{}\n", edit.new) };
                locksmith.file(
                    &path,
                    contents.as_bytes(),
                    config.fsync.references,
                    config.ref_lock_timeout,
                    &mut self.made,
                )
            }
        };
        held.map_err(|err| match err.kind() {
            ErrorKind::NotADirectory if edit.must_exist() => Failure::new(
                "reference does not exist",
                cannot_lock(edit, format!("unable to resolve reference '{name}'")),
            ),
            ErrorKind::NotADirectory => conflicts::in_the_way(name, edit, locked, self.site),
            _ => Failure::general(cannot_lock(edit, unable_to_create(&path, &err))),
        })
    }

    /// Occupy the path of the ref `name`, which is to be created.
    ///
    /// While a name waits to be created, plain git would create another below or above it.
    fn guard(&mut self, name: &BStr, edit: &Edit, locked: &BTreeSet<BString>) -> Result<Held, Failure> {
        let Site { config, paths, locksmith, .. } = self.site;
        let Some(journal) = &self.journal else { return Err(Failure::general(cannot_lock(edit, "no journal".into()))) };
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
            return Err(conflicts::below(name, edit, self.site));
        }
        let text = journal.id().link_text();
        locksmith.link(&path, &text, Some(std::time::Duration::ZERO), &mut self.made).map_err(|err| match err.kind() {
            ErrorKind::AlreadyExists => conflicts::below(name, edit, self.site),
            _ => Failure::general(cannot_lock(edit, unable_to_create(&path, &err))),
        })
    }

    /// With every lock held: old values, names that exclude each other, new values.
    fn check_all(&mut self, edits: &[Edit]) -> Result<(), Aborted> {
        let hash = self.site.repository.hash;
        let needs_packed = |slot: &Slot| slot.loose.is_none() || slot.is_together() || edits[slot.edit].is_deletion();
        let packed = match self.slots.iter().any(needs_packed) {
            // Read now and not before: what pack-refs moved there until we had the lock must be seen.
            true => Packed::open(self.site.paths.packed_refs(), hash),
            false => Ok(None),
        };
        let packed = packed.map_err(|err| Aborted::new(self.mode, format!("{err:#}")))?;
        let mut taken = Taken::new(self.slots.iter().map(|slot| slot.name()));
        let mut index = 0;
        while let Some(slot) = self.slots.get_mut(index) {
            let edit = &edits[slot.edit];
            let checked = check_slot(slot, edit, packed.as_ref(), &taken, self.site, self.database);
            match checked {
                Ok(()) => index += 1,
                Err(failure) => {
                    taken.remove(slot.name());
                    let edit = slot.edit;
                    self.fail(edit, failure)?;
                }
            }
        }
        Ok(())
    }

    /// Find the logs, and write down what is to be renamed into place.
    fn stage_all(&mut self, edits: &[Edit]) -> Result<(), Aborted> {
        let head = match loose::read_ref(self.site.repository, "HEAD".into()) {
            Loose::Symbolic(target) => target,
            _ => BString::default(),
        };
        let mut index = 0;
        while let Some(slot) = self.slots.get_mut(index) {
            let edit = slot.edit;
            let staged = find_logs(slot, &head, self.site, &mut self.made)
                .and_then(|()| stage(slot, self.journal.as_mut(), self.site))
                .map_err(|why| Failure::general(format!("cannot update the ref '{}': {why}", edits[edit].name)));
            match staged {
                Ok(()) => index += 1,
                Err(failure) => self.fail(edit, failure)?,
            }
        }
        if self.slots.iter().any(|slot| slot.head_log.is_some() || !slot.logs.is_empty()) {
            self.identity = identity::committer(self.site.config);
            self.identity.push(b' ');
            self.identity.extend_from_slice(self.date.take().unwrap_or_else(identity::now).as_bytes());
        }
        Ok(())
    }

    /// Tell the hook that everything is prepared.
    fn announce(&mut self) -> Result<(), Aborted> {
        let inner = self.inner_lines();
        if self.slots.iter().any(|slot| slot.packed && slot.change == Change::Delete) {
            self.announced.ask(self.mode, Phase::Preparing, inner.as_ref())?;
            self.announced.ask(self.mode, Phase::Prepared, inner.as_ref())?;
            self.announced.aborted.push(inner);
        } else {
            self.announced.tell(Phase::Aborted, inner.as_ref());
        }
        let lines = self.hook_lines();
        self.announced.ask(self.mode, Phase::Prepared, lines.as_ref())?;
        self.announced.aborted.push(lines);
        Ok(())
    }
}

/// Old value, clashes of names, new value.
fn check_slot(
    slot: &mut Slot,
    edit: &Edit,
    packed: Option<&Packed>,
    taken: &Taken,
    site: Site<'_>,
    database: &Database,
) -> Result<(), Failure> {
    let name = slot.name().to_owned();
    let name = name.as_bstr();
    let unreadable = |err: anyhow::Error| Failure::general(cannot_lock(edit, format!("{err:#}")));
    let entry = packed_write::find(packed, name).map_err(unreadable)?;
    slot.packed = entry.is_some();
    slot.old = match slot.loose {
        Some(value) => Some(value.id),
        None if slot.broken => None,
        None => entry,
    };
    if slot.broken && !(edit.is_deletion() && edit.old.is_none()) {
        return Err(Failure::general(cannot_lock(
            edit,
            format!("unable to resolve reference '{name}': reference broken"),
        )));
    }
    check_old_value(name, edit, slot.old)?;
    if slot.old.is_none() && !edit.is_deletion() {
        conflicts::check(name, edit, packed, taken, site)?;
    } else if slot.loose.is_none() && !slot.broken {
        // A directory where the loose file is to be would bar it in the end.
        remove_empty_tree(&site.paths.loose(name));
    }
    slot.change = match slot.old {
        _ if edit.is_deletion() && slot.old.is_none() && !slot.broken => Change::Nothing,
        _ if edit.is_deletion() => Change::Delete,
        Some(old) if old == edit.new => Change::Nothing,
        _ => Change::Write(new_value(name, edit, slot.is_together(), database)?),
    };
    if slot.is_together()
        && slot.change != Change::Nothing
        && let Some(value) = &mut slot.loose
    {
        // Its object may be missing: then nobody can say what it peels to, and it is a ref all the same.
        value.peeled = peel(database, value.id).unwrap_or_default();
    }
    Ok(())
}

/// Whether the ref `name` has the value that the edit asks for.
pub(super) fn check_old_value(name: &BStr, edit: &Edit, actual: Option<ObjectId>) -> Result<(), Failure> {
    match (edit.old, actual) {
        (Some(expected), None) if !expected.is_null() => {
            let message = format!("unable to resolve reference '{name}'");
            Err(Failure::new("reference does not exist", cannot_lock(edit, message)))
        }
        (Some(expected), Some(_)) if expected.is_null() => {
            Err(Failure::new("reference already exists", cannot_lock(edit, "reference already exists".into())))
        }
        (Some(expected), Some(actual)) if expected != actual => {
            let message = format!("is at {actual} but expected {expected}");
            Err(Failure::new("incorrect old value provided", cannot_lock(edit, message)))
        }
        _ => Ok(()),
    }
}

/// The new value, which must be there, and a commit if the ref is a branch.
pub(super) fn new_value(name: &BStr, edit: &Edit, together: bool, database: &Database) -> Result<Value, Failure> {
    let invalid = |message: String| Failure::new("invalid new value provided", message);
    let id = edit.new;
    match database.header(&id) {
        Ok(Some((kind, _))) if kind != Kind::Commit && name.starts_with(b"refs/heads/") => {
            Err(invalid(format!("trying to write non-commit object {id} to branch '{name}'")))
        }
        Ok(Some((Kind::Tag, _))) if together => {
            let peeled = peel(database, id)
                .map_err(|err| invalid(format!("trying to write ref '{name}' with broken tag {id}: {err:#}")))?;
            Ok(Value { id, peeled })
        }
        Ok(Some(_)) => Ok(Value { id, peeled: None }),
        Ok(None) => Err(invalid(format!("trying to write ref '{name}' with nonexistent object {id}"))),
        Err(err) => Err(invalid(format!("trying to write ref '{name}' with object {id}: {err:#}"))),
    }
}

fn find_logs(slot: &mut Slot, head: &BString, site: Site<'_>, made: &mut MadeDirectories) -> Result<(), String> {
    if slot.change == Change::Nothing {
        return Ok(());
    }
    let mut find = |name: &BStr| {
        Log::prepare(name, site.paths, site.config.log_all_ref_updates, site.locksmith, made).map_err(|barred| barred.0)
    };
    let targets = slot.names.len() - 1;
    for (index, name) in slot.names.iter().enumerate() {
        // The log of a deleted ref goes.
        if index < targets || slot.change != Change::Delete {
            slot.logs.extend(find(name.as_ref())?);
        }
    }
    if slot.names.contains(head) {
        slot.head_log = find("HEAD".into())?;
    }
    Ok(())
}

/// Write the file that is to be renamed into the ref's place at the end.
fn stage(slot: &mut Slot, journal: Option<&mut Journal>, site: Site<'_>) -> Result<(), String> {
    let (How::Together { packed_only: false }, Change::Write(value), Some(journal)) = (slot.how, slot.change, journal)
    else {
        return Ok(());
    };
    let mut write = || {
        let path = site.paths.loose(slot.name());
        let staged = journal.staging(site.locksmith)?.join(slot.edit.to_string());
        let beside = path.with_file_name(format!("{}-{}.lock", journal.id().link_text(), slot.edit));
        let staged = if same_device(&staged, &beside)? { staged } else { beside };
        let (mut file, held) = site.locksmith.create(&staged)?;
        writeln!(file, "{}", value.id)?;
        if site.config.fsync.references {
            file.sync_all()?;
        }
        io::Result::Ok(held)
    };
    slot.staged = Some(write().map_err(|err| format!("cannot stage its value: {err}"))?);
    Ok(())
}

fn same_device(a: &Path, b: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| path.parent().map(|dir| dir.metadata().map(|meta| meta.dev())).transpose();
    Ok(device(a)? == device(b)?)
}

fn cannot_lock(edit: &Edit, why: String) -> String {
    format!("cannot lock ref '{}': {why}", edit.name)
}

pub(super) fn unable_to_create(path: &Path, err: &io::Error) -> String {
    match err.kind() {
        ErrorKind::AlreadyExists => format!("Unable to create '{}': File exists.", path.display()),
        _ => format!("Unable to create '{}': {err}", path.display()),
    }
}
