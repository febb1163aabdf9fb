//! Prepared to Committed: what is renamed and unlinked, in an order that readers, git's writers and a sudden end cannot hurt.
//!
//! Refs that change together have one commit point, the rename of packed-refs:
//!
//! 1. Under the lock of packed-refs, values of their loose files that packed-refs does not have are packed as they are.
//! 2. Their loose files go: packed-refs says the same.
//! 3. packed-refs is written anew with the new values and renamed into place: committed.
//! 4. Each gets a loose file again, since `git pack-refs` may read loose refs before it has the lock and write them after:
//!    it must not find the old one, and a ref that stands in packed-refs alone could be overwritten. One that had no loose
//!    file is not met there, and if they are many they stay without.
//!
//! A ref that changes alone has the rename of its lock file; one that goes loses its packed entry first, or that would
//! show once the loose file is gone. Nothing here waits for a child, and signals wait until it is over.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use bstr::BString;

use super::{
    Aborted, Change, Committed, Failure, How, LogLine, Phase, Prepared, Site, Slot,
    prepare::unable_to_create,
    put::{remove_directories, unlink_all},
};
use crate::{
    balanced::{journal::Journal, transaction_id::TransactionId},
    interrupt::HeldOff,
    refs::{
        absent::AbsentDirectories,
        lock::{MadeDirectories, sync_directory},
        name::is_per_worktree,
        packed_write::{self, PackedRefs},
        reflog,
    },
};

/// How long a reader may take from its look at loose refs to its look at packed-refs, and still not see a mixture.
const READERS_GAP: Duration = Duration::from_millis(3);

/// How long a push that was decided waits for packed-refs, or one for the vote of another, where `receive.balancedTimeout` is 0.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// How long the lock of packed-refs is held before its holder may be dead.
const LOOK_AFTER: Duration = Duration::from_secs(1);

impl<'a> Prepared<'a> {
    /// Carry it out.
    ///
    /// With [`Mode::AllOrNone`](super::Mode::AllOrNone) an error means that no ref has changed.
    pub fn commit(mut self) -> Result<Committed, Aborted> {
        let held_off = self.site.locksmith.interrupts.hold_off();
        let mut complaints = Vec::new();
        self.write_refs(&mut complaints, &|| {})?;
        let (committed, journal) = self.finish(complaints, held_off);
        drop(journal);
        Ok(committed)
    }

    /// With the refs in place: logs, and freedom for everybody. What is left is the journal.
    pub(super) fn finish(self, mut complaints: Vec<String>, held_off: HeldOff) -> (Committed, Option<Journal>) {
        self.write_logs(&mut complaints);
        let inner = if self.unpacks() { self.inner_lines() } else { BString::default() };
        let lines = self.hook_lines();
        let Prepared { mut slots, fences, journal, made, mut announced, site, failures, .. } = self;
        for slot in &mut slots {
            slot.free();
        }
        remove_directories(&slots, site);
        drop((slots, fences, made));
        announced.aborted.clear();
        drop(held_off);
        announced.tell(Phase::Committed, inner.as_ref());
        announced.tell(Phase::Committed, lines.as_ref());
        let outcomes = failures.into_iter().map(|failure| failure.map_or(Ok(()), Err)).collect();
        (Committed { outcomes, complaints }, journal)
    }

