//! What the first line of the file promises about the others.

use std::path::Path;

use anyhow::{Result, bail};
use bstr::ByteSlice;

use super::first_line;

/// What the header promises about `^` lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peeled {
    /// Nothing: a line without one may still be a tag.
    Unknown,
    /// `peeled`: each line below refs/tags/ that can have one does.
    Tags,
    /// `fully-peeled`: each line that can have one does.
    Fully,
}

/// What stands in front of the refs.
pub(super) struct Header {
    /// In bytes, with its newline; 0 without a header.
    pub(super) len: usize,
    pub(super) peeled: Peeled,
    pub(super) sorted: bool,
}

impl Header {
    pub(super) fn of(content: &[u8], path: &Path) -> Result<Self> {
        if content.first() != Some(&b'#') {
            return Ok(Header { len: 0, peeled: Peeled::Unknown, sorted: false });
        }
        let line = content.lines().next().unwrap_or_default();
        let Some(traits) = line.strip_prefix(b"# pack-refs with:") else {
            bail!("unexpected line in {}: {}", path.display(), first_line(content));
        };
        let has = |word: &str| traits.split(|byte| *byte == b' ').any(|each| each == word.as_bytes());
        let peeled = match (has("fully-peeled"), has("peeled")) {
            (true, _) => Peeled::Fully,
            (false, true) => Peeled::Tags,
            (false, false) => Peeled::Unknown,
        };
        let len = memchr::memchr(b'\n', content).map_or(content.len(), |newline| newline + 1);
        Ok(Header { len, peeled, sorted: has("sorted") })
    }
}
