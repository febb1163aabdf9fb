//! Refs that a vote has not let go of although no lock says so: git had them locked for it, and let go when the voter died.
//!
//! Whoever changes such a ref before it is settled what became of the vote makes that impossible. Other programs cannot
//! know; this one looks, with its own locks taken.

use std::{fs, path::PathBuf};

use bstr::{BStr, BString};
use gix::ObjectId;

use super::{
    format::{Entry, State},
    intent::{CommitsBy, Update},
    journal,
    transaction_id::TransactionId,
};
use crate::repository::Repository;

/// A ref that a transaction is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The transaction.
    pub transaction: TransactionId,
    name: BString,
    new: ObjectId,
    /// It is decided: the new value says that it was carried out.
    decided: bool,
}

impl Claim {
    /// True if it is about the ref of this full name, which has this value now, `None` if there is none, and is locked.
    pub fn holds(&self, name: &BStr, now: Option<ObjectId>) -> bool {
        let is_done = self.decided && now.unwrap_or(self.new.kind().null()) == self.new;
        self.name == name && !is_done
    }
}

/// The refs that journals of `repository`, but that of transaction `own`, may still want to have changed by git.
///
/// Costs one system call where there is no journal. One that cannot be read claims nothing.
pub fn of_others(repository: &Repository, own: Option<&TransactionId>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (id, path) in journals_of_others(repository, own) {
        let Some(read) = fs::read(path).ok().and_then(|text| Entry::read(&text, &id).ok()) else { continue };
        let decided = match read.state {
            Some(State::Voting) => false,
            Some(State::Decided) => true,
            _ => continue,
        };
        let of_git = |update: &Update| update.how == CommitsBy::Git && update.old != update.new;
        let updates = read.intent.updates.into_iter().filter(of_git);
        claims.extend(updates.map(|update| Claim {
            transaction: id.clone(),
            name: update.name,
            new: update.new,
            decided,
        }));
    }
    claims
}

/// True if there is the journal of another transaction than `own`.
pub fn is_another_under_way(repository: &Repository, own: Option<&TransactionId>) -> bool {
    journals_of_others(repository, own).next().is_some()
}

fn journals_of_others(
    repository: &Repository,
    own: Option<&TransactionId>,
) -> impl Iterator<Item = (TransactionId, PathBuf)> {
    let entries = fs::read_dir(journal::directory(&repository.common_dir)).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let id = entry.file_name().to_str().and_then(TransactionId::of_file)?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        (is_file && Some(&id) != own).then(|| (id, entry.path()))
    })
}
