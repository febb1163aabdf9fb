//! What a journal says: its lines, written and read. No file is touched here.
//!
//! Format, version 1. Lines of `<words> SP <checksum> LF`, where the checksum is the CRC-32, in hex, of the words of this line
//! and all before it, an LF behind each, so that a line that was cut off, and all behind it, does not count. If what is behind
//! it was written only when that line was safe on disk, it was not cut off: such a journal is damaged, and says nothing. Words are
//! separated by single spaces; in them, bytes up to 0x20, 0x7f and `%` are written as `%` and two hex digits.
//!
//! | line | meaning |
//! |---|---|
//! | `journal 1 <transaction>` | always the first |
//! | `writer <pid> <boot> <device> <inode> <host> <git-dir>` | always the second: who writes it, and the common directory's identity |
//! | `lock <ref>` | the ref may be locked, its path guarded, its value staged, by the transaction |
//! | `made <directory>` | may be made above refs or logs, since it was not there; below the common directory |
//! | `held <device> <inode> <born> <path>` | a lock file that git has made for it, and when, in nanoseconds since 1970 |
//! | `locking` | nothing was asked of anybody; what follows a line of this kind is more of the same |
//! | `update <number> <how> <old> <new> <peeled> <ref>` | what is voted upon: how it commits (`together`, `packed`, `alone`, `git`, `not`), null for no object; the number names its staged file |
//! | `log <old> <new> <make> <ref>` | a line that a reflog gets; 1 to make that log if it is not there |
//! | `identity <name, mail and time>` | what such a line says of the committer |
//! | `objects <directory>` | the quarantine, which lies in the object directory of the push |
//! | `root <commit>` | is added to the `shallow` file, whose lock and staged file bear the transaction's name |
//! | `option <text>` | a push option, which hooks are shown |
//! | `variable <name> <value>` | what hooks are told of the push certificate |
//! | `voting` | all of that is on disk, and the vote is about to be asked for |
//! | `hook <pid> <start> <session>` | the process group of a hook that is asked; not synced, since it dies with the machine |
//! | `decided` | the vote was a yes |
//! | `aborted` | it was not, and what was prepared is being undone; behind `decided`: it was, and came too late |
//! | `committed` | the refs have their new values on disk |
//! | `told` | whoever is to know it was told |
//!
//! A state is reached when its line is there, and what it needs to know is in the lines before.

mod entry;
mod lines;
#[cfg(test)]
mod tests;
mod writer;

use std::{collections::BTreeSet, io, os::unix::ffi::OsStrExt, path::PathBuf};

use bstr::BStr;

pub(super) use self::lines::Checksum;
use self::lines::escape;
pub use self::{entry::Entry, writer::Writer};
use super::{intent::Intent, survivors::Group, transaction_id::TransactionId};
use crate::refs::{git_lock::GitLock, paths::Paths};

/// How far a transaction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It may hold locks, guards and staged files; nothing was asked of anybody.
    Locking,
    /// The vote may have been asked for.
    Voting,
    /// The vote was a yes.
    Decided,
    /// The vote was no yes.
    Aborted,
    /// The refs have their new values.
    Committed,
    /// All is done but the cleaning up.
    Told,
}

impl State {
    const ALL: [State; 6] =
        [State::Locking, State::Voting, State::Decided, State::Aborted, State::Committed, State::Told];

    /// The line that says it.
    pub fn word(self) -> &'static str {
        match self {
            State::Locking => "locking",
            State::Voting => "voting",
            State::Decided => "decided",
            State::Aborted => "aborted",
            State::Committed => "committed",
            State::Told => "told",
        }
    }
}

/// Lines that are about to be written.
pub(super) struct Text {
    /// As they will stand in the file.
    pub(super) bytes: Vec<u8>,
    checksum: Checksum,
}

impl Text {
    pub(super) fn new(id: &TransactionId) -> Self {
        Text { bytes: Vec::new(), checksum: Checksum::default() }.line(&[b"journal", b"1", id.to_string().as_bytes()])
    }

    pub(super) fn writer(self, paths: Paths<'_>) -> io::Result<Self> {
        let writer = Writer::this_process(paths)?;
        Ok(self.line(&[
            b"writer",
            writer.pid.to_string().as_bytes(),
            &writer.boot,
            writer.device.to_string().as_bytes(),
            writer.inode.to_string().as_bytes(),
            &writer.host,
            writer.git_dir.as_os_str().as_bytes(),
        ]))
    }

    pub(super) fn locks<'n>(mut self, refs: impl Iterator<Item = &'n BStr>) -> Self {
        for name in refs {
            self = self.line(&[b"lock", name]);
        }
        self
    }

    pub(super) fn directories(mut self, directories: &BTreeSet<PathBuf>) -> Self {
        for directory in directories {
            self = self.line(&[b"made", directory.as_os_str().as_bytes()]);
        }
        self
    }

    pub(super) fn git_locks(mut self, locks: &[GitLock]) -> Self {
        for lock in locks {
            let [device, inode, born] = [lock.device, lock.inode, lock.born].map(|number| number.to_string());
            let path = lock.path.as_os_str().as_bytes();
            self = self.line(&[b"held", device.as_bytes(), inode.as_bytes(), born.as_bytes(), path]);
        }
        self
    }

    pub(super) fn state(self, state: State) -> Self {
        self.line(&[state.word().as_bytes()])
    }

    pub(super) fn intent(mut self, intent: &Intent) -> Self {
        for update in &intent.updates {
            let peeled = update.peeled.unwrap_or(update.new.kind().null());
            self = self.line(&[
                b"update",
                update.number.to_string().as_bytes(),
                update.how.word().as_bytes(),
                update.old.to_string().as_bytes(),
                update.new.to_string().as_bytes(),
                peeled.to_string().as_bytes(),
                &update.name,
            ]);
        }
        for log in &intent.logs {
            let make: &[u8] = if log.make { b"1" } else { b"0" };
            self =
                self.line(&[b"log", log.old.to_string().as_bytes(), log.new.to_string().as_bytes(), make, &log.name]);
        }
        if !intent.identity.is_empty() {
            self = self.line(&[b"identity", &intent.identity]);
        }
        if let Some(objects) = &intent.objects {
            self = self.line(&[b"objects", objects]);
        }
        for root in &intent.roots {
            self = self.line(&[b"root", root.to_string().as_bytes()]);
        }
        for option in &intent.options {
            self = self.line(&[b"option", option]);
        }
        for (name, value) in &intent.certificate {
            self = self.line(&[b"variable", name.as_bytes(), value.as_bytes()]);
        }
        self
    }

    pub(super) fn hook(self, group: Group) -> Self {
        let Group { leader, start, session } = group;
        self.line(&[
            b"hook",
            leader.to_string().as_bytes(),
            start.to_string().as_bytes(),
            session.to_string().as_bytes(),
        ])
    }

    /// Lines that come behind others, whose checksum is at `checksum`.
    pub(super) fn behind(checksum: &Checksum) -> Self {
        Text { bytes: Vec::new(), checksum: checksum.clone() }
    }

    /// The lines, and the checksum behind them.
    pub(super) fn finish(self) -> (Vec<u8>, Checksum) {
        (self.bytes, self.checksum)
    }

    fn line(mut self, words: &[&[u8]]) -> Self {
        let start = self.bytes.len();
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                self.bytes.push(b' ');
            }
            escape(word, &mut self.bytes);
        }
        self.checksum.update(&self.bytes[start..]);
        let sum = self.checksum.to_string();
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(sum.as_bytes());
        self.bytes.push(b'\n');
        self
    }
}
