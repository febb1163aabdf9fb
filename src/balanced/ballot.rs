//! What the hook of a balanced push is asked about: a transaction, and the very bytes that replicas compare.

use std::{fmt::Write, io};

use bstr::BStr;
use gix::ObjectId;

use super::transaction_id::TransactionId;

/// A question to `balanced_update` (balanced_update(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// The transaction, which `GIT_BALANCED_TRANSACTION` names.
    pub transaction: TransactionId,
    /// The hook's stdin: one `<old-oid> SP <new-oid> SP <ref-name> LF` line for each update, in byte order of the full name.
    pub lines: Vec<u8>,
}

impl Ballot {
    /// A ballot on `updates`: the verified value before, the value after, the full name; null where there is no ref. They come
    /// in byte order of the name.
    pub fn new<'a>(
        transaction: TransactionId,
        updates: impl IntoIterator<Item = (ObjectId, ObjectId, &'a BStr)>,
    ) -> Self {
        let mut lines = Vec::new();
        for (old, new, name) in updates {
            lines.extend_from_slice(format!("{old} {new} ").as_bytes());
            lines.extend_from_slice(name);
            lines.push(b'\n');
        }
        Ballot { transaction, lines }
    }

    /// The SHA-256 of the lines in hex, `GIT_BALANCED_UPDATE_HASH`: replicas that are about to do the same say the same.
    pub fn update_hash(&self) -> io::Result<String> {
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha256);
        hasher.update(&self.lines);
        let digest = hasher.try_finalize().map_err(|err| io::Error::other(err.to_string()))?;
        Ok(digest.as_slice().iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").ok();
            hex
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_exactly_what_the_hook_reads() {
        let id = |digit: char| ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap();
        let ballot = Ballot::new(TransactionId::new(), [(id('0'), id('1'), "refs/heads/a".into())]);
        assert_eq!(
            ballot.lines,
            b"0000000000000000000000000000000000000000 1111111111111111111111111111111111111111 refs/heads/a\n"
        );
        // printf '%040d %s refs/heads/a\n' 0 1111111111111111111111111111111111111111 | sha256sum
        assert_eq!(ballot.update_hash().unwrap(), "a81095a9550c34636e75abab7328b0f4a3c8dd65c3c4dac3d66b78c24005638d");
    }
}
