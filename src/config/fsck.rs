//! `receive.fsck.*`: how grave each finding about an object is (git-config, `receive.fsck.<msg-id>`).

use std::path::PathBuf;

use anyhow::{Result, bail};
use bstr::{BStr, ByteSlice};

use super::setting::Setting;
use crate::objects::fsck::message::{Message, Severity};

/// Findings that no object of a push can give rise to: those about refs, and two that newer gits cannot come to. They may
/// be named all the same, since one configuration serves several programs.
const ELSEWHERE: [&str; 17] = [
    "badgpgsig",
    "badheadtarget",
    "badheadercontinuation",
    "badpackedrefentry",
    "badpackedrefheader",
    "badrefcontent",
    "badreffiletype",
    "badrefname",
    "badrefoid",
    "badreferentname",
    "emptypackedrefsfile",
    "packedrefentrynotterminated",
    "packedrefunsorted",
    "refmissingnewline",
    "symlinkref",
    "symreftargetisnotaref",
    "trailingrefcontent",
];

/// What `receive.fsck.*` says, in the order in which it says it. It is judged only once a pack arrives, as git does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckRules(pub Vec<Rule>);

/// One setting of `receive.fsck.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// How grave a finding is to be.
    Severity(Message, Severity),
    /// A file of the objects about which nothing is said.
    SkipList(PathBuf),
}

impl FsckRules {
    /// Take in `receive.fsck.<name>`. A finding of no known name is told on stderr and left out.
    pub(super) fn add(&mut self, name: &BStr, setting: &Setting) -> Result<()> {
        if name == "skiplist" {
            self.0.push(Rule::SkipList(setting.path()?));
            return Ok(());
        }
        let word = setting.text()?;
        let Some(message) = Message::called(name) else {
            if !ELSEWHERE.iter().any(|known| name == known) {
                say!("warning: skipping unknown msg id '{name}'");
            }
            return Ok(());
        };
        let severity = match word.as_bytes() {
            b"error" => Severity::Error,
            b"warn" => Severity::Warn,
            b"ignore" => Severity::Ignore,
            _ => bail!("Unknown fsck message type: '{word}'"),
        };
        self.0.push(Rule::Severity(message, severity));
        Ok(())
    }
}
