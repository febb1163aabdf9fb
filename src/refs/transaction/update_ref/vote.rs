//! From Prepared to Settled where git has the locks: the session is held over the vote, and the journal says what it is about.
//!
//! Dropping any step up to `Voting` undoes it: git lets go. From `Decided` on it is left as it is, for a recovery: what git
//! was told to commit it commits, and nobody has told it so of the rest.

use std::{collections::BTreeSet, ffi::OsString};

use bstr::{BStr, BString};
use gix::ObjectId;

use super::{
    super::{
        Aborted, Committed, Edit, Mode, Phase, Site,
        vote::{Settled, Undone, Unfinished},
    },
    Session,
    process::Voted,
    resume::{Resumed, TooLate, sync},
};
use crate::{
    balanced::{
        format::State,
        intent::{CommitsBy, Intent, Update},
        journal::Journal,
        transaction_id::TransactionId,
    },
    interrupt::HeldOff,
    refs::{
        identity,
        lock::{Held, MadeDirectories},
        symbolic::{self, Symbolic},
    },
    repository::RefFormat,
};

/// What a transaction needs so as to outlast this process.
pub(super) struct Vote {
    pub(super) journal: Journal,
    /// The directories of lock files, which git would leave behind.
    pub(super) made: MadeDirectories,
    /// The variables by which git finds the objects in quarantine.
    objects: Vec<(&'static str, OsString)>,
    /// Name, mail and time of the committer.
    identity: BString,
}

/// See [`transaction::Voting`](super::super::Voting).
pub struct Voting<'a> {
    session: Session<'a>,
    intent: Intent,
}

/// See [`transaction::Decided`](super::super::Decided).
pub struct Decided<'a> {
    /// `None` once it is carried out.
    session: Option<Session<'a>>,
    intent: Intent,
    /// Signals wait: what is decided is not to be undone.
    _held_off: HeldOff,
}

impl<'a> Session<'a> {
    /// See [`Prepared::open_vote`](super::super::Prepared::open_vote).
    pub fn open_vote(mut self, push: Intent) -> Result<Voting<'a>, (Undone, Aborted)> {
        let intent = self.intent(push);
        let written = match &mut self.vote {
            Some(vote) => vote.journal.open_vote(&intent).map_err(|err| err.to_string()),
            None => Err("it has no journal".into()),
        };
        match written {
            Ok(()) => Ok(Voting { session: self, intent }),
            Err(why) => {
                let aborted = Aborted::new(self.mode, format!("cannot prepare the vote: {why}"));
                Err((self.undo(), aborted))
            }
        }
    }

    /// Let go of everything but the journal.
    fn undo(mut self) -> Undone {
        let vote = self.vote.take();
        // Guards before locks; and those are in the directories.
        self.guards.clear();
        self.git = None;
        Undone::of(vote.map(|Vote { journal, .. }| journal))
    }

    fn intent(&self, push: Intent) -> Intent {
        let null = self.site.repository.hash.null();
        let update = |(number, edit): (usize, &Edit)| Update {
            number,
            how: CommitsBy::Git,
            old: self.found[number].old.unwrap_or(null),
            new: edit.new,
            peeled: None,
            name: self.found[number].name.clone(),
        };
        Intent {
            updates: self.standing().map(update).collect(),
            // git writes the logs with the refs.
            logs: Vec::new(),
            identity: self.vote.as_ref().map(|vote| vote.identity.clone()).unwrap_or_default(),
            ..push
        }
    }
}

impl<'a> Voting<'a> {
    /// The name of the transaction.
    pub fn id(&self) -> Option<&TransactionId> {
        self.session.vote.as_ref().map(|vote| vote.journal.id())
    }

    /// See [`transaction::Voting::journal`](super::super::Voting::journal).
    pub fn journal(&mut self) -> Option<&mut Journal> {
        self.session.vote.as_mut().map(|vote| &mut vote.journal)
    }

    /// What is voted upon; see [`Prepared::updates`](super::super::Prepared::updates).
    pub fn updates(&self) -> Vec<(ObjectId, ObjectId, &BStr)> {
        self.session.updates()
    }

    /// See whether all is as it was when the vote began: git lives and has its locks, and each new value is there.
    pub fn check(&mut self) -> Result<(), Aborted> {
        let mode = self.session.mode;
        let failed = |why: String| Err(Aborted::new(mode, why));
        if let Some(git) = &mut self.session.git {
            if !git.lives() {
                return failed("'git update-ref' ended during the vote".into());
            }
            if let Some(lost) = git.locks.iter().find(|lock| !lock.is_there()) {
                return failed(format!("somebody has removed '{}'", lost.path.display()));
            }
            if let Some(lost) = self.session.guards.iter().find(|guard| !guard.path().is_symlink()) {
                return failed(format!("somebody has removed '{}'", lost.path().display()));
            }
        }
        let mut buffer = Vec::new();
        for Update { name, new, .. } in self.intent.updates.iter().filter(|update| !update.new.is_null()) {
            match self.session.database.find(new, &mut buffer) {
                Ok(Some(_)) => {}
                Ok(None) => return failed(format!("cannot update ref '{name}': object {new} is gone")),
                Err(err) => return failed(format!("cannot update ref '{name}': {err:#}")),
            }
        }
        Ok(())
    }

