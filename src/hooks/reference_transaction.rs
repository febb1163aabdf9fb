//! reference-transaction: every step of a change to refs (githooks, "reference-transaction").

use anyhow::Result;
use bstr::BStr;

use super::{Answer, Hooks};
use crate::{hooks::runner::Output, refs::transaction::Phase};

/// The name of the hook.
pub const EVENT: &str = "reference-transaction";

impl Hooks<'_> {
    /// Tell the hook that a transaction has come to `phase`; `lines` are `<old> SP <new> SP <full name> LF`, one a ref. Its
    /// output goes to this process's stderr.
    ///
    /// After a no to [`Phase::Preparing`] or [`Phase::Prepared`] the transaction must be given up, and the hook told
    /// so; its answer to the other phases has no effect.
    pub fn reference_transaction(&self, phase: Phase, lines: &BStr) -> Result<Answer> {
        let mut call = self.call(EVENT);
        call.arguments = vec![phase.as_str().into()];
        call.stdin = Some(lines);
        call.output = Output::Stderr;
        self.run(&call)
    }
}
