//! Queued to Prepared: everything is locked and checked, and nothing has changed that a drop does not undo.

use std::{
    collections::{BTreeSet, HashSet},
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use bstr::{BStr, BString};

use super::{
    Aborted, Announced, Change, Edit, Failure, Hook, How, INSIDE_QUARANTINE, Mode, Prepared, Queued, Site, Slot,
    conflicts, fence,
    guard::{Ours, guard, is_barred_for_now},
    plan::plan,
};
use crate::{
    balanced::{journal::Journal, transaction_id::TransactionId},
    objects::database::Database,
    refs::{
        absent::AbsentDirectories,
        lock::{Held, MadeDirectories, Waiting},
        loose::{self, Loose},
        name::{is_per_worktree, is_well_formed},
        packed_write::Value,
        symbolic::MAX_READS,
    },
    system_error::words,
};

impl<'a> Queued<'a> {
    /// Lock and check everything. `database` has the new objects.
    ///
    /// With [`Mode::EachAlone`] a bad edit becomes a failure of its own, and the result is about the others; only a veto of
    /// the hook, and what bars every change, is an error. An error leaves nothing behind.
    pub fn prepare(self, database: &'a Database, mode: Mode, hook: Option<Hook<'a>>) -> Result<Prepared<'a>, Aborted> {
        self.prepare_as(database, mode, None, hook)
    }

    /// The same for a push that is to be voted upon, all or none, as transaction `id`: what is prepared outlasts this process.
    pub fn prepare_for_vote(
        self,
        database: &'a Database,
        id: TransactionId,
        hook: Option<Hook<'a>>,
    ) -> Result<Prepared<'a>, Aborted> {
        self.prepare_as(database, Mode::AllOrNone, Some(id), hook)
    }

    fn prepare_as(
        self,
        database: &'a Database,
        mode: Mode,
        vote: Option<TransactionId>,
        hook: Option<Hook<'a>>,
    ) -> Result<Prepared<'a>, Aborted> {
        let Queued { site, edits, date } = self;
        if site.repository.inside_quarantine {
            return Err(Aborted::new(mode, INSIDE_QUARANTINE));
        }
        let mut prepared = Prepared {
            slots: Vec::with_capacity(edits.len()),
            fences: Vec::new(),
            room: None,
            journal: None,
            made: MadeDirectories::default(),
            announced: Announced { hook, aborted: Vec::new() },
            site,
            database,
            mode,
            edits: Vec::new(),
            failures: edits.iter().map(|_| None).collect(),
            lines: Vec::new(),
            again: false,
            date,
            identity: BString::default(),
        };
        for (index, failure) in bad_names(&edits) {
            prepared.fail(index, failure)?;
        }
        prepared.announced.ask_first(mode, &edits, &prepared.failures)?;
        prepared.lock_all(&edits, vote)?;
        prepared.check_all(&edits)?;
        prepared.stage_all(&edits)?;
        prepared.edits = edits;
        prepared.announce()?;
        Ok(prepared)
    }
}

/// The edits that cannot be carried out whatever refs there are.
pub(super) fn bad_names(edits: &[Edit]) -> Vec<(usize, Failure)> {
    let mut names: Vec<&BString> = edits.iter().map(|edit| &edit.name).collect();
    // Mostly they are sorted.
    names.sort();
    let repeated: HashSet<&BString> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    let bad = edits.iter().enumerate().filter_map(|(index, edit)| {
        let message = if !is_well_formed(edit.name.as_ref()) || !edit.name.starts_with(b"refs/") {
            words!("refusing to update ref with bad name '", edit.name, "'")
        } else if repeated.contains(&edit.name) {
            words!("multiple updates for ref '", edit.name, "' not allowed")
        } else {
            return None;
        };
        Some((index, Failure::general(message)))
    });
    bad.collect()
}