    /// See [`transaction::Voting::decide`](super::super::Voting::decide).
    pub fn decide(mut self) -> Result<Decided<'a>, (Undone, Aborted)> {
        // Before the word is on disk a signal undoes everything, from then on it waits.
        let held_off = self.session.site.locksmith.interrupts.hold_off();
        let mode = self.session.mode;
        let written = self.check().and_then(|()| {
            let vote = self.session.vote.as_mut().ok_or_else(|| Aborted::new(mode, "the vote has no journal"))?;
            let reached = vote.journal.reach(State::Decided);
            reached.map_err(|err| Aborted::new(mode, format!("cannot write the decision down: {err}")))
        });
        match written {
            Ok(()) => Ok(Decided { session: Some(self.session), intent: self.intent, _held_off: held_off }),
            Err(aborted) => Err((self.refuse(), aborted)),
        }
    }

    /// See [`transaction::Voting::refuse`](super::super::Voting::refuse).
    pub fn refuse(mut self) -> Undone {
        if let Some(journal) = self.journal() {
            // Without this line, a recovery asks again.
            journal.reach(State::Aborted).ok();
        }
        self.session.undo()
    }
}

impl<'a> Decided<'a> {
    /// Carry it out. Where git dies over it, another is started.
    pub fn commit(mut self) -> Result<Settled, Unfinished> {
        let Some(mut session) = self.session.take() else { return Err(Unfinished(BString::default())) };
        let held_off = session.site.locksmith.interrupts.hold_off();
        if let Err(unfinished) = session.write(&self.intent) {
            session.leave();
            return Err(unfinished);
        }
        let journal = session.vote.take().map(|Vote { journal, .. }| journal);
        let inner = if session.unpacks { session.inner_lines() } else { BString::default() };
        let lines = session.hook_lines();
        session.announced.aborted.clear();
        drop(held_off);
        session.announced.tell(Phase::Committed, inner.as_ref());
        session.announced.tell(Phase::Committed, lines.as_ref());
        let committed = Committed { outcomes: session.edits.iter().map(|_| Ok(())).collect(), complaints: Vec::new() };
        Ok(Settled::of(committed, journal))
    }
}

impl Session<'_> {
    /// Have git commit, make it last, and write that down.
    fn write(&mut self, intent: &Intent) -> Result<(), Unfinished> {
        // Refs take their places.
        self.guards.iter_mut().for_each(Held::leave);
        let committed = self.git.take().map_or(Ok(()), |git| git.commit());
        let Some(vote) = &mut self.vote else { return Err(Unfinished("it has no journal".into())) };
        match committed {
            Ok(()) => {
                let synced = sync(self.site, intent);
                synced.map_err(|err| Unfinished(format!("cannot sync the refs: {err}").into()))?;
            }
            Err(refusal) => match vote.take_up(self.site, intent)? {
                Ok(resumed) => resumed.commit()?,
                Err(TooLate(why)) => return Err(Unfinished(format!("{}; then {why}", refusal.message).into())),
            },
        }
        let reached = vote.journal.reach(State::Committed);
        reached.map_err(|err| Unfinished(format!("cannot write it down: {err}").into()))
    }

    /// Let go without undoing what is written down.
    fn leave(&mut self) {
        if let Some(Vote { journal, made, .. }) = &mut self.vote {
            journal.leave();
            made.leave();
        }
        self.guards.iter_mut().for_each(Held::leave);
        self.announced.aborted.clear();
    }
}

impl Vote {
    pub(super) fn begin(
        id: TransactionId,
        objects: Vec<(&'static str, OsString)>,
        date: Option<String>,
        edits: &[Edit],
        site: Site<'_>,
    ) -> Result<Self, Aborted> {
        let mut names: BTreeSet<BString> = edits.iter().map(|edit| edit.name.clone()).collect();
        let mut made = MadeDirectories::default();
        if site.repository.ref_format == RefFormat::Files {
            for edit in edits {
                if let Ok(Symbolic::LeadsTo(target)) = symbolic::follow(site.repository, edit.name.as_ref()) {
                    names.insert(target);
                }
            }
            for name in &names {
                // If something is in the way, git says so.
                site.locksmith.make_parents(&site.paths.lock(name.as_ref()), &mut made).ok();
            }
        }
        // What git has locked it lets go of itself; what it cannot any more is written down once it is known.
        let journal = Journal::begin(id, true, site.paths, names, site.locksmith);
        let journal = journal.map_err(|err| Aborted::without_journal(Mode::AllOrNone, &err))?;
        let mut identity = identity::committer(site.config);
        identity.push(b' ');
        identity.extend_from_slice(date.unwrap_or_else(identity::now).as_bytes());
        Ok(Vote { journal, made, objects, identity })
    }

    pub(super) fn as_seen_by_git(&self) -> Voted<'_> {
        Voted { journal: &self.journal, objects: &self.objects, identity: self.identity.as_ref() }
    }

    /// Have another git do what is left to do.
    fn take_up<'a>(&mut self, site: Site<'a>, intent: &'a Intent) -> Result<Result<Resumed<'a>, TooLate>, Unfinished> {
        Resumed::take_up(site, (intent, true), &mut self.journal, &self.objects)
    }
}

impl Drop for Decided<'_> {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            session.leave();
        }
    }
}
