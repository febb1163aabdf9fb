//! What a vote is about: the part of a journal that says how to carry it out without the process that prepared it.

use std::ffi::OsString;

use bstr::{BStr, BString};
use gix::ObjectId;

/// What is voted upon: enough to carry it out without the process that prepared it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// Each ref of the push.
    pub updates: Vec<Update>,
    /// The lines that reflogs get.
    pub logs: Vec<LogLine>,
    /// Name, mail and time of the committer.
    pub identity: BString,
    /// The path of the quarantine, if objects came along.
    pub objects: Option<BString>,
    /// The push options, which hooks are shown.
    pub options: Vec<BString>,
    /// The variables that tell hooks of the push certificate.
    pub certificate: Vec<(OsString, OsString)>,
}

/// One ref that is voted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What its staged file is called by.
    pub number: usize,
    /// Which rename commits it.
    pub how: CommitsBy,
    /// The verified value before, null if there is no such ref.
    pub old: ObjectId,
    /// The value after, null if it goes.
    pub new: ObjectId,
    /// If that is a tag, what it points at in the end.
    pub peeled: Option<ObjectId>,
    /// The full name, symrefs followed.
    pub name: BString,
}

/// Which rename commits a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitsBy {
    /// That of packed-refs; it gets a loose file afterwards.
    PackedRefs,
    /// That of packed-refs, and that is all.
    PackedRefsOnly,
    /// That of its loose file.
    LooseFile,
    /// None: it has the value already.
    Nothing,
}

impl CommitsBy {
    const WORDS: [(CommitsBy, &str); 4] = [
        (CommitsBy::PackedRefs, "together"),
        (CommitsBy::PackedRefsOnly, "packed"),
        (CommitsBy::LooseFile, "alone"),
        (CommitsBy::Nothing, "not"),
    ];

    /// What the journal calls it.
    pub(super) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(how, _)| *how == self).map_or("not", |(_, word)| word)
    }

    /// What the journal calls `word`.
    pub(super) fn parse(word: &BStr) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| word == known).map(|(how, _)| *how)
    }
}

/// A line that a reflog gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The value before, null for none.
    pub old: ObjectId,
    /// The value after, null for none.
    pub new: ObjectId,
    /// Make the log if it is not there.
    pub make: bool,
    /// The ref whose log it is.
    pub name: BString,
}
