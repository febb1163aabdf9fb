//! What a journal says, as far as it is whole.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use bstr::{BString, ByteSlice};
use gix::ObjectId;

use super::{State, Writer, lines::whole_lines, writer::parse_writer};
use crate::{
    balanced::{
        intent::{CommitsBy, Intent, LogLine, Update},
        survivors::Group,
        transaction_id::TransactionId,
    },
    refs::git_lock::GitLock,
};

/// What a journal says, as far as it is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Who wrote it; `None` if it was cut short before that.
    pub writer: Option<Writer>,
    /// The refs that may be locked.
    pub locks: Vec<BString>,
    /// Directories below the common one that were not there.
    pub directories: Vec<PathBuf>,
    /// The lock files that a git has made for it.
    pub git_locks: Vec<GitLock>,
    /// What is voted upon; empty before the vote.
    pub intent: Intent,
    /// The process group of the hook that was asked.
    pub hook: Option<Group>,
    /// How far the transaction came; `None` if it holds nothing yet.
    pub state: Option<State>,
}

impl Entry {
    /// Read the text of the journal of transaction `id`. Fails on a version that this program does not know, and on one that
    /// was whole once.
    pub fn read(text: &[u8], id: &TransactionId) -> Result<Self> {
        ensure!(!was_whole_once(text), "a line in the middle of it is damaged");
        let mut lines = whole_lines(text);
        let mut entry = Entry::default();
        let Some(first) = lines.next() else { return Ok(entry) };
        match &first[..] {
            [word, version, of] if word == "journal" => {
                ensure!(version == "1", "it is of version {version}, and this program knows only version 1");
                ensure!(*of == id.to_string(), "it is about transaction {of}");
            }
            _ => bail!("it does not begin as a journal does"),
        }
        let Some(writer) = lines.next() else { return Ok(entry) };
        entry.writer = Some(parse_writer(&writer).context("it does not say who wrote it")?);
        for line in lines {
            let shown = || line.iter().map(|word| word.to_string()).collect::<Vec<_>>().join(" ");
            entry.take(&line).with_context(|| format!("it contains the unknown line '{}'", shown()))?;
        }
        Ok(entry)
    }

    fn take(&mut self, line: &[BString]) -> Option<()> {
        let id = |word: &BString| ObjectId::from_hex(word).ok();
        match line {
            [word] => self.state = Some(State::ALL.into_iter().find(|state| word == state.word())?),
            [word, name] if word == "lock" => self.locks.push(name.clone()),
            [word, directory] if word == "made" => {
                let path = PathBuf::from(OsStr::from_bytes(directory));
                let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
                self.directories.push(Some(path).filter(|_| is_below)?);
            }
            [word, identity] if word == "identity" => self.intent.identity = identity.clone(),
            [word, objects] if word == "objects" => self.intent.objects = Some(objects.clone()),
            [word, root] if word == "root" => self.intent.roots.push(id(root)?),
            [word, option] if word == "option" => self.intent.options.push(option.clone()),
            [word, name, value] if word == "variable" => {
                let text = |word: &BString| OsStr::from_bytes(word).to_owned();
                self.intent.certificate.push((text(name), text(value)));
            }
            [word, leader, start, session] if word == "hook" => {
                let number = |word: &BString| word.to_str().ok()?.parse().ok();
                let (leader, session) = (number(leader)?, number(session)?);
                self.hook = Some(Group { leader, start: start.to_str().ok()?.parse().ok()?, session });
            }
            [word, old, new, make, name] if word == "log" => {
                let log = LogLine { old: id(old)?, new: id(new)?, make: make == "1", name: name.clone() };
                self.intent.logs.push(log);
            }
            [word, number, how, old, new, peeled, name] if word == "update" => self.intent.updates.push(Update {
                number: number.to_str().ok()?.parse().ok()?,
                how: CommitsBy::parse(how.as_ref())?,
                old: id(old)?,
                new: id(new)?,
                peeled: Some(id(peeled)?).filter(|peeled| !peeled.is_null()),
                name: name.clone(),
            }),
            [word, device, inode, born, path] if word == "held" => self.git_locks.push(GitLock {
                path: path.to_path_lossy().into_owned(),
                device: device.to_str().ok()?.parse().ok()?,
                inode: inode.to_str().ok()?.parse().ok()?,
                born: born.to_str().ok()?.parse().ok()?,
            }),
            _ => return None,
        }
        Some(())
    }
}

/// True if a line that does not count stands before one that is written only when all up to `voting` is safe on disk.
fn was_whole_once(text: &[u8]) -> bool {
    let is_later = |line: &[u8]| {
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        word == b"hook" || State::ALL.iter().any(|state| *state > State::Voting && word == state.word().as_bytes())
    };
    text.split_inclusive(|byte| *byte == b'\n').skip(whole_lines(text).count() + 1).any(is_later)
}