impl Prepared<'_> {
    /// Note that edit `index` cannot be carried out, which ends the transaction if it is all or none. What is held for it goes
    /// with [`drop_failed`](Self::drop_failed).
    pub(super) fn fail(&mut self, index: usize, failure: Failure) -> Result<(), Aborted> {
        if self.mode == Mode::AllOrNone {
            return Err(Aborted::new(self.mode, failure.message));
        }
        self.failures[index].get_or_insert(failure);
        Ok(())
    }

    fn lock_all(&mut self, edits: &[Edit], vote: Option<TransactionId>) -> Result<(), Aborted> {
        let mut order: Vec<usize> = (0..edits.len()).filter(|&index| self.failures[index].is_none()).collect();
        // All pushes lock in the same order, so that of two that overlap one gets through.
        order.sort_by_key(|&index| &edits[index].name);
        let voted = vote.is_some();
        let mut hows = plan(edits, &order, self.mode, voted, self.site);
        if hows.iter().any(|how| *how != How::Alone) {
            if !voted && self.announced.hook.is_none() {
                let is_created =
                    |index: usize| hows[index] == (How::Together { packed_only: true }) && edits[index].is_creation();
                let created = order.iter().filter(|&&index| is_created(index)).map(|&index| edits[index].name.as_ref());
                self.fences = fence::plan(created, self.site);
            }
            let marked = order.iter().filter(|&&index| hows[index] != How::Alone).map(|&index| &edits[index]);
            match self.begin_journal(marked, vote) {
                Ok(journal) => self.journal = Some(journal),
                // As git does it, then: one after the other.
                Err(err) if err.kind() == ErrorKind::Unsupported && !voted => hows.fill(How::Alone),
                Err(err) => return Err(Aborted::without_journal(self.mode, &err)),
            }
        }
        let (mut ours, mut next) = (Ours::default(), 0);
        for index in order {
            let edit = &edits[index];
            if hows[index] != How::Alone
                && self.fences.get(next).is_some_and(|fence| fence.is_around(edit.name.as_ref()))
            {
                self.put_up(next, edit, &mut ours);
                next += 1;
            }
            match self.lock(index, edit, hows[index], &mut ours) {
                Ok(slot) => self.slots.push(slot),
                Err(failure) => self.fail(index, failure)?,
            }
        }
        Ok(())
    }

    fn begin_journal<'e>(
        &self,
        edits: impl Iterator<Item = &'e Edit>,
        vote: Option<TransactionId>,
    ) -> io::Result<Journal> {
        let mut names = BTreeSet::from([BString::from("HEAD")]);
        names.extend(self.fences.iter().map(|fence| fence.name().to_owned()));
        let mut absent = AbsentDirectories::default();
        // What is in a fence is named only if that cannot be put up.
        for edit in edits.filter(|edit| fence::around(&self.fences, edit.name.as_ref()).is_none()) {
            let mut name = edit.name.clone();
            if edit.is_creation() {
                // Hardly ever a symbolic ref; what one leads to can still be announced.
                names.insert(name);
                continue;
            }
            if absent.would_hold(name.as_ref(), |directory| self.site.paths.loose(directory)) {
                names.insert(name);
                continue;
            }
            while names.insert(name.clone()) {
                match loose::read_ref(self.site.repository, name.as_ref()) {
                    Loose::Symbolic(target) if is_well_formed(target.as_ref()) => name = target,
                    _ => break,
                }
            }
        }
        let durable = vote.is_some();
        Journal::begin(vote.unwrap_or_default(), durable, self.site.paths, names, self.site.locksmith)
    }

    /// Lock the ref of `edit`, and what it leads to; read it under the lock.
    fn lock(&mut self, index: usize, edit: &Edit, how: How, ours: &mut Ours) -> Result<Slot, Failure> {
        let mut slot = Slot {
            guard: None,
            fenced: false,
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
        };
        loop {
            let name = slot.name().to_owned();
            if ours.locked.contains(&name) {
                // If not this one is symbolic, one before it was.
                let led_here = self.slots.iter().find(|slot| edit.name == name && slot.names.contains(&name));
                let symref = led_here.map_or(&edit.name, |slot| &slot.names[0]);
                let (many, via) = ("multiple updates for '", "' (including one via symref '");
                return Err(Failure::general(words!(many, name, via, symref, "') are not allowed")));
            }
            if self.is_fenced(name.as_ref()) {
                slot.fenced = true;
                break;
            }
            slot.locks.push(self.lock_name(name.as_ref(), edit, how, ours)?);
            if slot.is_together() && edit.is_creation() {
                let no_journal = || Failure::general(cannot_lock(edit, "no journal"));
                let journal = self.journal.as_ref().ok_or_else(no_journal)?;
                slot.guard = guard(name.as_ref(), edit, ours, journal, self.site, &mut self.made)?;
                if slot.guard.is_some() {
                    break;
                }
            }
            match loose::read_ref(self.site.repository, name.as_ref()) {
                Loose::Symbolic(target) => {
                    let too_deep = slot.names.len() >= MAX_READS || slot.names.contains(&target);
                    if too_deep || !target.starts_with(b"refs/") || !is_well_formed(target.as_ref()) {
                        return Err(Failure::general(cannot_lock(edit, broken(name.as_ref()))));
                    }
                    slot.names.push(target);
                }
                Loose::Id(id) => {
                    slot.how = how.with_file(self.mode);
                    break slot.loose = Some(Value { id, peeled: None });
                }
                Loose::Broken => break slot.broken = true,
                Loose::Absent if slot.is_together() && edit.is_creation() => {
                    return Err(conflicts::below(name.as_ref(), edit, self.site));
                }
                Loose::Absent => break,
            }
        }
        if slot.is_together() && is_per_worktree(slot.name()) {
            slot.how = How::Together { packed_only: false };
        }
        ours.locked.extend(slot.names.iter().cloned());
        Ok(slot)
    }

    fn lock_name(&mut self, name: &BStr, edit: &Edit, how: How, ours: &Ours) -> Result<Held, Failure> {
        let Site { config, paths, .. } = self.site;
        let path = paths.lock(name);
        let mut waiting = Waiting::new(config.ref_lock_timeout);
        let held = loop {
            match self.make_lock(name, &path, edit, how) {
                Err(err)
                    if err.kind() == ErrorKind::NotADirectory
                        && is_barred_for_now(name, ours, self.site)
                        && waiting.again() => {}
                held => break held,
            }
        };
        held.map_err(|err| match err.kind() {
            ErrorKind::NotADirectory if edit.must_exist() => {
                Failure::new("reference does not exist", cannot_lock(edit, unresolved(name)))
            }
            ErrorKind::NotADirectory => conflicts::in_the_way(name, edit, &ours.locked, self.site),
            _ => Failure::general(cannot_lock(edit, unable_to_create(&path, &err))),
        })
    }

    fn make_lock(&mut self, name: &BStr, path: &Path, edit: &Edit, how: How) -> io::Result<Held> {
        let Site { config, locksmith, .. } = self.site;
        match (how, &mut self.journal) {
            (How::Together { .. } | How::Staged, Some(journal)) => journal
                .announce(name)
                .and_then(|()| locksmith.mark(path, journal.mark(), config.ref_lock_timeout, &mut self.made)),
            _ => {
                let contents = if edit.is_deletion() { String::new() } else { format!("{}\n", edit.new) };
                locksmith.file(
                    path,
                    contents.as_bytes(),
                    config.fsync.references,
                    config.ref_lock_timeout,
                    &mut self.made,
                )
            }
        }
    }

    /// Tell the hook that everything is prepared.
    fn announce(&mut self) -> Result<(), Aborted> {
        let (inner, lines) = (self.inner_lines(), self.hook_lines());
        self.announced.ask_prepared(self.mode, self.unpacks(), inner, lines)
    }
}

pub(super) fn cannot_lock(edit: &Edit, why: impl AsRef<[u8]>) -> BString {
    words!("cannot lock ref '", edit.name, "': ", why)
}

pub(super) fn unresolved(name: &BStr) -> BString {
    words!("unable to resolve reference '", name, "'")
}

pub(super) fn broken(name: &BStr) -> BString {
    words!(unresolved(name), ": reference broken")
}

pub(super) fn unable_to_create(path: &Path, err: &io::Error) -> BString {
    let why = match err.kind() {
        ErrorKind::AlreadyExists => "File exists.".to_owned(),
        _ => words(err),
    };
    words!("Unable to create '", path.as_os_str().as_bytes(), "': ", why)
}
