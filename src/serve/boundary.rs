//! Where history ends, in a push from a shallow clone or into a shallow repository: what each ref needs for its history to be
//! whole is found out before anybody is asked about it, and put into the `shallow` file right before the refs change.

use std::collections::BTreeSet;

use anyhow::Result;
use gix::ObjectId;

use super::{Push, refuse_all, write::all_for_one};
use crate::{
    command::{Command, Refusal},
    objects::{
        connectivity::{self, Grounds, Tips, new_roots},
        database::Database,
        quarantine::Quarantine,
        removals::Untouched,
        shallow::{
            Shallow,
            change::{Locked, NewRoots},
            for_hooks::{self, RootsForHooks},
        },
    },
    refs::{alternates, snapshot::Snapshot, store::Prepared, transaction::Mode, visibility::HiddenRefs},
};

/// The edits of a transaction that bring new roots along, each with its command.
#[derive(Default)]
pub(super) struct Cut {
    edits: Vec<usize>,
    commands: Vec<Command>,
}

impl Cut {
    /// Take note of edit number `edit`, if `command` is such a one.
    pub(super) fn add(&mut self, edit: usize, command: &Command) {
        if !command.new_roots.is_empty() {
            self.edits.push(edit);
            self.commands.push(command.clone());
        }
    }

    /// Leave out of `prepared` what was refused. Where that is the end of all `count` edits, says what becomes of each.
    pub(super) fn withdraw_from(
        &self,
        prepared: &mut Prepared<'_>,
        mode: Mode,
        count: usize,
    ) -> Option<Vec<Result<(), Refusal>>> {
        if mode == Mode::AllOrNone {
            return self.refusals().next().map(|(edit, refusal)| all_for_one(count, edit, refusal));
        }
        self.refusals().for_each(|(edit, refusal)| prepared.withdraw(edit, refusal));
        None
    }

    /// The edits that were refused, and why.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (usize, Refusal)> {
        self.edits.iter().zip(&self.commands).filter_map(|(edit, command)| Some((*edit, command.refusal()?.clone())))
    }
}

impl Push<'_> {
    /// All that a new value reaches must be there, in quarantine or behind what the repository vouches for. Where the client's
    /// history ends the repository's may have to end too: hooks then see both, in the file that is returned.
    pub(super) fn examine(
        &mut self,
        quarantine: &mut Quarantine,
        commands: &mut [Command],
    ) -> Result<Option<RootsForHooks>> {
        let database = self.database.with_quarantine(quarantine, self.repository.hash);
        let is_cut_off =
            self.refuse_incomplete((&database, &self.snapshot, quarantine.is_closed), self.shallow, commands);
        if !is_cut_off || !self.config.shallow_update {
            return Ok(None);
        }
        let content = for_hooks::content(self.shallow, &self.request.shallow);
        if self.config.balanced_atomic {
            // Once the objects have left it, the file of the repository says it all. And whoever finds the quarantine of a
            // dead push has these roots with it.
            return quarantine.show_roots(&content).map(|()| None);
        }
        let roots = RootsForHooks::write(self.repository, &self.interrupts, &content)?;
        self.hooks = self.hooks.inside(&roots.environment());
        Ok(Some(roots))
    }

    /// Refuse what is incomplete, and what needs roots of the client's where the repository takes none over. True if the client
    /// sent any that it might have to. `is_closed` as in [`Grounds`].
    fn refuse_incomplete(
        &self,
        (database, snapshot, is_closed): (&Database, &Snapshot, bool),
        shallow: &Shallow,
        commands: &mut [Command],
    ) -> bool {
        let hidden = &HiddenRefs::new(&self.config.hide_refs);
        let alternates = &alternates::tips(self.repository, self.config);
        let tips = &Tips { repository: self.repository, snapshot, hidden, alternates };
        let interrupts = &self.interrupts;
        let grounds = Grounds { database, tips, config: self.config, shallow, is_closed, interrupts };
        let is_cut_off = new_roots::assign(&grounds, &self.request.shallow, commands);
        if !self.cli.skip_connectivity_check {
            connectivity::check(&grounds, self.sideband, self.has_progress(), commands);
        }
        is_cut_off
    }

    /// True if nothing was removed since of what the new values reach, so far as anybody can have.
    pub(super) fn is_still_complete(
        &self,
        quarantine: &Quarantine,
        untouched: &Untouched,
        commands: &[Command],
    ) -> Result<bool> {
        if untouched.holds() {
            return Ok(true);
        }
        let mut commands: Vec<Command> = commands.iter().filter(|command| !command.is_refused()).cloned().collect();
        // As they are now: the ref that vouched for an object may be gone as well.
        let (database, snapshot) = (Database::open(self.repository)?, Snapshot::read(self.repository)?);
        let database = database.with_quarantine(quarantine, self.repository.hash);
        self.refuse_incomplete((&database, &snapshot, quarantine.is_closed), self.shallow, &mut commands);
        Ok(!commands.iter().any(Command::is_refused))
    }

    /// Lock the `shallow` file if it is to change, and refuse what `cut` can no longer bring: somebody may have deepened the
    /// repository since, or cut it off elsewhere.
    pub(super) fn lock_shallow(&self, cut: &mut Cut, database: &Database) -> Option<Locked<'_>> {
        if cut.commands.is_empty() {
            return None;
        }
        let is_voted = self.config.balanced_atomic;
        // Another vote that holds it takes its time.
        let timeout = if is_voted { self.config.balanced_timeout } else { self.config.packed_refs_timeout };
        let (repository, config, interrupts) = (self.repository, self.config, &self.interrupts);
        match Locked::take(repository, config, interrupts, &self.transaction, is_voted, timeout) {
            Ok(locked) => {
                if locked.shallow() != self.shallow {
                    self.refuse_incomplete((database, &self.snapshot, false), locked.shallow(), &mut cut.commands);
                }
                Some(locked)
            }
            Err(error) => {
                self.refuse_cut(cut, &error);
                None
            }
        }
    }

    /// The same for a push that is to be voted upon, with all that it takes to add the roots after a yes.
    pub(super) fn prepare_shallow(&self, cut: &mut Cut, database: &Database) -> Option<NewRoots<'_>> {
        let mut locked = self.lock_shallow(cut, database)?;
        self.stage_roots(cut, |_| true, &mut locked);
        let roots: BTreeSet<ObjectId> =
            cut.commands.iter().flat_map(|command| command.new_roots.iter().copied()).collect();
        Some(NewRoots { roots: roots.into_iter().collect(), locked })
    }

    /// Write the roots of those edits that are `still` to be carried out beside the `shallow` file.
    pub(super) fn stage_roots(&self, cut: &mut Cut, still: impl Fn(usize) -> bool, locked: &mut Locked<'_>) {
        let due = cut.edits.iter().zip(&cut.commands).filter(|(edit, _)| still(**edit));
        let roots = due.flat_map(|(_, command)| command.new_roots.iter().copied());
        if let Err(error) = locked.stage(roots, &self.transaction) {
            self.refuse_cut(cut, &error);
        }
    }

    /// Put them in its place.
    pub(super) fn take_over_roots(&self, cut: &mut Cut, locked: &mut Locked<'_>) {
        if let Err(error) = locked.put_in_place() {
            self.refuse_cut(cut, &error);
        }
    }

    fn refuse_cut(&self, cut: &mut Cut, error: &anyhow::Error) {
        self.sideband.error(format!("{error:#}"));
        refuse_all(&mut cut.commands, &Refusal::other("shallow error"));
    }
}
