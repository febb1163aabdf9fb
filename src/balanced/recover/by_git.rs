//! One transaction of a dead process whose refs git changes: taken up in a new session, where the refs allow that yet.
//!
//! git lets go of its locks when the pusher dies. So others may have changed the refs since, and a yes can come too late.

use std::{fs::File, io, path::Component};

use anyhow::Result;
use nix::fcntl::Flock;

use super::{Outcome, Parties, Recovery, found::Found};
use crate::{
    balanced::{format::State, journal::Journal},
    objects::{database::Database, quarantine::Quarantine},
    refs::{
        git_lock::GitLock,
        lock::Locksmith,
        transaction::{
            Unfinished,
            update_ref::{Resumed, TooLate},
        },
    },
};

impl Found<'_> {
    /// Go forward; `newly` if the yes is not in the journal yet.
    pub(super) fn carry_out_by_git(
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
        self.free_locks_of_git()?;
        let mut journal = Journal::adopt(self.id.clone(), file, self.path.to_owned(), text, locksmith)?;
        let outcome = self.go_forward(recovery, &mut journal, newly, parties);
        if !matches!(outcome, Ok(Outcome::CarriedOut | Outcome::RolledBack)) {
            journal.leave();
        }
        outcome
    }

    fn go_forward(
        &self,
        recovery: &Recovery<'_>,
        journal: &mut Journal,
        newly: bool,
        parties: &mut Parties<'_>,
    ) -> Result<Outcome> {
        let (config, interrupts) = (recovery.config, recovery.interrupts);
        let quarantine = self.quarantine();
        let objects = match quarantine.clone().filter(|quarantine| quarantine.is_dir()) {
            Some(dir) => Quarantine::adopt(dir, self.repository, config, interrupts)?.variables_for_objects(),
            None => Vec::new(),
        };
        let place = (self.repository, config, interrupts);
        let resumed = match Resumed::lock(place, (&self.intent, !newly), journal, &objects) {
            Ok(Ok(resumed)) => resumed,
            Ok(Err(TooLate(why))) => {
                say!("error: {} is undone in spite of the yes: {why}", self.id);
                journal.reach(State::Aborted)?;
                self.clean_up(parties)?;
                self.tell(parties, false);
                return Ok(Outcome::RolledBack);
            }
            Err(Unfinished(why)) if newly => return Ok(Outcome::Failed(why.to_string())),
            Err(Unfinished(why)) => return Ok(Outcome::Waiting(why)),
        };
        if newly {
            journal.reach(State::Decided)?;
        }
        // It goes only when the refs are written, and without its objects they must not be.
        let ready = quarantine.map_or(Ok(()), |quarantine| (parties.bring_in)(&quarantine));
        let ready = ready.and_then(|()| self.find_values(&Database::open(self.repository)?));
        if let Err(err) = ready {
            return Ok(Outcome::Waiting(format!("{err:#}").into()));
        }
        if let Err(Unfinished(why)) = resumed.commit() {
            return Ok(Outcome::Waiting(why));
        }
        journal.reach(State::Committed)?;
        self.clean_up(parties)?;
        self.tell(parties, true);
        journal.reach(State::Told)?;
        Ok(Outcome::CarriedOut)
    }

    /// Remove the locks that git left because it was killed, and that can be told from any other. It is dead, as its journal is
    /// ours.
    pub(super) fn free_locks_of_git(&self) -> io::Result<()> {
        let is_inside = |lock: &&GitLock| {
            let roots = [&self.repository.common_dir, &self.repository.git_dir];
            let is_plain = lock.path.components().all(|part| part != Component::ParentDir);
            is_plain && roots.iter().any(|root| lock.path.starts_with(root))
        };
        self.git_locks.iter().filter(is_inside).try_for_each(GitLock::remove)
    }
}
