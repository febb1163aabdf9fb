//! What a recovery has to say about each transaction that it found.

use bstr::BString;

use crate::balanced::transaction_id::TransactionId;

/// What became of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The transaction.
    pub id: TransactionId,
    /// What was done about it.
    pub outcome: Outcome,
}

/// What was done about a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its process lives, or somebody else is recovering: left alone.
    Busy,
    /// It was undone before anything was asked: none of its refs had changed for its sake, or all had.
    Undone,
    /// It was voted upon and undone.
    RolledBack,
    /// It was decided, and is carried out now to its end.
    CarriedOut,
    /// The hook is to be asked about it, or told, which a push does not wait for; these are the refs that are locked until
    /// then.
    Open(Vec<BString>),
    /// Nobody knows yet what the vote was: left as it is.
    InDoubt,
    /// It was decided, and cannot be carried out now for this reason: left as it is.
    Waiting(BString),
    /// Another machine wrote it, or it is about the directory that this one is a copy of: left alone.
    Foreign(BString),
    /// Its journal cannot be understood, for this reason: left alone.
    Unreadable(String),
    /// It could not be settled, for this reason: left to another try.
    Failed(String),
}

impl Outcome {
    /// True if its outcome is open, and nobody is at work on it.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Outcome::Busy | Outcome::Undone | Outcome::RolledBack | Outcome::CarriedOut => false,
            Outcome::Open(_)
            | Outcome::InDoubt
            | Outcome::Waiting(_)
            | Outcome::Foreign(_)
            | Outcome::Unreadable(_)
            | Outcome::Failed(_) => true,
        }
    }
}

/// For the administrator: one line without its end.
impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.id)?;
        match &self.outcome {
            Outcome::Busy => f.write_str("somebody is at work on it"),
            Outcome::Undone => f.write_str("undone; nobody had been asked about it"),
            Outcome::RolledBack => f.write_str("rolled back"),
            Outcome::CarriedOut => f.write_str("carried out"),
            Outcome::Open(_) => f.write_str("left to be asked about, or told"),
            Outcome::InDoubt => f.write_str("in doubt: the balanced_update hook does not say what became of it"),
            Outcome::Waiting(why) => write!(f, "decided, but cannot be carried out yet: {why}"),
            Outcome::Foreign(host) => write!(f, "left alone: it is of {host}, or of another directory"),
            Outcome::Unreadable(why) => write!(f, "left alone: its journal cannot be understood: {why}"),
            Outcome::Failed(why) => write!(f, "cannot be settled yet: {why}"),
        }
    }
}
