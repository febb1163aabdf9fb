//! Refs wherever they are stored: one face for the two ways of changing them.

use bstr::BStr;
use gix::ObjectId;

use super::transaction::{self, Aborted, Committed, Hook, Mode, Queued, update_ref::Session};
use crate::{
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

/// [`Queued::prepare`], in the way that the refs of `repository` are stored.
pub fn prepare<'a>(
    queued: Queued<'a>,
    (repository, config): (&Repository, &Config),
    database: &'a Database,
    mode: Mode,
    hook: Option<Hook<'a>>,
) -> Result<Prepared<'a>, Aborted> {
    // Where names that differ in case are one file, which of them are one ref is for git to say.
    if repository.ref_format == RefFormat::Files && !config.ignore_case {
        queued.prepare(database, mode, hook).map(Box::new).map(Prepared::Files)
    } else {
        Session::new(queued, database, mode, hook).map(Box::new).map(Prepared::Git)
    }
}

impl Prepared<'_> {
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
}
