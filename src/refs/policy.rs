//! What the repository's owner allows to be done to one ref: names, checked-out branches, deletions, rewinds, hooks.
//!
//! Nothing is written here. That the client's idea of the old value is right is for the transaction to find out, under
//! the ref's lock.

use std::cell::{Cell, OnceCell};

use anyhow::Result;
use bstr::{BStr, BString, ByteSlice};
use gix::{ObjectId, objs::Kind};

use super::{
    advice,
    checkout::WorkTreeUpdate,
    name,
    snapshot::Snapshot,
    symbolic::{self, Symbolic},
    worktrees::{self, Worktree},
};
use crate::{
    command::{Command, Refusal},
    config::{Config, Deny},
    hooks::{Answer, Hooks},
    objects::{ancestry, database::Database, history::History, shallow::Shallow},
    repository::Repository,
    wire::sideband::Sideband,
};

/// The rules of a repository, and what they need to know of its state.
pub struct Policy<'a> {
    repository: &'a Repository,
    config: &'a Config,
    database: &'a Database,
    shallow: &'a Shallow,
    snapshot: &'a Snapshot,
    hooks: &'a Hooks<'a>,
    sideband: &'a Sideband,
    worktrees: Vec<Worktree>,
    /// What HEAD of the repository pushed to leads to, by full name; bare ones have it too. Only deletions ask.
    head: OnceCell<Option<BString>>,
    /// The value that was found last: the refs of one push often share it.
    found: Cell<Option<ObjectId>>,
    /// There was no update hook when it was looked for first.
    no_update_hook: Cell<bool>,
}

/// How an allowed command is to be carried out.
#[derive(Debug)]
pub struct Allowed<'a> {
    /// The value that the ref must have under its lock: null if it must not be there, `None` if any will do.
    pub old: Option<ObjectId>,
    /// What has to be done to a work tree that has the branch checked out, right before the ref gets its new value.
    pub work_tree: Option<WorkTreeUpdate<'a>>,
}

/// Refused, for a reason that was told.
type Checked<T = ()> = std::result::Result<T, Refusal>;

impl<'a> Policy<'a> {
    /// Look at the worktrees. `database` is the repository's with the new objects in it, whose history ends where
    /// `shallow` says; `snapshot` tells which refs there are.
    pub fn new(
        repository: &'a Repository,
        config: &'a Config,
        (database, shallow): (&'a Database, &'a Shallow),
        snapshot: &'a Snapshot,
        hooks: &'a Hooks<'a>,
        sideband: &'a Sideband,
    ) -> Result<Self> {
        let worktrees = worktrees::list(repository, config)?;
        Ok(Policy {
            repository,
            config,
            database,
            shallow,
            snapshot,
            hooks,
            sideband,
            worktrees,
            head: OnceCell::new(),
            found: Cell::new(None),
            no_update_hook: Cell::new(false),
        })
    }

