//! The vote on a push whose every check has passed, and what follows from it: Prepared to Decided, and from there to the
//! end. What is on disk at each step, and why a sudden end of the machine cannot hurt, is in ARCHITECTURE.md.

use std::{os::unix::ffi::OsStrExt, sync::Mutex};

use anyhow::{Context, Result, bail};
use bstr::BString;

use super::{ballot::Ballot, intent::Intent, recover::Asked, settle::settle, survivors};
use crate::{
    command::Refusal,
    config::Config,
    hooks::{Answer, Hooks, balanced_update::Phase, conversation::Limits},
    interrupt::{Diverted, Interrupts},
    objects::{quarantine::Quarantine, shallow::change::NewRoots},
    refs::{
        checkout::WorkTreeUpdate,
        store::{self, Prepared, Voting},
        transaction::{Aborted, Committed, Settled, Undone, Unfinished},
    },
    repository::Repository,
    wire::sideband::Sideband,
};

/// What the report says of each ref when the hook did not say yes.
const DECLINED: &str = "balanced_update hook declined";
/// The same when it said nothing in time.
const TIMED_OUT: &str = "balanced_update hook timed out";

/// What a vote is held with.
pub struct Vote<'a> {
    /// The repository pushed to.
    pub repository: &'a Repository,
    /// Its settings.
    pub config: &'a Config,
    /// What a signal does.
    pub interrupts: &'a Interrupts,
    /// The hooks as they are run when the objects have left quarantine, or never will.
    pub hooks: &'a Hooks<'a>,
    /// Where the person who pushes hears of what goes wrong.
    pub sideband: &'a Sideband,
    /// The push options.
    pub options: &'a [BString],
}

/// What waits for a yes beside the refs.
pub struct Stakes<'a> {
    /// The new objects, if there are any.
    pub quarantine: Option<Quarantine>,
    /// Tells whether all is still there that the new values reach, in the quarantine and behind it.
    pub is_complete: &'a dyn Fn(&Quarantine) -> Result<bool>,
    /// The work trees that follow, with the number of the edit that each is about.
    pub work_trees: Vec<(usize, WorkTreeUpdate<'a>)>,
    /// What is to be added to the `shallow` file, if anything.
    pub new_roots: Option<NewRoots<'a>>,
}

/// Why a push that was prepared is undone.
#[derive(Debug)]
pub struct Refused {
    /// The word in the report.
    pub refusal: Refusal,
    /// The one edit that it is about; `None` if it is about all.
    pub edit: Option<usize>,
    /// What to tell the person who pushes, without `error: `; empty if that was done.
    pub message: BString,
}

/// A push that will be carried out, by this process or another.
pub struct Decided<'a> {
    vote: &'a Vote<'a>,
    refs: store::Decided<'a>,
    quarantine: Option<Quarantine>,
    new_roots: Option<NewRoots<'a>>,
    ballot: Ballot,
    /// Signals wait until all is done.
    signals: Diverted,
}

