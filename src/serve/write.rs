//! From verdicts to refs: what the policy and the update hook have nothing against is written in one transaction, which in
//! balanced mode is put to a vote first.

use anyhow::{Result, ensure};
use bstr::BStr;

use super::{Push, boundary::Cut, refuse_all};
use crate::{
    balanced::vote::{Refused, Stakes, Vote},
    command::{Command, Refusal, Writer},
    hooks::{Hooks, reference_transaction},
    objects::{
        connectivity::with_new_roots, database::Database, quarantine::Quarantine, removals::Untouched, shallow::Shallow,
    },
    refs::{
        aliases,
        checkout::WorkTreeUpdate,
        policy::Policy,
        store,
        transaction::{Aborted, Committed, Edit, Failure, Mode, Phase, Queued},
    },
};

impl Push<'_> {
    /// Put the commands that are `due` to the policy and, one after the other, the update hook, and write those that pass
    /// in one transaction.
    pub(super) fn write(&self, commands: &mut [Command], mode: Mode, due: impl Fn(&Command) -> bool) -> Result<()> {
        if !commands.iter().any(|command| is_open(command) && due(command)) {
            return Ok(());
        }
        let boundary = with_new_roots(self.shallow, commands);
        let policy = self.policy(&self.database, &self.hooks, &boundary)?;
        let approved = self.approve(&policy, commands, mode, due)?;
        if !approved.edits.is_empty() {
            let indices = approved.indices.clone();
            let outcomes = self.commit(approved, mode)?;
            refuse_each(commands, &indices, outcomes);
        }
        Ok(())
    }

    fn policy<'p>(&'p self, database: &'p Database, hooks: &'p Hooks<'p>, boundary: &'p Shallow) -> Result<Policy<'p>> {
        Policy::new(self.repository, self.config, (database, boundary), &self.snapshot, hooks, self.sideband)
    }

    /// What the policy has nothing against; nothing at all if one is refused and the others with it.
    fn approve<'p>(
        &self,
        policy: &'p Policy<'_>,
        commands: &mut [Command],
        mode: Mode,
        due: impl Fn(&Command) -> bool,
    ) -> Result<Approved<'p>> {
        let mut approved = Approved::default();
        for index in 0..commands.len() {
            let command = &mut commands[index];
            if !is_open(command) || !due(command) {
                continue;
            }
            if let Some(allowed) = policy.decide(command)? {
                let name = self.full_name(command.name());
                approved.work_trees.extend(allowed.work_tree.map(|work_tree| (approved.edits.len(), work_tree)));
                approved.cut.add(approved.edits.len(), command);
                approved.edits.push(Edit { name, old: allowed.old, new: command.new });
                approved.indices.push(index);
            } else if mode == Mode::AllOrNone {
                refuse_all(commands, &Refusal::AtomicPushFailure);
                return Ok(Approved::default());
            }
        }
        Ok(approved)
    }

    /// Write refs in one transaction; what became of each, in the order of the edits.
    fn commit(&self, approved: Approved<'_>, mode: Mode) -> Result<Vec<Result<(), Refusal>>> {
        let count = approved.edits.len();
        let mut hook = |phase, lines: &BStr| self.ask_about_transaction(&self.hooks, phase, lines);
        let hook = self.hooks.exists(reference_transaction::EVENT).then_some(&mut hook as _);
        let queued = Queued::new(self.repository, self.config, &self.interrupts, approved.edits)?;
        let mut prepared = match store::prepare(queued, (self.repository, self.config), &self.database, mode, hook) {
            Ok(prepared) => prepared,
            Err(aborted) => return Ok(self.tell_aborted(aborted, count)),
        };
        let mut cut = approved.cut;
        let mut shallow = self.lock_shallow(&mut cut, &self.database);
        if let Some(refused) = cut.withdraw_from(&mut prepared, mode, count) {
            return Ok(refused);
        }
        for (edit, work_tree) in approved.work_trees {
            if !prepared.stands(edit) {
                continue;
            }
            let Err(refusal) = work_tree.carry_out(&self.hooks)? else { continue };
            if mode == Mode::AllOrNone {
                return Ok(all_for_one(count, edit, refusal));
            }
            prepared.withdraw(edit, refusal);
        }
        if let Some(shallow) = &mut shallow {
            self.stage_roots(&mut cut, |edit| prepared.stands(edit), shallow);
            self.take_over_roots(&mut cut, shallow);
            if let Some(refused) = cut.withdraw_from(&mut prepared, mode, count) {
                return Ok(refused);
            }
        }
        match prepared.commit() {
            Ok(committed) => Ok(self.tell_committed(committed)),
            Err(aborted) => Ok(self.tell_aborted(aborted, count)),
        }
    }

    /// Balanced mode: write all refs or none, when everything is prepared and the balanced_update hook says yes. The objects
    /// stay in quarantine until then, and every hook that is asked gets its variables, as `inside` has them.
    pub(super) fn put_to_vote(
        &self,
        quarantine: Option<Quarantine>,
        untouched: Option<&Untouched>,
        inside: &Hooks<'_>,
        commands: &mut [Command],
    ) -> Result<()> {
        aliases::check(self.repository, self.sideband, commands)?;
        self.refuse_rest_if_atomic(commands);
        let database = match &quarantine {
            Some(quarantine) => self.database.with_quarantine(quarantine, self.repository.hash),
            None => self.database.clone(),
        };
        let boundary = with_new_roots(self.shallow, commands);
        let policy = self.policy(&database, inside, &boundary)?;
        let Approved { indices, edits, work_trees, mut cut } =
            self.approve(&policy, commands, Mode::AllOrNone, |_| true)?;
        if edits.is_empty() {
            return Ok(());
        }
        let vote = Vote {
            repository: self.repository,
            config: self.config,
            interrupts: &self.interrupts,
            hooks: &self.hooks,
            sideband: self.sideband,
            options: self.request.push_options.as_deref().unwrap_or_default(),
        };
        let count = edits.len();
        let mut hook = |phase, lines: &BStr| {
            let hooks = if matches!(phase, Phase::Preparing | Phase::Prepared) { inside } else { &self.hooks };
            self.ask_about_transaction(hooks, phase, lines)
        };
        let hook = self.hooks.exists(reference_transaction::EVENT).then_some(&mut hook as _);
        let queued = Queued::new(self.repository, self.config, &self.interrupts, edits)?;
        let is_complete = |quarantine: &Quarantine| match untouched {
            Some(untouched) => self.is_still_complete(quarantine, untouched, commands),
            None => Ok(true),
        };
        let is_complete = &is_complete;
        let objects = quarantine.as_ref().map(Quarantine::variables_for_objects).transpose()?.unwrap_or_default();
        let place = (self.repository, self.config);
        let id = self.transaction.clone();
        let outcomes = match store::prepare_for_vote(queued, place, (&database, objects), id, hook) {
            Err(aborted) => self.tell_aborted(aborted, count),
            Ok(prepared) => {
                let new_roots = self.prepare_shallow(&mut cut, &database);
                let held = match cut.refusals().next() {
                    Some((edit, refusal)) => Err(Refused::one(edit, refusal)),
                    None => vote.hold(prepared, Stakes { quarantine, is_complete, work_trees, new_roots })?,
                };
                match held {
                    Ok(decided) => self.tell_committed(decided.commit()?),
                    Err(Refused { refusal, edit: Some(edit), .. }) => all_for_one(count, edit, refusal),
                    Err(Refused { refusal, message, .. }) => self.tell_aborted(Aborted { refusal, message }, count),
                }
            }
        };
        refuse_each(commands, &indices, outcomes);
        Ok(())
    }

    fn ask_about_transaction(&self, hooks: &Hooks<'_>, phase: Phase, lines: &BStr) -> Result<()> {
        ensure!(!hooks.reference_transaction(phase, lines)?.is_refusal(), "the hook said no");
        Ok(())
    }

    fn tell_aborted(&self, aborted: Aborted, count: usize) -> Vec<Result<(), Refusal>> {
        if !aborted.message.is_empty() {
            self.sideband.error(aborted.message);
        }
        vec![Err(aborted.refusal); count]
    }

    fn tell_committed(&self, committed: Committed) -> Vec<Result<(), Refusal>> {
        for complaint in committed.complaints {
            say!("error: {complaint}");
        }
        let told = |failure: Failure| {
            if !failure.message.is_empty() {
                self.sideband.error(&failure.message);
            }
            failure.refusal
        };
        committed.outcomes.into_iter().map(|outcome| outcome.map_err(told)).collect()
    }
}

/// What the policy has nothing against.
#[derive(Default)]
struct Approved<'a> {
    /// Which commands, one for each edit.
    indices: Vec<usize>,
    edits: Vec<Edit>,
    /// The work trees that are to follow, with the number of the edit.
    work_trees: Vec<(usize, WorkTreeUpdate<'a>)>,
    cut: Cut,
}

/// True if the command is for this program to carry out, as far as is known.
fn is_open(command: &Command) -> bool {
    !command.is_refused() && command.writer == Writer::Transaction
}

/// What becomes of `count` edits of an atomic push if there is a word against one.
pub(super) fn all_for_one(count: usize, one: usize, refusal: Refusal) -> Vec<Result<(), Refusal>> {
    let mut verdicts = vec![Err(Refusal::AtomicPushFailure); count];
    verdicts[one] = Err(refusal);
    verdicts
}

fn refuse_each(commands: &mut [Command], indices: &[usize], outcomes: Vec<Result<(), Refusal>>) {
    for (index, outcome) in indices.iter().zip(outcomes) {
        if let Err(refusal) = outcome {
            commands[*index].refuse(refusal);
        }
    }
}
