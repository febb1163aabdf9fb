//! The rules of one push: `receive.fsck.*` with the skip lists read (git-config, `receive.fsck.skipList`).

use std::fs;

use anyhow::{Result, bail};
use bstr::ByteSlice;
use gix::{ObjectId, hashtable::HashSet, oid};

use super::message::{Message, Severity};
use crate::config::fsck::{FsckRules, Rule};

/// How grave findings are, and which objects are spared.
#[derive(Debug, Clone)]
pub struct Rules {
    severities: [Severity; Message::ALL.len()],
    skipped: HashSet<ObjectId>,
}

impl Rules {
    /// Read the skip lists of `configured`, which name objects by `hash`. Fails at the first setting that cannot be followed.
    pub fn load(configured: &FsckRules, hash: gix::hash::Kind) -> Result<Self> {
        let mut rules = Rules::default();
        for rule in &configured.0 {
            match rule {
                Rule::Severity(message, severity) => rules.set(*message, *severity)?,
                Rule::SkipList(path) => {
                    let Ok(list) = fs::read(path) else { bail!("could not open object name list: {}", path.display()) };
                    rules.skip(&list, hash)?;
                }
            }
        }
        Ok(rules)
    }

    /// How grave `message` is.
    pub fn severity(&self, message: Message) -> Severity {
        self.severities[message as usize]
    }

    /// True if nothing is to be said about object `id`.
    pub fn skips(&self, id: &oid) -> bool {
        !self.skipped.is_empty() && self.skipped.contains(id)
    }

    fn set(&mut self, message: Message, severity: Severity) -> Result<()> {
        if message.severity() == Severity::Fatal && severity != Severity::Error {
            bail!("Cannot demote {} to {}", message.name().to_ascii_lowercase(), severity.word());
        }
        self.severities[message as usize] = severity;
        Ok(())
    }

    /// Add the objects of `list`: one in a line, with comments that begin with `#`.
    fn skip(&mut self, list: &[u8], hash: gix::hash::Kind) -> Result<()> {
        for line in list.lines() {
            let name = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim();
            if name.is_empty() {
                continue;
            }
            match ObjectId::from_hex(name) {
                Ok(id) if id.kind() == hash => self.skipped.insert(id),
                _ => bail!("invalid object name: {}", name.as_bstr()),
            };
        }
        Ok(())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules { severities: Message::ALL.map(Message::severity), skipped: HashSet::default() }
    }
}
