//! push-to-checkout: brings a work tree to what was pushed, in place of this program (githooks, "push-to-checkout").

use std::path::Path;

use anyhow::Result;
use gix::ObjectId;

use super::{Answer, Hooks, runner::Output};

/// The name of the hook.
pub const EVENT: &str = "push-to-checkout";

impl Hooks<'_> {
    /// Have the hook bring the work tree and index of the worktree at `work_tree`, whose git directory is `git_dir`, to
    /// the commit `new`. Both paths are absolute. Its output goes to this process's stderr.
    pub fn push_to_checkout(&self, new: &ObjectId, git_dir: &Path, work_tree: &Path) -> Result<Answer> {
        let mut call = self.call(EVENT);
        call.arguments = vec![new.to_string().into()];
        call.environment.push(("GIT_DIR".into(), git_dir.into()));
        call.environment.push(("GIT_WORK_TREE".into(), work_tree.into()));
        call.output = Output::Stderr;
        self.run(&call)
    }
}
