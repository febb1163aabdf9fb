//! One ref as a reading of all of them finds it.

use std::borrow::Cow;

use bstr::{BStr, ByteSlice};
use gix::ObjectId;

use super::name;

/// One ref: its line, `<hex> SP <name> LF`, which is how it is packed and advertised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    line: &'a [u8],
    hex_len: usize,
    /// False where that is not what is advertised: no ref can have such a name, or somebody else than git wrote it.
    is_plain: bool,
}

impl<'a> Entry<'a> {
    /// A ref of which every byte is as git writes it, and whose value counts.
    #[inline]
    pub(super) fn plain(line: &'a [u8], hex_len: usize) -> Self {
        Entry { line, hex_len, is_plain: true }
    }

    /// One of which that is not sure: the value is in hex, and the rest stands where it should.
    pub(super) fn odd(line: &'a [u8], hex_len: usize) -> Self {
        Entry { line, hex_len, is_plain: false }
    }

    /// The full name.
    #[inline]
    pub fn name(&self) -> &'a BStr {
        self.line[self.hex_len + 1..self.line.len() - 1].as_bstr()
    }

    /// The value in hex, in lower case; null where the ref cannot be parsed or its name is malformed.
    pub fn hex(&self) -> Cow<'a, [u8]> {
        match self.is_plain {
            true => self.line[..self.hex_len].into(),
            false => self.id().to_hex().to_string().into_bytes().into(),
        }
    }

    /// The line as it is advertised; `None` where it has to be made of the parts.
    #[inline]
    pub fn line(&self) -> Option<&'a [u8]> {
        self.is_plain.then_some(self.line)
    }

    /// The value.
    pub fn id(&self) -> ObjectId {
        let hash = gix::hash::Kind::from_hex_len(self.hex_len).unwrap_or(gix::hash::Kind::Sha1);
        match self.is_plain || name::is_well_formed_one_level(self.name()) {
            // It is hex, as everybody has seen to who made one of these.
            true => ObjectId::from_hex(&self.line[..self.hex_len]).unwrap_or(hash.null()),
            false => hash.null(),
        }
    }
}
