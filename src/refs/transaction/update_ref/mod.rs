//! Refs that only git can change: a transaction over one `git update-ref --stdin` session.
//!
//! That git locks, checks and writes, reflogs included. What it does not do, since the git installed here may be older than
//! the behaviour asked for: it refuses all edits for the first bad one, so where each is to be refused alone the bad ones
//! are found out and left out; and reference-transaction hooks are run by this program, in either way of changing refs
//! the same ones, at the same moments.
//!
//! The usual push costs one process. Only when git refuses are the refs read and every edit judged by them; then the rest
//! is tried again. What git refuses for a reason that reading does not show is the edit that git's message names.
//!
//! Where there is a vote, the session is held over it (`vote`), and what a dead one left is taken up in another (`resume`).

mod found;
mod judge;
mod locks;
mod process;
mod resume;
mod vote;

use std::ffi::OsString;

use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;

use self::{found::Found, process::UpdateRef, vote::Vote};
pub use self::{
    resume::{Resumed, TooLate},
    vote::{Decided, Voting},
};
use super::{
    Aborted, Announced, Committed, Edit, Failure, Hook, INSIDE_QUARANTINE, Mode, Phase, Queued, Site, commit::LONG,
    prepare::bad_names,
};
use crate::{
    balanced::{claims, transaction_id::TransactionId},
    command::Refusal,
    objects::database::Database,
    refs::{
        lock::{Held, Waiting},
        snapshot::Snapshot,
    },
};

/// A prepared transaction whose locks a `git update-ref` process holds, for no longer than this process lives. Dropping it
/// undoes it.
pub struct Session<'a> {
    // Dropped in this order: the hook is told `aborted` when the locks are free.
    /// What stands at the paths of refs that are to be created, where refs are files.
    guards: Vec<Held>,
    /// `None` if no edit is left.
    git: Option<UpdateRef>,
    /// Where it is to be voted upon.
    vote: Option<Vote>,
    announced: Announced<'a>,
    site: Site<'a>,
    database: &'a Database,
    mode: Mode,
    edits: Vec<Edit>,
    /// In the order of the edits.
    failures: Vec<Option<Failure>>,
    /// What the edits are about, as read under the locks; in their order.
    found: Vec<Found>,
    /// An edit was left out since git checked them.
    withdrawn: bool,
    /// A ref that goes is in packed-refs, as far as the hook is to know it.
    unpacks: bool,
}

impl<'a> Session<'a> {
    /// The same as [`Queued::prepare`].
    pub fn new(
        queued: Queued<'a>,
        database: &'a Database,
        mode: Mode,
        hook: Option<Hook<'a>>,
    ) -> Result<Self, Aborted> {
        Self::begin(queued, database, mode, None, hook)
    }

