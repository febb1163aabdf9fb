//! balanced_update: whether a push whose every check has passed is to be committed, and what became of it
//! (balanced_update(5)).

use anyhow::{Context, Result};

use super::{Answer, Hooks, conversation::Limits};
use crate::balanced::ballot::Ballot;

/// The name of the hook.
pub const EVENT: &str = "balanced_update";

/// What the hook is told or asked: its one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Everything is locked and checked. Any answer but a yes undoes it.
    Prepared,
    /// The refs have their new values.
    Committed,
    /// A push that was asked about is undone.
    Aborted,
    /// A push that was asked about died before the answer was on disk.
    InDoubt,
}

impl Phase {
    /// The hook's argument.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Prepared => "prepared",
            Phase::Committed => "committed",
            Phase::Aborted => "aborted",
            Phase::InDoubt => "in-doubt",
        }
    }
}

impl Hooks<'_> {
    /// True unless there is a hook file that cannot be run, which the person who pushes is told: silence is no yes.
    pub fn can_vote(&self) -> bool {
        let file = self.directory.not_executable(EVENT);
        if let Some(path) = &file {
            self.sideband.error(format!("the hook '{}' is not executable", path.display()));
        }
        file.is_none()
    }

    /// Ask or tell the hook about `ballot`. It and its children are ended when they meet `limits`.
    pub fn balanced_update(&self, phase: Phase, ballot: &Ballot, limits: Limits<'_>) -> Result<Answer> {
        let mut call = self.call(EVENT);
        call.arguments = vec![phase.as_str().into()];
        call.stdin = Some(&ballot.lines);
        call.environment.extend(self.about_the_push());
        let hash = ballot.update_hash().context("cannot hash the updates")?;
        call.environment.push(("GIT_BALANCED_TRANSACTION".into(), ballot.transaction.to_string().into()));
        call.environment.push(("GIT_BALANCED_UPDATE_HASH".into(), hash.into()));
        call.limits = Some(limits);
        self.run(&call)
    }
}
