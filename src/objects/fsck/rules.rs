//! The rules of one push: `receive.fsck.*` with its skip list read.

use std::collections::HashSet;

use gix::{ObjectId, oid};

use super::message::{Message, Severity};

/// How grave findings are, and which objects are spared.
#[derive(Debug, Clone)]
pub struct Rules {
    severities: [Severity; Message::ALL.len()],
    skipped: HashSet<ObjectId>,
    /// The longest name of a tree's entry that is no `largePathname`, in bytes.
    pub longest_name: usize,
}

impl Rules {
    /// How grave `message` is.
    pub fn severity(&self, message: Message) -> Severity {
        self.severities[message as usize]
    }

    /// True if nothing is to be said about object `id`.
    pub fn skips(&self, id: &oid) -> bool {
        !self.skipped.is_empty() && self.skipped.contains(id)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules { severities: Message::ALL.map(Message::severity), skipped: HashSet::new(), longest_name: 4096 }
    }
}
