//! One transaction of a dead process whose refs git changes: taken up in a new session, where the refs allow that yet.
//!
//! git lets go of its locks when the pusher dies. So others may have changed the refs since, and a yes can come too late.

use std::{io, path::Component};

use bstr::BString;

use super::{Found, Parties, Recovery};
use crate::{
    balanced::{format::State, journal::Journal},
    objects::quarantine::Quarantine,
    refs::{
        git_lock::GitLock,
        transaction::{
            Unfinished,
            update_ref::{Resumed, TooLate},
        },
    },
};

impl Found<'_> {
    /// Go forward; `newly` if the yes is not in the journal yet. An error leaves it to another try.
    pub(super) fn carry_out_by_git(
        &self,
        recovery: &Recovery<'_>,
        journal: &mut Journal,
        newly: bool,
        parties: &mut Parties<'_>,
    ) -> Result<Result<(), TooLate>, BString> {
        let (config, interrupts) = (recovery.config, recovery.interrupts);
        let say = |err: anyhow::Error| BString::from(format!("{err:#}"));
        self.free_locks_of_git().map_err(|err| say(err.into()))?;
        let quarantine = self.quarantine();
        let objects = match quarantine.clone().filter(|dir| dir.is_dir()) {
            Some(dir) => {
                let quarantine = Quarantine::adopt(dir, self.repository, config, interrupts);
                quarantine.and_then(|quarantine| quarantine.variables_for_objects()).map_err(say)?
            }
            None => Vec::new(),
        };
        let place = (self.repository, config, interrupts);
        let resumed = Resumed::lock(place, (&self.intent, !newly), journal, &objects);
        let resumed = match resumed.map_err(|Unfinished(why)| why)? {
            Ok(resumed) => resumed,
            Err(too_late) => return Ok(Err(too_late)),
        };
        if newly {
            journal.reach(State::Decided).map_err(|err| say(err.into()))?;
        }
        if let Some(quarantine) = quarantine {
            // It goes only when the refs are written, and without its objects they must not be.
            (parties.bring_in)(self, &quarantine).map_err(say)?;
        }
        let _shallow = self.add_roots(recovery).map_err(say)?;
        (parties.find_objects)(self).map_err(say)?;
        resumed.commit().map_err(|Unfinished(why)| why)?;
        journal.reach(State::Committed).map_err(|err| say(err.into()))?;
        Ok(Ok(()))
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