impl<'a> Vote<'a> {
    /// Ask the hook whether what is `prepared` is to be carried out. Without a hook it is.
    ///
    /// A refusal has undone everything, and told the hook so if it was asked. A signal that arrives before the decision is on
    /// disk does the same, and then ends the process.
    pub fn hold(&'a self, prepared: Prepared<'a>, stakes: Stakes<'a>) -> Result<Result<Decided<'a>, Refused>> {
        let Stakes { quarantine, is_complete, work_trees, new_roots } = stakes;
        if !self.hooks.can_vote() {
            return Ok(Err(Refused::by_hook(DECLINED)));
        }
        if let Some(Err(err)) = quarantine.as_ref().map(Quarantine::sync) {
            return Ok(Err(Refused::by_repository(format!("{err:#}"))));
        }
        let objects = quarantine.as_ref().map(Quarantine::dir).transpose()?;
        let push = Intent {
            objects: objects.map(|dir| dir.as_os_str().as_bytes().into()),
            roots: new_roots.as_ref().map(|new| new.roots.clone()).unwrap_or_default(),
            options: self.options.to_vec(),
            certificate: self.hooks.certificate().to_vec(),
            ..Intent::default()
        };
        let mut voting = match prepared.open_vote(push) {
            Ok(voting) => voting,
            Err((undone, aborted)) => {
                drop((quarantine, new_roots));
                undone.told();
                return Ok(Err(aborted.into()));
            }
        };
        let ballot = Ballot::new(voting.id().cloned().unwrap_or_default(), voting.updates());
        let environment = quarantine.as_ref().map(Quarantine::environment).transpose()?.unwrap_or_default();
        let inside = self.hooks.inside(&environment);
        let signals = match self.interrupts.divert() {
            Ok(signals) => signals,
            Err(err) => {
                drop((quarantine, new_roots));
                return Err(err).context("cannot be told of signals during the vote");
            }
        };
        let journal = Mutex::new(voting.journal());
        let started = |hook| {
            let noted = journal.lock().map(|mut journal| journal.as_mut().map_or(Ok(()), |it| it.note_hook(hook)));
            if let Ok(Err(err)) = noted {
                say!("error: cannot write down which process was asked: {err}");
            }
        };
        let limits = Limits::within(self.config.balanced_timeout);
        let limits = Limits { interrupts: Some(&signals), started: Some(&started), ..limits };
        let answer = inside.balanced_update(Phase::Prepared, &ballot, limits);
        let answer = answer.unwrap_or_else(|err| {
            say!("error: {err:#}");
            Answer::Failed
        });
        if answer == Answer::TimedOut {
            // Its group is gone by now; what has left that is not to work on.
            survivors::end(&ballot.transaction, None);
        }
        let decision = match refusal_of(answer) {
            Some(refused) => Err((voting.refuse(), refused)),
            None => {
                let objects = quarantine.as_ref().map_or(Ok(()), |quarantine| check_objects(quarantine, is_complete));
                self.decide(voting, objects, work_trees, &inside, &signals)
            }
        };
        match decision {
            Ok(refs) => Ok(Ok(Decided { vote: self, refs, quarantine, new_roots, ballot, signals })),
            Err((undone, refused)) => {
                drop((quarantine, new_roots));
                if answer != Answer::NoHook {
                    self.tell(Phase::Aborted, &ballot);
                }
                undone.told();
                if signals.has_arrived() {
                    signals.give_way();
                }
                Ok(Err(refused))
            }
        }
    }

    /// The yes is heard: see whether all is still as it was, the `objects` too, change the work trees, and put the decision on disk.
    fn decide(
        &self,
        mut voting: Voting<'a>,
        objects: Result<(), Refused>,
        work_trees: Vec<(usize, WorkTreeUpdate<'a>)>,
        inside: &Hooks<'_>,
        signals: &Diverted,
    ) -> Result<store::Decided<'a>, (Undone, Refused)> {
        let mut ready = objects.and_then(|()| voting.check().map_err(Refused::from));
        for (edit, work_tree) in work_trees {
            if ready.is_ok() {
                let followed =
                    work_tree.carry_out(inside).unwrap_or_else(|err| Err(Refusal::other(format!("{err:#}"))));
                ready = followed.map_err(|refusal| Refused::one(edit, refusal));
            }
        }
        if signals.has_arrived() {
            ready = ready.and(refusal_of(Answer::Interrupted).map_or(Ok(()), Err));
        }
        match ready {
            Ok(()) => voting.decide().map_err(|(undone, aborted)| (undone, aborted.into())),
            Err(refused) => Err((voting.refuse(), refused)),
        }
    }

    /// Tell the hook what became of the push. What it answers changes nothing, and is told the person who pushes.
    fn tell(&self, phase: Phase, ballot: &Ballot) {
        let told = self.hooks.balanced_update(phase, ballot, Limits::within(self.config.balanced_timeout));
        if let Err(err) = &told {
            say!("error: {err:#}");
        }
        if !matches!(told, Ok(Answer::Yes | Answer::NoHook)) {
            let phase = phase.as_str();
            self.sideband.warning(format!("the balanced_update hook failed when it was told '{phase}'"));
        }
    }
}

impl<'a> Decided<'a> {
    /// Carry it out. An error leaves it to a recovery, and nothing may be reported: it will happen.
    pub fn commit(self) -> Result<Committed> {
        let Decided { vote, refs, quarantine, mut new_roots, ballot, signals } = self;
        let id = ballot.transaction.clone();
        let look = || {
            settle(vote.repository, vote.config, Asked::ByPush).ok();
        };
        match carry_out(refs, quarantine.as_ref(), new_roots.as_mut(), &look) {
            Ok(settled) => {
                drop((quarantine, new_roots));
                vote.tell(Phase::Committed, &ballot);
                let committed = settled.told();
                drop(signals);
                Ok(committed)
            }
            Err(err) => {
                if let Some(quarantine) = quarantine {
                    quarantine.leave();
                }
                if let Some(new) = new_roots {
                    new.locked.leave();
                }
                bail!("push {id} is decided, and left to be finished by the next push or by --recover: {err:#}")
            }
        }
    }
}

/// Bring in the objects, cut history off where they end, and write the refs.
fn carry_out(
    refs: store::Decided<'_>,
    quarantine: Option<&Quarantine>,
    new_roots: Option<&mut NewRoots<'_>>,
    look: &dyn Fn(),
) -> Result<Settled> {
    let kept = quarantine.map(Quarantine::link_in).transpose()?;
    new_roots.map_or(Ok(()), |new| new.locked.put_in_place())?;
    match refs.commit(look) {
        Ok(settled) => Ok(settled),
        Err(Unfinished(why)) => {
            if let Some(kept) = kept {
                kept.leave();
            }
            bail!("{why}")
        }
    }
}

/// Fails if the objects cannot be used any more: others may have gone, or come under the same names.
fn check_objects(quarantine: &Quarantine, is_complete: &dyn Fn(&Quarantine) -> Result<bool>) -> Result<(), Refused> {
    let checked = quarantine.check_names().and_then(|()| is_complete(quarantine));
    match checked.map_err(|err| Refused::by_repository(format!("{err:#}")))? {
        true => Ok(()),
        false => Err(Refused::by_repository("objects that it needs were removed during the vote".into())),
    }
}

/// What an answer means, if it is no yes.
fn refusal_of(answer: Answer) -> Option<Refused> {
    match answer {
        Answer::Yes | Answer::NoHook => None,
        Answer::TimedOut => Some(Refused::by_hook(TIMED_OUT)),
        Answer::No | Answer::Failed | Answer::Interrupted => Some(Refused::by_hook(DECLINED)),
    }
}

impl Refused {
    /// For a reason that is about edit number `edit`, and was told.
    pub fn one(edit: usize, refusal: Refusal) -> Self {
        Refused { refusal, edit: Some(edit), message: BString::default() }
    }

    fn by_hook(word: &str) -> Self {
        Refused { refusal: Refusal::other(word), edit: None, message: BString::default() }
    }

    fn by_repository(message: String) -> Self {
        Refused { refusal: Refusal::AtomicTransactionFailed, edit: None, message: message.into() }
    }
}

impl From<Aborted> for Refused {
    fn from(aborted: Aborted) -> Self {
        Refused { refusal: aborted.refusal, edit: None, message: aborted.message }
    }
}
