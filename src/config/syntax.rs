//! The syntax of a configuration file (git-config, "Syntax"): bytes in, settings in order out.
//!
//! Why not `gix_config`: its events carry no line numbers, which git's messages name, and its own following of includes
//! moves what is included behind the section that includes it. It knows nothing of what settings mean.

use bstr::BString;

/// One `name = value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// `section.name` or `section.subsection.name`; section and name in lower case. The name alone above any section.
    pub key: BString,
    /// What is assigned; `None` for a name alone, which as a boolean is true.
    pub value: Option<BString>,
    /// The number of the line that the value ends on, from 1.
    pub line: usize,
}

/// The number of the line, from 1, that is no configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub usize);

/// The assignments in `bytes`, up to and including the first error.
pub struct Assignments<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    /// The start of each key: `section` or `section.subsection`.
    section: BString,
    failed: bool,
}

/// Read the assignments of the file contents `bytes`.
pub fn assignments(bytes: &[u8]) -> Assignments<'_> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    Assignments { bytes, at: 0, line: 1, section: BString::default(), failed: false }
}

impl Iterator for Assignments<'_> {
    type Item = Result<Assignment, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        while self.at < self.bytes.len() {
            let complete = match self.take() {
                b'#' | b';' => {
                    while self.peek() != b'\n' {
                        self.take();
                    }
                    continue;
                }
                byte if is_space(byte) => continue,
                b'[' => match self.header() {
                    Some(()) => continue,
                    None => None,
                },
                byte if byte.is_ascii_alphabetic() => self.assignment(byte),
                _ => None,
            };
            self.failed = complete.is_none();
            return Some(complete.ok_or(Malformed(self.line)));
        }
        None
    }
}

// Where something is malformed these return `None`, with `line` still on the line at fault: a line's end is looked at
// before it is taken.
impl Assignments<'_> {
    /// The byte to come; a line's end is `\n` however it is written, and the file ends with one.
    fn peek(&self) -> u8 {
        match self.bytes[self.at..] {
            [] | [b'\r', b'\n', ..] => b'\n',
            [byte, ..] => byte,
        }
    }

    fn take(&mut self) -> u8 {
        let byte = self.peek();
        if byte == b'\n' {
            self.line += 1;
        }
        let is_pair = byte == b'\n' && self.bytes.get(self.at) == Some(&b'\r');
        self.at = (self.at + 1 + usize::from(is_pair)).min(self.bytes.len());
        byte
    }

    /// What follows a `[`, up to and including the `]`.
    fn header(&mut self) -> Option<()> {
        self.section.clear();
        loop {
            match self.peek() {
                b']' if !self.section.is_empty() => {
                    self.take();
                    return Some(());
                }
                byte if is_space(byte) && byte != b'\n' => break,
                byte if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' => {
                    self.section.push(byte.to_ascii_lowercase());
                    self.take();
                }
                _ => return None,
            }
        }
        while is_space(self.peek()) && self.peek() != b'\n' {
            self.take();
        }
        if self.peek() != b'"' {
            return None;
        }
        self.take();
        self.section.push(b'.');
        loop {
            match self.peek() {
                b'\n' => return None,
                b'"' => break,
                b'\\' => {
                    self.take();
                    if self.peek() == b'\n' {
                        return None;
                    }
                }
                _ => {}
            }
            let byte = self.take();
            self.section.push(byte);
        }
        self.take();
        (self.peek() == b']').then(|| {
            self.take();
        })
    }

    /// What follows the first letter of a name, up to and including the line's end.
    fn assignment(&mut self, first: u8) -> Option<Assignment> {
        let mut key = self.section.clone();
        if !key.is_empty() {
            key.push(b'.');
        }
        key.push(first.to_ascii_lowercase());
        while self.peek().is_ascii_alphanumeric() || self.peek() == b'-' {
            let byte = self.take();
            key.push(byte.to_ascii_lowercase());
        }
        while matches!(self.peek(), b' ' | b'\t') {
            self.take();
        }
        let value = match self.peek() {
            b'\n' => None,
            b'=' => {
                self.take();
                Some(self.value()?)
            }
            _ => return None,
        };
        let line = self.line;
        self.take();
        Some(Assignment { key, value, line })
    }

    /// A value, up to but without the line's end.
    fn value(&mut self) -> Option<BString> {
        let mut value = BString::default();
        let (mut quoted, mut comment) = (false, false);
        // The length without the white space at the end, which does not count.
        let mut length = 0;
        loop {
            match self.peek() {
                b'\n' if quoted => return None,
                b'\n' => break,
                _ if comment => {
                    self.take();
                    continue;
                }
                byte if is_space(byte) && !quoted => {
                    if !value.is_empty() {
                        value.push(byte);
                    }
                    self.take();
                    continue;
                }
                b'#' | b';' if !quoted => {
                    comment = true;
                    continue;
                }
                b'"' => quoted = !quoted,
                b'\\' => {
                    self.take();
                    match self.peek() {
                        b'\n' => {}
                        b't' => value.push(b'\t'),
                        b'b' => value.push(b'\x08'),
                        b'n' => value.push(b'\n'),
                        byte @ (b'\\' | b'"') => value.push(byte),
                        _ => return None,
                    }
                }
                byte => value.push(byte),
            }
            length = value.len();
            self.take();
        }
        value.truncate(length);
        Some(value)
    }
}

/// True for what git takes for white space: no vertical tab, no form feed.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
