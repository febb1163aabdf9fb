//! Between Prepared and Committed, where a vote decides: what was prepared is written down so that it outlasts this process.
//!
//! `Voting` is undone when it is dropped. From `Decided` on there is no way back: what is dropped then is left as it is,
//! for a recovery to finish.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bstr::{BStr, BString};
use gix::ObjectId;

use super::{Aborted, Change, Committed, How, Prepared, Slot};
use crate::{
    balanced::{
        format::State,
        intent::{CommitsBy, Intent, LogLine, Update},
        journal::Journal,
        transaction_id::TransactionId,
    },
    interrupt::HeldOff,
    refs::lock::{Held, is_marked, sync_directory},
};

/// What a ref takes up in packed-refs beside its name, in bytes: two ids of the longest hash, and what stands between.
const ROOM_FOR_A_LINE: usize = 2 * 64 + 4;

/// A transaction that is on disk, and about to be voted upon.
pub struct Voting<'a>(Prepared<'a>);

/// A transaction that will be carried out, by this process or another. The new objects must be in place before it is.
pub struct Decided<'a> {
    /// `None` once it is carried out.
    pub(super) prepared: Option<Prepared<'a>>,
    /// Signals wait: what is decided is not to be undone.
    _held_off: HeldOff,
}

/// A transaction that could not be carried out to its end; its locks and its journal are left for a recovery.
#[derive(Debug)]
pub struct Unfinished(pub BString);

/// What is left of a vote that was no yes, or of none: the journal, so that those who were asked are told, and what is not undone
/// yet is found, also if this process dies.
#[derive(Debug)]
#[must_use = "without its journal nobody else does"]
pub struct Undone(Option<Box<Journal>>);

impl Undone {
    pub(super) fn of(journal: Option<Journal>) -> Self {
        Undone(journal.map(Box::new))
    }

    /// Everybody who is to know was told: the journal goes.
    pub fn told(self) {
        drop(self.0);
    }
}

/// A transaction whose refs have their new values, and whose journal says so.
pub struct Settled {
    committed: Committed,
    journal: Option<Journal>,
}

impl<'a> Prepared<'a> {
    /// Write everything down that a vote may decide. What the `push` brings beside refs is in it already.
    ///
    /// Only what was prepared [for a vote](super::Queued::prepare_for_vote) may come here. The new objects are on disk by then.
    /// A failure undoes everything; keep what it returns until all else is gone that bears the transaction's name.
    pub fn open_vote(mut self, push: Intent) -> Result<Voting<'a>, (Undone, Aborted)> {
        match self.write_intent(push) {
            Ok(()) => Ok(Voting(self)),
            Err(aborted) => Err((Undone::of(self.journal.take()), aborted)),
        }
    }

    fn write_intent(&mut self, push: Intent) -> Result<(), Aborted> {
        let mode = self.mode;
        let cannot = |why: &dyn std::fmt::Display| Aborted::new(mode, format!("cannot prepare the vote: {why}"));
        if self.slots.iter().any(Slot::touches_packed) {
            // A lock that nobody frees must be met now, and not after a yes.
            let timeout = self.site.config.packed_refs_timeout;
            let packed = self.lock_packed(timeout, &|| {}).map_err(|why| Aborted::new(mode, why))?;
            let room = self.slots.iter().map(|slot| slot.name().len() + ROOM_FOR_A_LINE).sum::<usize>();
            let reserved = packed.reserve(&self.temporary_name(), room as u64);
            self.room = Some(reserved.map_err(|err| cannot(&format!("no room for packed-refs: {err}")))?);
        }
        if self.site.locksmith.interrupts.has_left() {
            // That of packed-refs, say, which would then be in the way of its own push.
            return Err(cannot(&"a lock cannot be removed"));
        }
        self.sync_directories().map_err(|err| cannot(&err))?;
        let intent = self.intent(push);
        let journal = self.journal.as_mut().ok_or_else(|| cannot(&"it has no journal"))?;
        journal.open_vote(&intent).map_err(|err| cannot(&err))
    }

    /// Make the names of locks, guards and staged files last.
    fn sync_directories(&self) -> std::io::Result<()> {
        let mut directories = BTreeSet::new();
        for slot in &self.slots {
            let held = slot.locks.iter().chain(&slot.guard).chain(&slot.staged);
            directories.extend(held.filter_map(|held| held.path().parent()).map(PathBuf::from));
        }
        // A directory that was made for one of them is a name in the one above it.
        directories.extend(self.made.paths().filter_map(|path| path.parent()).map(PathBuf::from));
        directories.iter().try_for_each(|directory| sync_directory(directory))
    }

    /// What is to happen to the refs.
    fn intent(&self, push: Intent) -> Intent {
        let null = self.site.repository.hash.null();
        let update = |slot: &Slot| Update {
            number: slot.edit,
            how: match (slot.change, slot.how) {
                (Change::Nothing, _) => CommitsBy::Nothing,
                (_, How::Together { packed_only: true }) => CommitsBy::PackedRefsOnly,
                (_, How::Together { packed_only: false }) => CommitsBy::PackedRefs,
                (_, How::Alone | How::Staged) => CommitsBy::LooseFile,
            },
            old: slot.old.unwrap_or(null),
            new: match slot.change {
                Change::Nothing => slot.old.unwrap_or(null),
                change => change.value(null),
            },
            peeled: match slot.change {
                Change::Write(value) => value.peeled,
                Change::Nothing | Change::Delete => None,
            },
            name: slot.name().to_owned(),
        };
        let log = |line: &super::LogLine| LogLine {
            old: line.old,
            new: line.new,
            make: line.log.is_made(),
            name: line.name.clone(),
        };
        Intent {
            updates: self.slots.iter().map(update).collect(),
            logs: self.lines.iter().map(log).collect(),
            identity: self.identity.clone(),
            ..push
        }
    }

    /// Let go of everything without undoing it.
    pub(super) fn leave(mut self) {
        for slot in &mut self.slots {
            slot.locks.iter_mut().chain(&mut slot.guard).chain(&mut slot.staged).for_each(|held| held.leave());
        }
        if let Some(journal) = &mut self.journal {
            journal.leave();
        }
        if let Some(room) = &mut self.room {
            room.leave();
        }
        self.made.leave();
        self.announced.aborted.clear();
    }
}

