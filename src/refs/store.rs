//! Refs wherever they are stored: one face for the two ways of changing them, step by step.

use std::ffi::OsString;

use bstr::BStr;
use gix::ObjectId;

use super::transaction::{
    self, Aborted, Committed, Hook, Mode, Queued, Settled, Undone, Unfinished,
    update_ref::{self, Session},
};
use crate::{
    balanced::{intent::Intent, journal::Journal, transaction_id::TransactionId},
    command::Refusal,
    config::Config,
    objects::database::Database,
    repository::{RefFormat, Repository},
};

/// A transaction whose refs are locked and that nothing speaks against. Dropping it undoes it.
pub enum Prepared<'a> {
    /// This process has the locks, and writes loose files and packed-refs.
    Files(Box<transaction::Prepared<'a>>),
    /// A `git update-ref` process has them, and writes.
    Git(Box<Session<'a>>),
}

/// A transaction that is on disk, and about to be voted upon. Dropping it undoes it.
pub enum Voting<'a> {
    /// See [`Prepared::Files`].
    Files(Box<transaction::Voting<'a>>),
    /// See [`Prepared::Git`].
    Git(Box<update_ref::Voting<'a>>),
}

/// A transaction that will be carried out, by this process or another.
pub enum Decided<'a> {
    /// See [`Prepared::Files`].
    Files(Box<transaction::Decided<'a>>),
    /// See [`Prepared::Git`].
    Git(Box<update_ref::Decided<'a>>),
}

/// True if this program writes the refs of `repository`. Where names that differ in case are one file, which of them are one
/// ref is for git to say.
fn is_ours(repository: &Repository, config: &Config) -> bool {
    repository.ref_format == RefFormat::Files && !config.ignore_case
}

/// [`Queued::prepare`], in the way that the refs of `repository` are stored.
pub fn prepare<'a>(
    queued: Queued<'a>,
    (repository, config): (&Repository, &Config),
    database: &'a Database,
    mode: Mode,
    hook: Option<Hook<'a>>,
) -> Result<Prepared<'a>, Aborted> {
    if is_ours(repository, config) {
        queued.prepare(database, mode, hook).map(Box::new).map(Prepared::Files)
    } else {
        Session::new(queued, database, mode, hook).map(Box::new).map(Prepared::Git)
    }
}

/// [`Queued::prepare_for_vote`] likewise; with the variables by which git finds the `objects` in quarantine.
pub fn prepare_for_vote<'a>(
    queued: Queued<'a>,
    (repository, config): (&Repository, &Config),
    (database, objects): (&'a Database, Vec<(&'static str, OsString)>),
    id: TransactionId,
    hook: Option<Hook<'a>>,
) -> Result<Prepared<'a>, Aborted> {
    if is_ours(repository, config) {
        queued.prepare_for_vote(database, id, hook).map(Box::new).map(Prepared::Files)
    } else {
        Session::for_vote(queued, database, id, objects, hook).map(Box::new).map(Prepared::Git)
    }
}

impl<'a> Prepared<'a> {
    /// See [`transaction::Prepared::updates`].
    pub fn updates(&self) -> Vec<(ObjectId, ObjectId, &BStr)> {
        match self {
            Prepared::Files(files) => files.updates(),
            Prepared::Git(session) => session.updates(),
        }
    }

    /// See [`transaction::Prepared::stands`].
    pub fn stands(&self, index: usize) -> bool {
        match self {
            Prepared::Files(files) => files.stands(index),
            Prepared::Git(session) => session.stands(index),
        }
    }

    /// See [`transaction::Prepared::withdraw`].
    pub fn withdraw(&mut self, index: usize, refusal: Refusal) {
        match self {
            Prepared::Files(files) => files.withdraw(index, refusal),
            Prepared::Git(session) => session.withdraw(index, refusal),
        }
    }

    /// See [`transaction::Prepared::commit`].
    pub fn commit(self) -> Result<Committed, Aborted> {
        match self {
            Prepared::Files(files) => files.commit(),
            Prepared::Git(session) => session.commit(),
        }
    }

    /// See [`transaction::Prepared::open_vote`].
    pub fn open_vote(self, push: Intent) -> Result<Voting<'a>, (Undone, Aborted)> {
        match self {
            Prepared::Files(files) => files.open_vote(push).map(Box::new).map(Voting::Files),
            Prepared::Git(session) => session.open_vote(push).map(Box::new).map(Voting::Git),
        }
    }
}

impl<'a> Voting<'a> {
    /// See [`transaction::Voting::journal`].
    pub fn journal(&mut self) -> Option<&mut Journal> {
        match self {
            Voting::Files(files) => files.journal(),
            Voting::Git(session) => session.journal(),
        }
    }

    /// See [`transaction::Voting::id`].
    pub fn id(&self) -> Option<&TransactionId> {
        match self {
            Voting::Files(files) => files.id(),
            Voting::Git(session) => session.id(),
        }
    }

    /// See [`transaction::Voting::updates`].
    pub fn updates(&self) -> Vec<(ObjectId, ObjectId, &BStr)> {
        match self {
            Voting::Files(files) => files.updates(),
            Voting::Git(session) => session.updates(),
        }
    }

    /// See [`transaction::Voting::check`].
    pub fn check(&mut self) -> Result<(), Aborted> {
        match self {
            Voting::Files(files) => files.check(),
            Voting::Git(session) => session.check(),
        }
    }

    /// See [`transaction::Voting::decide`].
    pub fn decide(self) -> Result<Decided<'a>, (Undone, Aborted)> {
        match self {
            Voting::Files(files) => files.decide().map(Box::new).map(Decided::Files),
            Voting::Git(session) => session.decide().map(Box::new).map(Decided::Git),
        }
    }

    /// See [`transaction::Voting::refuse`].
    pub fn refuse(self) -> Undone {
        match self {
            Voting::Files(files) => files.refuse(),
            Voting::Git(session) => session.refuse(),
        }
    }
}

impl Decided<'_> {
    /// See [`transaction::Decided::commit`]. git has all its locks by now, so there is nothing to `look` for.
    pub fn commit(self, look: &dyn Fn()) -> Result<Settled, Unfinished> {
        match self {
            Decided::Files(files) => files.commit(look),
            Decided::Git(session) => session.commit(),
        }
    }
}
