//! Going through the refs of the file, one after the other.

use anyhow::{Context, Result};
use bstr::BStr;
use gix::ObjectId;

use super::Packed;

/// One ref of the file. Its parts are well formed, but for the name, which is as it stands there.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The full name.
    pub name: &'a BStr,
    /// The value in hex.
    pub hex: &'a [u8],
    /// True if that has capitals, which git does not write.
    pub has_capitals: bool,
    /// What a tag points at in the end, in hex, where the file says so.
    pub peeled: Option<&'a [u8]>,
}

impl Line<'_> {
    /// The value.
    pub fn id(&self) -> Result<ObjectId> {
        ObjectId::from_hex(self.hex).with_context(|| format!("bad object id for packed ref {}", self.name))
    }
}

/// See [`Packed::lines`].
pub struct Lines<'a> {
    pub(super) packed: &'a Packed,
    pub(super) at: usize,
}

impl Lines<'_> {
    /// Where in the [body](Packed::body) the next ref begins, the body's length if there is none.
    pub fn offset(&self) -> usize {
        self.at.min(self.packed.body().len())
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.packed.body().len() {
            return None;
        }
        match self.packed.parse(self.at) {
            Ok((line, next)) => {
                self.at = next;
                Some(Ok(line))
            }
            Err(err) => {
                self.at = usize::MAX;
                Some(Err(err))
            }
        }
    }
}
