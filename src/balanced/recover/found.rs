//! One transaction of a dead process: carried out to its end, or undone.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use bstr::BString;
use nix::fcntl::Flock;

use super::{
    Outcome, Parties, Recovery,
    leavings::{free_for_all, remove_all, undo},
};
use crate::{
    balanced::{format::State, intent::Intent, journal::Journal, transaction_id::TransactionId},
    objects::database::Database,
    refs::{
        lock::Locksmith,
        paths::Paths,
        reflog::{self, Log},
        transaction::{Decided, Unfinished},
    },
    repository::Repository,
};

/// A transaction whose process is dead, and whose journal we hold.
pub(super) struct Found<'f> {
    pub(super) repository: &'f Repository,
    pub(super) path: &'f Path,
    pub(super) id: &'f TransactionId,
    pub(super) locks: Vec<BString>,
    pub(super) intent: Intent,
    /// This machine and this directory were its writer's.
    pub(super) is_of_here: bool,
}

impl Found<'_> {
    /// Go forward; `newly` if the yes is not in the journal yet.
    pub(super) fn carry_out(
        &self,
        recovery: &Recovery<'_>,
        file: Flock<File>,
        text: &[u8],
        newly: bool,
        parties: &mut Parties<'_>,
    ) -> Result<Outcome> {
        let locksmith = Locksmith { interrupts: recovery.interrupts, shared: recovery.config.shared_repository };
        // Nothing of this is to be undone by a signal, nor by an error.
        let _held_off = recovery.interrupts.hold_off();
        free_for_all(self.repository.into(), self.id)?;
        let mut journal = Journal::adopt(self.id.clone(), file, self.path.to_owned(), text, locksmith)?;
        let ready = if newly { journal.reach(State::Decided).map_err(Into::into) } else { Ok(()) };
        let ready = ready.and_then(|()| match self.quarantine() {
            // It goes only when the refs are written, and without its objects they must not be.
            Some(quarantine) => (parties.bring_in)(&quarantine),
            None => Ok(()),
        });
        let database = ready.and_then(|()| Database::open(self.repository));
        // Where the quarantine is out of sight, so may they be, and no ref is to name what nobody has.
        let database = database.and_then(|database| self.find_values(&database).map(|()| database));
        let database = match database {
            Ok(database) => database,
            Err(err) => {
                journal.leave();
                return Ok(Outcome::Waiting(format!("{err:#}").into()));
            }
        };
        let (repository, config, interrupts) = (self.repository, recovery.config, recovery.interrupts);
        let decided = Decided::resume(repository, config, interrupts, &database, journal, &self.intent);
        let settled = match decided.and_then(|decided| decided.commit(&|| {}).map_err(|Unfinished(why)| why)) {
            Ok(settled) => settled,
            Err(why) => return Ok(Outcome::Waiting(why)),
        };
        self.clean_up(parties)?;
        self.tell(parties, true);
        settled.told();
        Ok(Outcome::CarriedOut)
    }

    /// Fails if the object of a new value is missing.
    fn find_values(&self, database: &Database) -> Result<()> {
        for update in self.intent.updates.iter().filter(|update| !update.new.is_null()) {
            let id = update.new;
            ensure!(database.header(&id)?.is_some(), "object {id}, the new value of '{}', is missing", update.name);
        }
        Ok(())
    }

    /// Write down that it is over, and undo it.
    pub(super) fn roll_back(
        &self,
        recovery: &Recovery<'_>,
        file: Flock<File>,
        text: &[u8],
        parties: &mut Parties<'_>,
    ) -> Result<Outcome> {
        let locksmith = Locksmith { interrupts: recovery.interrupts, shared: recovery.config.shared_repository };
        let mut journal = Journal::adopt(self.id.clone(), file, self.path.to_owned(), text, locksmith)?;
        let undone = journal.reach(State::Aborted).map_err(Into::into).and_then(|()| self.clean_up(parties));
        match undone {
            Ok(()) => {
                self.tell(parties, false);
                Ok(Outcome::RolledBack)
            }
            Err(err) => {
                journal.leave();
                Err(err)
            }
        }
    }

    pub(super) fn tell(&self, parties: &mut Parties<'_>, is_committed: bool) {
        if self.is_of_here {
            (parties.tell)(self.id, &self.intent, is_committed);
        }
    }

    /// True if each ref is still locked for this transaction.
    pub(super) fn holds_all(&self) -> bool {
        let (paths, text) = (Paths::from(self.repository), self.id.link_text());
        self.intent.updates.iter().all(|update| {
            fs::read_link(paths.lock(update.name.as_ref())).is_ok_and(|found| found.as_os_str() == text.as_str())
        })
    }

    /// Write the log lines that are missing. The refs are free only after the last line, so one that is free says that all
    /// are there.
    pub(super) fn write_logs(&self, recovery: &Recovery<'_>) -> Result<()> {
        let paths = Paths::from(self.repository);
        let locksmith = Locksmith { interrupts: recovery.interrupts, shared: recovery.config.shared_repository };
        if !self.holds_all() {
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
        undo(self.repository.into(), self.id, &self.locks)?;
        remove_all(&self.path.with_file_name(format!("{}.d", self.id)))?;
        if let Some(quarantine) = self.quarantine().filter(|quarantine| quarantine.is_dir()) {
            (parties.clear)(&quarantine)?;
        }
        Ok(())
    }

    /// The quarantine, if there was one. What the journal says of it is believed only if it is a name of ours.
    fn quarantine(&self) -> Option<PathBuf> {
        let name = self.intent.objects.as_ref().filter(|name| **name == format!("incoming-{}", self.id))?;
        Some(self.repository.objects_dir.join(OsStr::from_bytes(name)))
    }
}