    /// The same as [`Queued::prepare_for_vote`]; with the variables by which git finds the `objects` in quarantine.
    pub fn for_vote(
        queued: Queued<'a>,
        database: &'a Database,
        id: TransactionId,
        objects: Vec<(&'static str, OsString)>,
        hook: Option<Hook<'a>>,
    ) -> Result<Self, Aborted> {
        Self::begin(queued, database, Mode::AllOrNone, Some((id, objects)), hook)
    }

    fn begin(
        queued: Queued<'a>,
        database: &'a Database,
        mode: Mode,
        vote: Option<(TransactionId, Vec<(&'static str, OsString)>)>,
        hook: Option<Hook<'a>>,
    ) -> Result<Self, Aborted> {
        let Queued { site, edits, date } = queued;
        if site.repository.inside_quarantine {
            return Err(Aborted::new(mode, INSIDE_QUARANTINE));
        }
        let mut session = Session {
            guards: Vec::new(),
            git: None,
            vote: None,
            announced: Announced { hook, aborted: Vec::new() },
            site,
            database,
            mode,
            failures: edits.iter().map(|_| None).collect(),
            found: Vec::new(),
            withdrawn: false,
            unpacks: false,
            edits,
        };
        for (index, failure) in bad_names(&session.edits) {
            session.fail(index, failure)?;
        }
        session.announced.ask_first(mode, &session.edits, &session.failures)?;
        if let Some((id, objects)) = vote {
            session.vote = Some(Vote::begin(id, objects, date, &session.edits, site)?);
        }
        session.open()?;
        session.look()?;
        session.guard()?;
        let (inner, lines) = (session.inner_lines(), session.hook_lines());
        session.announced.ask_prepared(mode, session.unpacks, inner, lines)?;
        Ok(session)
    }

    /// Have git lock and check the edits that stand.
    fn open(&mut self) -> Result<(), Aborted> {
        self.site.locksmith.interrupts.lasts();
        let mut waiting = Waiting::new(self.site.config.ref_lock_timeout);
        let mut for_vote = Waiting::new(Some(self.site.config.balanced_timeout.unwrap_or(LONG)));
        loop {
            let mut standing = self.standing().map(|(_, edit)| edit).peekable();
            if standing.peek().is_none() {
                return Ok(());
            }
            let refusal = match UpdateRef::prepare(self.site, standing, self.vote.as_ref().map(Vote::as_seen_by_git)) {
                Ok(git) => {
                    self.git = Some(git);
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            // A vote keeps all others from a reftable for as long as its hook may take.
            let own = self.vote.as_ref().map(|vote| vote.journal.id());
            let mut again =
                || waiting.again() || (claims::is_another_under_way(self.site.repository, own) && for_vote.again());
            if refusal.is_for_want_of_lock() && again() {
                continue;
            }
            if self.mode == Mode::AllOrNone || !self.leave_out(refusal.message.as_ref())? {
                return Err(Aborted::new(self.mode, refusal.message));
            }
        }
    }

    /// Find the edits that git refused with `message`; false if there is none to be found.
    fn leave_out(&mut self, message: &BStr) -> Result<bool, Aborted> {
        let judged = judge::bad_edits(self.standing(), self.site, self.database);
        let mut bad = judged.map_err(|err| Aborted::new(self.mode, format!("{err:#}")))?;
        if bad.is_empty() {
            let named = self.standing().filter_map(|(index, edit)| {
                // The last name is that of the edit; before it may come what it clashes with.
                message.rfind(words!("'", edit.name, "'")).map(|at| (at, index))
            });
            bad.extend(named.max().map(|(_, index)| (index, Failure::general(message))));
        }
        let found = !bad.is_empty();
        for (index, failure) in bad {
            self.fail(index, failure)?;
        }
        Ok(found)
    }

    fn fail(&mut self, index: usize, failure: Failure) -> Result<(), Aborted> {
        if self.mode == Mode::AllOrNone {
            return Err(Aborted::new(self.mode, failure.message));
        }
        self.failures[index].get_or_insert(failure);
        Ok(())
    }

    fn standing(&self) -> impl Iterator<Item = (usize, &Edit)> + Clone {
        self.edits.iter().enumerate().filter(|(index, _)| self.failures[*index].is_none())
    }

    /// See [`Prepared::stands`](super::Prepared::stands).
    pub fn stands(&self, index: usize) -> bool {
        self.failures.get(index).is_some_and(Option::is_none)
    }

    /// See [`Prepared::withdraw`](super::Prepared::withdraw). Those that are left are locked and checked anew.
    pub fn withdraw(&mut self, index: usize, refusal: Refusal) {
        if let Some(failure) = self.failures.get_mut(index) {
            failure.get_or_insert(Failure { refusal, message: BString::default() });
            self.withdrawn = true;
        }
    }

    /// See [`Prepared::commit`](super::Prepared::commit).
    pub fn commit(mut self) -> Result<Committed, Aborted> {
        if self.withdrawn {
            // What git has prepared it can only carry out as a whole.
            self.git = None;
            self.open()?;
        }
        let held_off = self.site.locksmith.interrupts.hold_off();
        if let Some(git) = self.git.take()
            && let Err(refusal) = git.commit()
        {
            self.find_out(refusal.message)?;
        }
        let inner = if self.unpacks { self.inner_lines() } else { BString::default() };
        let lines = self.hook_lines();
        self.announced.aborted.clear();
        drop(held_off);
        self.announced.tell(Phase::Committed, inner.as_ref());
        self.announced.tell(Phase::Committed, lines.as_ref());
        let outcomes = self.failures.into_iter().map(|failure| failure.map_or(Ok(()), Err)).collect();
        Ok(Committed { outcomes, complaints: Vec::new() })
    }

    /// git ended in the middle of the commit: which refs have their new values?
    fn find_out(&mut self, message: BString) -> Result<(), Aborted> {
        let snapshot = Snapshot::read(self.site.repository);
        let snapshot = snapshot.map_err(|err| Aborted::new(self.mode, format!("{message}; {err:#}")))?;
        let value = |id: ObjectId| Some(id).filter(|id| !id.is_null());
        let (done, not): (Vec<_>, Vec<_>) = self
            .standing()
            .map(|(index, edit)| (index, snapshot.find(edit.name.as_ref()) == value(edit.new)))
            .partition(|(_, done)| *done);
        if done.is_empty() {
            return Err(Aborted::new(self.mode, message));
        }
        for (index, _) in not {
            self.failures[index] = Some(Failure::general(message.as_bstr()));
        }
        Ok(())
    }
}
