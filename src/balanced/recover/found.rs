//! One transaction of a dead process: carried out to its end, or undone.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::Result;
use bstr::BString;

use super::{
    Parties, Recovery,
    leavings::{free_for_all, remove_all, undo},
};
use crate::{
    balanced::{format::State, intent::Intent, journal::Journal, survivors::Group, transaction_id::TransactionId},
    objects::{
        database::Database,
        quarantine,
        shallow::change::{self, Locked},
    },
    refs::{
        git_lock::GitLock,
        lock::{Locksmith, is_marked},
        paths::Paths,
        reflog::{self, Log},
        transaction::{Decided, Unfinished},
    },
    repository::Repository,
};

/// A transaction whose process is dead, and whose journal we hold.
pub struct Found<'f> {
    /// The repository, as that process saw it.
    pub repository: &'f Repository,
    pub(super) path: &'f Path,
    /// The transaction.
    pub id: &'f TransactionId,
    pub(super) locks: Vec<BString>,
    /// Directories below the common one that it may have made.
    pub(super) directories: Vec<PathBuf>,
    /// The lock files that a git has made for it.
    pub(super) git_locks: Vec<GitLock>,
    /// What was voted upon; empty if nothing was.
    pub intent: Intent,
    /// The process group of its hook, where that may still be alive.
    pub hook: Option<Group>,
}

impl Found<'_> {
    /// Go forward; `newly` if the yes is not in the journal yet, which this gives back. An error leaves it to another try.
    pub(super) fn carry_out(
        &self,
        recovery: &Recovery<'_>,
        mut journal: Journal,
        newly: bool,
        parties: &mut Parties<'_>,
    ) -> Result<Journal, BString> {
        let say = |err: anyhow::Error| BString::from(format!("{err:#}"));
        free_for_all(self.repository.into(), self.id).map_err(|err| say(err.into()))?;
        if newly {
            journal.reach(State::Decided).map_err(|err| say(err.into()))?;
        }
        if let Some(quarantine) = self.quarantine() {
            // It goes only when the refs are written, and without its objects they must not be.
            (parties.bring_in)(self, &quarantine).map_err(say)?;
        }
        // Its lock is held until the refs are written.
        let _shallow = self.add_roots(recovery).map_err(say)?;
        // Where the quarantine is out of sight, so may they be, and no ref is to name what nobody has; and time has passed in
        // which others may have tidied up.
        (parties.find_objects)(self).map_err(say)?;
        let database = Database::open(self.repository).map_err(say)?;
        let (repository, config, interrupts) = (self.repository, recovery.config, recovery.interrupts);
        let decided = Decided::resume(repository, config, interrupts, &database, journal, &self.intent)?;
        let settled = decided.commit(&|| {}).map_err(|Unfinished(why)| why)?;
        settled.complaints().iter().for_each(|complaint| say!("error: {complaint}"));
        settled.untold().ok_or_else(|| "it has no journal".into())
    }

    /// Add the roots that the new values need to the `shallow` file, as it is by now. What is returned has its lock, until the refs
    /// are written; it is to be dropped before anything of this transaction's name is cleared away.
    pub(super) fn add_roots<'r>(&self, recovery: &'r Recovery<'_>) -> Result<Option<Locked<'r>>> {
        let Recovery { config, interrupts, .. } = *recovery;
        if self.intent.roots.is_empty() {
            return Ok(None);
        }
        // The dead process's own lock would be in the way.
        change::clean_up(&self.repository.common_dir, self.id)?;
        let mut locked = Locked::take(self.repository, config, interrupts, self.id, true, config.packed_refs_timeout)?;
        locked.stage(self.intent.roots.iter().copied(), self.id)?;
        locked.put_in_place()?;
        Ok(Some(locked))
    }

    /// True if each ref is still locked for this transaction.
    pub(super) fn holds_all(&self) -> io::Result<bool> {
        let (paths, text) = (Paths::from(self.repository), self.id.link_text());
        for update in &self.intent.updates {
            if !is_marked(&paths.lock(update.name.as_ref()), &text)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Write the log lines that are missing. The refs are free only after the last line, so one that is free says that all
    /// are there.
    pub(super) fn write_logs(&self, recovery: &Recovery<'_>) -> Result<()> {
        let paths = Paths::from(self.repository);
        let locksmith = Locksmith { interrupts: recovery.interrupts, shared: recovery.config.shared_repository };
        if !self.holds_all()? {
            return Ok(());
        }
        let identity = self.intent.identity.as_ref();
        for line in &self.intent.logs {
            let log = Log::at(line.name.as_ref(), paths, line.make);
            if !log.ends_in(&reflog::line(line.old, line.new, identity)) {
                log.append(line.old, line.new, identity, locksmith)?;
            }
        }
        for update in self.intent.updates.iter().filter(|update| update.new.is_null() && !update.old.is_null()) {
            reflog::remove(update.name.as_ref(), paths)?;
        }
        Ok(())
    }

    /// Take away all that bears the transaction's name but the journal.
    pub(super) fn clean_up(&self, parties: &mut Parties<'_>) -> Result<()> {
        self.free_locks_of_git()?;
        undo(self.repository.into(), self.id, &self.locks, &self.directories)?;
        remove_all(&self.path.with_file_name(format!("{}.d", self.id)))?;
        if let Some(quarantine) = self.quarantine()
            && quarantine.try_exists()?
        {
            (parties.clear)(self, &quarantine)?;
        }
        Ok(())
    }

    /// The quarantine, if there was one.
    pub fn quarantine(&self) -> Option<PathBuf> {
        self.intent.objects.as_ref().map(|_| self.repository.objects_dir.join(quarantine::name_for(self.id)))
    }
}
