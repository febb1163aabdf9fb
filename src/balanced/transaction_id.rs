//! The name of a transaction, which its journal, its locks and its quarantine bear, and which its hook is told.

/// What the text of a link starts with.
const MARK: &str = "balanced-";

/// The name of a transaction: unique across machines, and sorted by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(String);

impl TransactionId {
    /// A name that no other transaction has.
    pub fn new() -> Self {
        TransactionId(uuid::Uuid::now_v7().to_string())
    }

    /// The name of the transaction whose journal's file name is `name`, `None` if it is no such file.
    pub fn of_file(name: &str) -> Option<Self> {
        uuid::Uuid::try_parse(name).ok().filter(|id| id.to_string() == name).map(|id| TransactionId(id.to_string()))
    }

    /// The text of the symbolic links that are its locks and guards: a valid part of a ref name, as `git refs verify` wants
    /// it, the name of no file, and short enough to be kept in an inode.
    pub fn link_text(&self) -> String {
        format!("{MARK}{}", self.0)
    }

    /// The name of the transaction whose link this is the text of, `None` if it is no such link.
    pub fn of_link(text: &str) -> Option<Self> {
        text.strip_prefix(MARK).and_then(Self::of_file)
    }
}

impl Default for TransactionId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