    pub(super) fn write_refs(&mut self, complaints: &mut Vec<String>, look: &dyn Fn()) -> Result<(), Aborted> {
        let mut changed = BTreeSet::new();
        self.put_staged(&mut changed, complaints);
        let mut packed = None;
        if self.slots.iter().any(Slot::touches_packed) {
            match self.lock_packed(self.packed_refs_timeout(), look) {
                Ok(locked) => packed = Some(locked),
                Err(message) => self.fail_each(Slot::touches_packed, &message)?,
            }
        }
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if let Err(err) = slot.put_alone(self.site, &mut changed) {
                let (edit, message) = (slot.edit, format!("couldn't set '{}': {err}", slot.name()));
                self.fail(edit, Failure::general(message))?;
            }
        }
        self.drop_failed();
        if let Some(packed) = &mut packed
            && let Err(err) = self.rewrite(packed, &mut changed, complaints)
        {
            self.fail_each(Slot::touches_packed, &format!("{err:#}"))?;
        }
        self.unlink_last(&mut changed, complaints)?;
        for slot in &mut self.slots {
            // Committed is committed: the ref stays in packed-refs alone.
            if let Err(err) = slot.finish(self.site, &mut changed) {
                complaints.push(format!("no loose file for '{}': {err}", slot.name()));
            }
        }
        if self.is_durable() || self.site.config.fsync.references {
            for directory in changed {
                if let Err(err) = sync_directory(&directory) {
                    complaints.push(format!("cannot sync '{}': {err}", directory.display()));
                }
            }
        }
        Ok(())
    }

    /// Commit the one ref that changes by its loose file. If a directory that came after the checks bars that, packed-refs
    /// alone gets the value.
    fn put_staged(&mut self, changed: &mut BTreeSet<PathBuf>, complaints: &mut Vec<String>) {
        for slot in self.slots.iter_mut().filter(|slot| slot.how == How::Staged) {
            if let Err(err) = slot.put_alone(self.site, changed)
                && err.kind() == ErrorKind::IsADirectory
                && !is_per_worktree(slot.name())
            {
                complaints.push(format!("no loose file for '{}': {err}", slot.name()));
                slot.how = How::Together { packed_only: true };
            }
        }
    }

    /// Remove the loose files of refs that are to be gone.
    fn unlink_last(&mut self, changed: &mut BTreeSet<PathBuf>, complaints: &mut Vec<String>) -> Result<(), Aborted> {
        for (index, unlinked) in self.unlink(Slot::unlinks_last, changed) {
            let (Err(err), slot) = (unlinked, &self.slots[index]) else { continue };
            let (edit, message) = (slot.edit, format!("could not delete reference {}: {err}", slot.name()));
            match slot.is_together() {
                // Committed is committed: what is left of it is nobody's ref.
                true => complaints.push(message),
                false => self.fail(edit, Failure::general(message))?,
            }
        }
        self.drop_failed();
        Ok(())
    }

    /// Remove the loose files of some slots: what came of it, with the number of each.
    fn unlink(&self, which: impl Fn(&Slot) -> bool, changed: &mut BTreeSet<PathBuf>) -> Vec<(usize, io::Result<()>)> {
        let indices: Vec<usize> = (0..self.slots.len()).filter(|&index| which(&self.slots[index])).collect();
        let paths: Vec<PathBuf> =
            indices.iter().map(|&index| self.site.paths.loose(self.slots[index].name())).collect();
        let unlinked = unlink_all(&paths);
        let gone = paths.iter().zip(&unlinked).filter(|(_, unlinked)| matches!(unlinked, Ok(true)));
        for parent in gone.filter_map(|(path, _)| path.parent()) {
            if !changed.contains(parent) {
                changed.insert(parent.to_owned());
            }
        }
        indices.into_iter().zip(unlinked.into_iter().map(|unlinked| unlinked.map(drop))).collect()
    }

    fn fail_each(&mut self, which: impl Fn(&Slot) -> bool, message: &str) -> Result<(), Aborted> {
        let edits: Vec<usize> = self.slots.iter().filter(|slot| which(slot)).map(|slot| slot.edit).collect();
        edits.into_iter().try_for_each(|edit| self.fail(edit, Failure::general(message)))?;
        self.drop_failed();
        Ok(())
    }

    /// True if it was voted upon: then each step is on disk before the next.
    pub(super) fn is_durable(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_durable)
    }

    pub(super) fn lock_packed(&self, timeout: Option<Duration>, look: &dyn Fn()) -> Result<PackedRefs<'a>, String> {
        let Site { paths, locksmith, repository, .. } = self.site;
        let target = paths.packed_refs();
        let mut path = target.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut made = MadeDirectories::default();
        let mut take = |timeout| match &self.journal {
            Some(journal) => locksmith.mark(&path, journal.mark(), timeout, &mut made),
            None => locksmith.file(&path, b"", false, timeout, &mut made),
        };
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let lock = loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match take(Some(left.map_or(LOOK_AFTER, |left| left.min(LOOK_AFTER)))) {
                Err(err) if err.kind() == ErrorKind::AlreadyExists && left.is_none_or(|left| left > LOOK_AFTER) => {
                    look()
                }
                lock => break lock,
            }
        };
        let lock = lock.map_err(|err| unable_to_create(&path, &err).to_string())?;
        PackedRefs::read(target, lock, self.database, locksmith, repository.hash).map_err(|err| format!("{err:#}"))
    }

    /// How long to wait for packed-refs: what was decided is not given up lightly.
    fn packed_refs_timeout(&self) -> Option<Duration> {
        let Site { config, .. } = self.site;
        match self.is_durable() && !self.again {
            true => Some(config.balanced_timeout.unwrap_or(LONG)),
            false => config.packed_refs_timeout,
        }
    }

    /// Steps 1 to 3, for refs that change together and for those that only lose their packed entry. An error means that they
    /// have not, unless they were voted upon: then it is not sure to last.
    fn rewrite(
        &mut self,
        packed: &mut PackedRefs<'_>,
        changed: &mut BTreeSet<PathBuf>,
        complaints: &mut Vec<String>,
    ) -> Result<()> {
        let temporary = self.temporary_name();
        let mut room = self.room.take();
        let together = self.slots.iter().any(|slot| slot.is_together() && slot.touches_packed());
        let fsync = self.site.config.fsync;
        // A torn packed-refs is not one ref lost but all of them: whoever syncs anything syncs this.
        let sync = self.is_durable()
            || fsync.references
            || together && (fsync.packs || fsync.pack_metadata || fsync.loose_objects);

        let mut as_they_are = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.is_together() && slot.touches_packed()) {
            let entry = || packed.find(slot.name());
            match slot.loose {
                Some(value) if entry()? != Some(value.id) => as_they_are.push(slot.entry(Some(value))),
                // Its old entry would show once the broken file is gone.
                None if slot.broken && entry()?.is_some() => as_they_are.push(slot.entry(None)),
                _ => {}
            }
        }
        if !as_they_are.is_empty() {
            packed.replace(&sorted(as_they_are), &temporary, room.take(), sync, || {})?;
            if sync {
                packed.sync_name()?;
            }
            packed.read_again()?;
        }
        let unlinked = self.unlink(Slot::unlinks_first, changed);
        let unlinked_at = (!unlinked.is_empty()).then(Instant::now);
        unlinked.into_iter().try_for_each(|(_, unlinked)| unlinked)?;
        if self.is_durable() {
            // Else an old loose value might be back, after a power failure, in front of the new one.
            for directory in &*changed {
                sync_directory(directory)?;
            }
        }
        let mut as_they_will_be = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.touches_packed()) {
            match slot.change {
                Change::Write(value) => as_they_will_be.push(slot.entry(Some(value))),
                // What was packed when the ref had been locked is still; the rest may be by now.
                _ if slot.packed || packed.find(slot.name())?.is_some() => as_they_will_be.push(slot.entry(None)),
                _ => {}
            }
        }
        if !as_they_will_be.is_empty() {
            packed.replace(&sorted(as_they_will_be), &temporary, room.take(), sync, || {
                if let Some(unlinked_at) = unlinked_at {
                    std::thread::sleep(READERS_GAP.saturating_sub(unlinked_at.elapsed()));
                }
            })?;
            match if sync { packed.sync_name() } else { Ok(()) } {
                // Committed is committed.
                Err(err) if !self.is_durable() => complaints.push(format!("{err:#}")),
                synced => synced?,
            }
        }
        Ok(())
    }

    /// What packed-refs is called until it is complete.
    pub(super) fn temporary_name(&self) -> String {
        let id = self.journal.as_ref().map_or_else(TransactionId::new, |journal| journal.id().clone());
        format!("packed-refs.{}", id.link_text())
    }

    fn write_logs(&self, complaints: &mut Vec<String>) {
        let Site { paths, config, locksmith, .. } = self.site;
        let mut head_lock = None;
        for LogLine { name, log, old, new, .. } in &self.lines {
            if name == "HEAD" && head_lock.is_none() {
                let (path, mut made) = (paths.lock("HEAD".into()), MadeDirectories::default());
                // A courtesy: the line goes to the log whether we get it or not.
                head_lock = Some(match &self.journal {
                    Some(journal) => locksmith.mark(&path, journal.mark(), config.ref_lock_timeout, &mut made),
                    None => locksmith.file(&path, b"", false, config.ref_lock_timeout, &mut made),
                });
            }
            if self.again && log.ends_in(&reflog::line(*old, *new, self.identity.as_ref())) {
                continue;
            }
            if let Err(err) = log.append(*old, *new, self.identity.as_ref(), locksmith) {
                complaints.push(format!("cannot append to '{}': {err}", log.path().display()));
            }
        }
        let mut absent = AbsentDirectories::default();
        for slot in self.slots.iter().filter(|slot| slot.change == Change::Delete) {
            if absent.would_hold(slot.name(), |directory| paths.log(directory)) {
                continue;
            }
            if let Err(err) = reflog::remove(slot.name(), paths) {
                complaints.push(format!("cannot remove '{}': {err}", paths.log(slot.name()).display()));
            }
        }
    }
}

fn sorted(mut changes: Vec<packed_write::Change>) -> Vec<packed_write::Change> {
    changes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    changes
}
