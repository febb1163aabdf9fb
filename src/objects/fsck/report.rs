//! What the checks of one object say about it, and what they learn from it on the way.

use std::ops::ControlFlow;

use bstr::{BString, ByteVec};
use gix::{ObjectId, objs::Kind, oid};

use super::{
    message::{Message, Severity},
    rules::Rules,
};

/// A line of git's is cut here, in bytes.
const LINE: usize = 4095;

/// What follows so many bytes of lines about one object is not told: it can be at fault in more places than anybody reads.
const LINES: usize = 1 << 20;

/// A file whose content matters to git wherever it is checked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DotFile {
    /// `.gitmodules`
    Modules,
    /// `.gitattributes`
    Attributes,
}

/// Why the entries of a tree end before its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// In git's words.
    pub why: &'static str,
    /// There is no entry before it. Only that is a fault beside the finding, which may be ignored.
    pub at_start: bool,
}

/// Takes down what is found in one object. It is used for one object after the other, so that its buffers are.
pub struct Report<'a> {
    rules: &'a Rules,
    id: ObjectId,
    /// The messages about the object, each a whole line.
    pub lines: BString,
    /// The objects it names that have to be there, in order, with the kinds that it gives them.
    pub links: Vec<(Kind, ObjectId)>,
    /// What keeps a tree's links from being all of them.
    pub torn: Option<Torn>,
    /// The files it names whose content is to be checked.
    pub dot_files: Vec<(DotFile, ObjectId)>,
}

/// `Break` for what is refused.
pub fn verdict(refused: bool) -> ControlFlow<()> {
    if refused { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

impl<'a> Report<'a> {
    /// Nothing found yet; `rules` say how grave a finding is.
    pub fn new(rules: &'a Rules) -> Self {
        let id = ObjectId::null(gix::hash::Kind::Sha1);
        Report { rules, id, lines: BString::default(), links: Vec::new(), torn: None, dot_files: Vec::new() }
    }

    /// Forget everything: the object to be checked now is `id`.
    pub fn begin(&mut self, id: &oid) {
        self.id = id.to_owned();
        self.lines.clear();
        self.links.clear();
        self.torn = None;
        self.dot_files.clear();
    }

    /// Note a finding, described by `text`. `Break` if it makes the object unacceptable: git stops in many places then,
    /// and goes on where a finding is only a warning or ignored.
    pub fn found(&mut self, message: Message, text: impl AsRef<[u8]>) -> ControlFlow<()> {
        let severity = self.rules.severity(message);
        if severity == Severity::Ignore || self.rules.skips(&self.id) {
            return ControlFlow::Continue(());
        }
        let warns = severity == Severity::Warn;
        let level = if warns { "warning" } else { "error" };
        let head = format!("{level}: object {}: {}: ", self.id, message.name());
        self.line(head.as_bytes(), text.as_ref());
        verdict(!warns)
    }

    /// Say why the object cannot be read, in passing: it is no finding, and no setting silences it.
    pub fn remark(&mut self, why: &str) {
        self.line(b"error: ", why.as_bytes());
    }

    /// Note that nothing can be made of the object: `error: <what> <id>` LF. Always `Break`.
    pub fn unreadable(&mut self, what: impl AsRef<[u8]>) -> ControlFlow<()> {
        let id = self.id.to_hex().to_string();
        self.line(b"error: ", &[what.as_ref(), b" ", id.as_bytes()].concat());
        ControlFlow::Break(())
    }

    /// Note an object of kind `kind` that has to be there.
    pub fn link(&mut self, kind: Kind, id: &oid) {
        self.links.push((kind, id.to_owned()));
    }

    /// Note that `id` is the content of such a file somewhere.
    pub fn dot_file(&mut self, file: DotFile, id: &oid) {
        self.dot_files.push((file, id.to_owned()));
    }

    /// Add a line as git's programs print it: up to the first NUL, of bounded length, control characters made harmless.
    fn line(&mut self, head: &[u8], text: &[u8]) {
        let start = self.lines.len();
        if start > LINES {
            return;
        }
        let text = &text[..text.len().min(LINE)];
        self.lines.push_str(head);
        self.lines.push_str(text.split(|&byte| byte == 0).next().unwrap_or_default());
        self.lines.truncate(start + LINE);
        for byte in &mut self.lines[start..] {
            if byte.is_ascii_control() && *byte != b'\t' && *byte != b'\n' {
                *byte = b'?';
            }
        }
        self.lines.push(b'\n');
    }
}
