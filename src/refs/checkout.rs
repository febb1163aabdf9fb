//! `receive.denyCurrentBranch=updateInstead`: the files of a work tree follow the branch that it has checked out.
//!
//! Index and work tree are git's own business, so this is done by its programs, or by a push-to-checkout hook in their
//! place. All that can fail is tried before the ref is written, without a change: see [`WorkTreeUpdate::check`].

use std::{
    io,
    process::{Command, Stdio},
};

use anyhow::Result;
use bstr::ByteSlice;
use gix::ObjectId;

use super::{snapshot::Snapshot, worktrees::Worktree};
use crate::{
    command::Refusal,
    hooks::{Hooks, push_to_checkout},
};

/// A work tree that can follow its branch, as far as could be seen without a change.
#[derive(Debug)]
#[must_use = "the work tree is as it was until `carry_out`"]
pub struct WorkTreeUpdate<'a> {
    worktree: &'a Worktree,
    new: ObjectId,
    by_hook: bool,
}

/// Why a work tree cannot follow.
const NOT_UP_TO_DATE: &str = "Up-to-date check failed";
const UNSTAGED: &str = "Working directory has unstaged changes";
const STAGED: &str = "Working directory has staged changes";
const COULD_NOT_UPDATE: &str = "Could not update working tree to new HEAD";

impl<'a> WorkTreeUpdate<'a> {
    /// See whether the files of `worktree` can be brought to `new`. Where a push-to-checkout hook is to do that, it alone
    /// can say, and is asked only in [`carry_out`](Self::carry_out).
    pub fn check(
        worktree: &'a Worktree,
        snapshot: &Snapshot,
        hooks: &Hooks,
        new: &ObjectId,
    ) -> Result<Result<Self, Refusal>> {
        let by_hook = hooks.exists(push_to_checkout::EVENT);
        let update = WorkTreeUpdate { worktree, new: *new, by_hook };
        if by_hook {
            return Ok(Ok(update));
        }
        if new.is_null() {
            // There is nothing that the files could be brought to.
            return refused(COULD_NOT_UPDATE);
        }
        let id = new.to_string();
        let before = update.id_of_head(snapshot);
        let steps: [(&[&str], _); 4] = [
            (&["update-index", "-q", "--ignore-submodules", "--refresh"], NOT_UP_TO_DATE),
            (&["diff-files", "--quiet", "--ignore-submodules", "--"], UNSTAGED),
            (&["diff-index", "--quiet", "--cached", "--ignore-submodules", &before, "--"], STAGED),
            // Finds the untracked files that are in the way.
            (&["read-tree", "--dry-run", "-u", "-m", &id], COULD_NOT_UPDATE),
        ];
        for (arguments, failure) in steps {
            if !update.git(arguments, hooks) {
                return refused(failure);
            }
        }
        Ok(Ok(update))
    }

    /// Change the files. To be called right before the ref gets its new value, when nothing else can fail any more.
    pub fn carry_out(self, hooks: &Hooks) -> Result<Result<(), Refusal>> {
        if self.by_hook {
            let answer = hooks.push_to_checkout(&self.new, &self.worktree.git_dir, &self.worktree.work_tree)?;
            return if answer.is_refusal() { refused("push-to-checkout hook declined") } else { Ok(Ok(())) };
        }
        let done = self.git(&["read-tree", "-u", "-m", &self.new.to_string()], hooks);
        if done { Ok(Ok(())) } else { refused(COULD_NOT_UPDATE) }
    }

    /// What the index is compared with: HEAD, or where that is a branch without commits, nothing.
    fn id_of_head(&self, snapshot: &Snapshot) -> String {
        match &self.worktree.head {
            Some(branch) if snapshot.find(branch.as_bstr()).is_none() => {
                ObjectId::empty_tree(self.new.kind()).to_string()
            }
            _ => "HEAD".to_owned(),
        }
    }

    /// Run a git command in the work tree, which sees what hooks see; its output goes to this process's stderr. True if it succeeded.
    fn git(&self, arguments: &[&str], hooks: &Hooks) -> bool {
        let result = Command::new("git")
            .args(arguments)
            .current_dir(&self.worktree.work_tree)
            .envs(hooks.environment())
            .env("GIT_DIR", &self.worktree.git_dir)
            .env("GIT_WORK_TREE", &self.worktree.work_tree)
            .stdin(Stdio::null())
            .stdout(io::stderr())
            .status();
        match result {
            Ok(status) => status.success(),
            Err(err) => {
                say!("error: cannot run 'git {}' in '{}': {err}", arguments[0], self.worktree.work_tree.display());
                false
            }
        }
    }
}

fn refused<T>(words: &str) -> Result<Result<T, Refusal>> {
    Ok(Err(Refusal::other(words)))
}
