//! reference-transaction: every step of a change to refs (githooks, "reference-transaction").

use std::{fmt, io::Write};

use anyhow::Result;
use bstr::BStr;
use gix::ObjectId;

use super::{Answer, Hooks};
use crate::hooks::runner::Output;

/// The step that a transaction has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is locked yet. A no ends the transaction.
    Preparing,
    /// All refs are locked. A no ends the transaction.
    Prepared,
    /// All refs have their new values.
    Committed,
    /// The transaction was given up: no ref has changed.
    Aborted,
}

/// One ref of the transaction.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The value that the ref must have; null if it must not be there, or may have any.
    pub old: ObjectId,
    /// The value that it gets; null if it goes.
    pub new: ObjectId,
    /// The full name, with the namespace.
    pub name: &'a BStr,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Preparing => "preparing",
            State::Prepared => "prepared",
            State::Committed => "committed",
            State::Aborted => "aborted",
        })
    }
}

impl Hooks<'_> {
    /// Tell the hook that a transaction on these refs has come to `state`. Its output goes to this process's stderr.
    ///
    /// After a no to [`State::Preparing`] or [`State::Prepared`] the transaction must be given up, and the hook told
    /// so; its answer to the other states has no effect.
    pub fn reference_transaction<'l>(&self, state: State, refs: impl IntoIterator<Item = Line<'l>>) -> Result<Answer> {
        let mut call = self.call("reference-transaction");
        if !self.exists(call.event) {
            return Ok(Answer::NoHook);
        }
        let mut lines = Vec::new();
        for Line { old, new, name } in refs {
            writeln!(lines, "{old} {new} {name}")?;
        }
        call.arguments = vec![state.to_string().into()];
        call.stdin = Some(&lines);
        call.output = Output::Stderr;
        self.run(&call)
    }
}