impl<'a> Voting<'a> {
    /// The name of the transaction.
    pub fn id(&self) -> Option<&TransactionId> {
        self.0.journal.as_ref().map(Journal::id)
    }

    /// Where it is written down how the vote goes on.
    pub fn journal(&mut self) -> Option<&mut Journal> {
        self.0.journal.as_mut()
    }

    /// What is voted upon; see [`Prepared::updates`].
    pub fn updates(&self) -> Vec<(ObjectId, ObjectId, &BStr)> {
        self.0.updates()
    }

    /// See whether all is as it was when the vote began: each new value is there, and each lock and guard.
    pub fn check(&self) -> Result<(), Aborted> {
        let Prepared { slots, journal, database, mode, .. } = &self.0;
        let text = journal.as_ref().map(|journal| journal.id().link_text()).unwrap_or_default();
        let mut buffer = Vec::new();
        for slot in slots {
            let failed = |why: String| Aborted::new(*mode, format!("cannot update ref '{}': {why}", slot.name()));
            let mut held = slot.locks.iter().chain(&slot.guard).map(Held::path);
            let is_gone = |path: &&Path| !matches!(is_marked(path, &text), Ok(true));
            if let Some(lost) = held.find(is_gone) {
                return Err(failed(format!("somebody has removed '{}'", lost.display())));
            }
            let Change::Write(value) = slot.change else { continue };
            match database.find(&value.id, &mut buffer) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(failed(format!("object {} is gone", value.id))),
                Err(err) => return Err(failed(format!("{err:#}"))),
            }
        }
        Ok(())
    }

    /// The vote is a yes: look once more, and put the decision on disk.
    ///
    /// A failure undoes everything, as [`refuse`](Self::refuse) does.
    pub fn decide(mut self) -> Result<Decided<'a>, (Undone, Aborted)> {
        // Before the word is on disk a signal undoes everything, from then on it waits.
        let held_off = self.0.site.locksmith.interrupts.hold_off();
        let mode = self.0.mode;
        let written = self.check().and_then(|()| {
            let journal = self.0.journal.as_mut().ok_or_else(|| Aborted::new(mode, "the vote has no journal"))?;
            let reached = journal.reach(State::Decided);
            reached.map_err(|err| Aborted::new(mode, format!("cannot write the decision down: {err}")))
        });
        match written {
            Ok(()) => Ok(Decided { prepared: Some(self.0), _held_off: held_off }),
            Err(aborted) => Err((self.refuse(), aborted)),
        }
    }

    /// The vote is no yes: undo everything. Keep what this returns until those who were asked are told.
    pub fn refuse(mut self) -> Undone {
        let mut journal = self.0.journal.take();
        if let Some(journal) = &mut journal {
            // Without this line, a recovery asks again.
            journal.reach(State::Aborted).ok();
        }
        Undone::of(journal)
    }
}

impl<'a> Decided<'a> {
    pub(super) fn adopted(prepared: Prepared<'a>) -> Self {
        let held_off = prepared.site.locksmith.interrupts.hold_off();
        Decided { prepared: Some(prepared), _held_off: held_off }
    }

    /// Carry it out. While somebody else has packed-refs locked, `look` once a second: the holder may be dead.
    pub fn commit(mut self, look: &dyn Fn()) -> Result<Settled, Unfinished> {
        let Some(mut prepared) = self.prepared.take() else { return Err(Unfinished(BString::default())) };
        let held_off = prepared.site.locksmith.interrupts.hold_off();
        let mut complaints = Vec::new();
        let written = prepared.write_refs(&mut complaints, look).map_err(|aborted| aborted.message);
        let written = written.and_then(|()| match &mut prepared.journal {
            // Before any ref is free for others to change.
            Some(journal) => {
                journal.reach(State::Committed).map_err(|err| format!("cannot write it down: {err}").into())
            }
            None => Ok(()),
        });
        if let Err(message) = written {
            prepared.leave();
            return Err(Unfinished(message));
        }
        let (committed, journal) = prepared.finish(complaints, held_off);
        Ok(Settled::of(committed, journal))
    }
}

impl Drop for Decided<'_> {
    fn drop(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            prepared.leave();
        }
    }
}

impl Settled {
    pub(super) fn of(committed: Committed, journal: Option<Journal>) -> Self {
        Settled { committed, journal }
    }

    /// Everybody who is to know was told: the journal goes. Without this it stays, and they are told once more.
    pub fn told(mut self) -> Committed {
        if let Some(mut journal) = self.journal.take() {
            journal.reach(State::Told).ok();
            journal.remove();
        }
        std::mem::take(&mut self.committed)
    }

    /// What went wrong behind the commit, and changes nothing.
    pub fn complaints(&self) -> &[String] {
        &self.committed.complaints
    }

    /// Leave the telling to whoever has the journal.
    pub fn untold(mut self) -> Option<Journal> {
        self.journal.take()
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.leave();
        }
    }
}