    /// Decide on one command, ask the `update` hook about it, and see whether a work tree can follow.
    ///
    /// Refuses it and gives `None`, or says how to carry it out. Errors are failures of this program or of the disk.
    pub fn decide(&self, command: &mut Command) -> Result<Option<Allowed<'_>>> {
        match self.check(command)? {
            Ok(allowed) => Ok(Some(allowed)),
            Err(refusal) => {
                command.refuse(refusal);
                Ok(None)
            }
        }
    }

    fn check(&self, command: &mut Command) -> Result<Checked<Allowed<'_>>> {
        if name::is_funny(command.name(), command.is_deletion()) {
            self.sideband.error(words!("refusing to update funny ref '", command.name, "' remotely"));
            return refused("funny refname");
        }
        let full = [self.repository.namespace.as_slice(), &command.name].concat();
        let exists = self.snapshot.find(full.as_bstr()).is_some();
        // Without the namespace: git compares it so.
        let worktree = self.worktrees.iter().find(|worktree| worktree.uses(command.name()));
        if worktree.is_some()
            && let Err(refusal) = self.check_current_branch(command.name())
        {
            return Ok(Err(refusal));
        }
        if !command.is_deletion() && !self.is_here(command.new) {
            say!("error: {} is not here, though the pack should have brought it", command.new);
            return refused("bad pack");
        }
        if command.is_deletion() && (exists || !command.old.is_null()) {
            let is_current = worktree.is_some() || self.is_named_by_head(full.as_bstr())?;
            if let Err(refusal) = self.check_deletion(command.name(), is_current) {
                return Ok(Err(refusal));
            }
        }
        if let Err(refusal) = self.check_rewind(command)? {
            return Ok(Err(refusal));
        }
        if self.ask_update_hook(command)?.is_refusal() {
            self.sideband.error(words!("hook declined to update ", command.name));
            return Ok(Err(Refusal::UpdateHookDeclined));
        }
        let mut work_tree = None;
        if let Some(worktree) = worktree.filter(|_| self.config.deny_current_branch == Deny::UpdateInstead) {
            match WorkTreeUpdate::check(worktree, self.snapshot, self.hooks, &command.new)? {
                Ok(update) => work_tree = Some(update),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let old = self.expected_old_value(command, exists);
        Ok(Ok(Allowed { old, work_tree }))
    }

    /// True if HEAD leads to the ref of the full name `full`.
    fn is_named_by_head(&self, full: &BStr) -> Result<bool> {
        let head = match self.head.get() {
            Some(head) => head,
            None => {
                let head = match symbolic::follow(self.repository, "HEAD".into())? {
                    Symbolic::LeadsTo(branch) => Some(branch),
                    Symbolic::No | Symbolic::Broken => None,
                };
                self.head.get_or_init(|| head)
            }
        };
        Ok(head.as_ref().is_some_and(|head| head == full))
    }

    /// True if there is an object of this name.
    fn is_here(&self, id: ObjectId) -> bool {
        if self.found.get() != Some(id) && self.database.contains(&id) {
            self.found.set(Some(id));
        }
        self.found.get() == Some(id)
    }

    fn ask_update_hook(&self, command: &Command) -> Result<Answer> {
        if self.no_update_hook.get() {
            return Ok(Answer::NoHook);
        }
        let answer = self.hooks.update(command)?;
        self.no_update_hook.set(answer == Answer::NoHook);
        Ok(answer)
    }

    /// `receive.denyCurrentBranch`, of a branch that is checked out.
    fn check_current_branch(&self, name: &BStr) -> Checked {
        match self.config.deny_current_branch {
            // The work tree comes last, when nothing else speaks against it.
            Deny::Ignore | Deny::UpdateInstead => Ok(()),
            Deny::Warn => {
                self.sideband.warning("updating the current branch");
                Ok(())
            }
            deny @ (Deny::Refuse | Deny::Unset) => {
                self.sideband.error(words!("refusing to update checked out branch: ", name));
                if deny == Deny::Unset {
                    self.sideband.error(advice::CURRENT_BRANCH);
                }
                Err(Refusal::other("branch is currently checked out"))
            }
        }
    }

    /// `receive.denyDeletes` and `receive.denyDeleteCurrent`.
    fn check_deletion(&self, name: &BStr, is_current: bool) -> Checked {
        if self.config.deny_deletes && name.starts_with(b"refs/heads/") {
            self.sideband.error(words!("denying ref deletion for ", name));
            return Err(Refusal::other("deletion prohibited"));
        }
        if !is_current {
            return Ok(());
        }
        match self.config.deny_delete_current {
            Deny::Ignore => Ok(()),
            Deny::Warn => {
                self.sideband.warning("deleting the current branch");
                Ok(())
            }
            deny @ (Deny::Refuse | Deny::Unset | Deny::UpdateInstead) => {
                if deny == Deny::Unset {
                    self.sideband.error(advice::DELETE_CURRENT);
                }
                self.sideband.error(words!("refusing to delete the current branch: ", name));
                Err(Refusal::other("deletion of the current branch prohibited"))
            }
        }
    }

    /// `receive.denyNonFastForwards`: a branch may only move to descendants of its value.
    fn check_rewind(&self, command: &Command) -> Result<Checked> {
        let moves = !command.is_deletion() && !command.is_creation();
        if !self.config.deny_non_fast_forwards || !moves || !command.name.starts_with(b"refs/heads/") {
            return Ok(Ok(()));
        }
        for end in [&command.old, &command.new] {
            if !matches!(self.database.header(end)?, Some((Kind::Commit, _))) {
                say!("error: bad sha1 objects for {}", command.name);
                return refused("bad ref");
            }
        }
        let history = History::new(self.repository, self.database, self.shallow);
        if ancestry::is_ancestor(&history, command.old, command.new)? {
            return Ok(Ok(()));
        }
        self.sideband.error(words!("denying non-fast-forward ", command.name, " (you should pull first)"));
        refused("non-fast-forward")
    }

    /// What the ref must hold under its lock. A ref is deleted whatever it holds where the client cannot know that: it
    /// named no object, or one that is not here.
    fn expected_old_value(&self, command: &mut Command, exists: bool) -> Option<ObjectId> {
        if !command.is_deletion() || self.is_here(command.old) {
            return Some(command.old);
        }
        if exists {
            self.sideband.warning("allowing deletion of corrupt ref");
        } else {
            self.sideband.warning("deleting a non-existent ref");
            command.nothing_to_delete = true;
        }
        None
    }
}

fn refused<T>(words: &str) -> Result<Checked<T>> {
    Ok(Err(Refusal::other(words)))
}
