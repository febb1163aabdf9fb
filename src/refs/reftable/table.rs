//! One file of a stack: refs in blocks, an index to these where there are many, what else is of no interest here (ids and
//! logs), and a footer that says where all that begins.
//!
//! A small file is read at once; of a larger one the blocks that are asked for.

use std::{borrow::Cow, fs::File, os::unix::fs::FileExt};

use bstr::BString;
use gix::{ObjectId, hash::Kind};

use super::{
    Strange,
    block::{INDEX, REFS, Value},
    blocks::{Blocks, check},
};

/// Five positions and a checksum, behind the header once more.
const FOOTER_LEN: usize = 5 * 8 + 4;

/// Files up to this size, in bytes, are read at once, and of others this much.
const START: usize = 16 * 1024;

/// More bytes than this are not read at once.
const MAX_LOADED: u64 = 1 << 30;

/// What a table says of a ref.
pub(super) enum Ref {
    /// It is no more.
    Deleted,
    /// Its object id, which is not null.
    Id(ObjectId),
    /// The ref that it stands for.
    Symbolic(BString),
}

impl Ref {
    /// What the record of a ref says.
    pub(super) fn of(value: &Value<'_>) -> Result<Self, Strange> {
        match value {
            Value::Deleted => Ok(Ref::Deleted),
            Value::Id(id) => {
                let id = ObjectId::try_from(*id).map_err(|_| Strange)?;
                if id.is_null() { Err(Strange) } else { Ok(Ref::Id(id)) }
            }
            Value::Symbolic(target) => Ok(Ref::Symbolic((*target).into())),
            Value::Block(_) => Err(Strange),
        }
    }
}

/// A table that was looked at as a whole: it is of the right hash, and its footer is sound. Nobody writes into one: it is
/// removed when others have taken its place.
pub(super) struct Table {
    /// `None` if there is nothing more to read.
    file: Option<File>,
    start: Vec<u8>,
    hash: Kind,
    header_len: usize,
    block_size: u64,
    /// Where the blocks of refs end, unless one of an index comes before that.
    refs_end: u64,
    index: Option<(u64, u64)>,
}

impl Table {
    /// The table in `file`, a regular one of `len` bytes, whose ids must be of `hash`.
    pub(super) fn read(file: File, len: u64, hash: Kind) -> Result<Self, Strange> {
        let mut start = vec![0; usize::try_from(len).map_or(START, |len| len.min(START))];
        file.read_exact_at(&mut start, 0)?;
        let header_len = match start.get(..5).ok_or(Strange)? {
            b"REFT\x01" => 24,
            b"REFT\x02" => 28,
            _ => return Err(Strange),
        };
        let footer_at = len.checked_sub((header_len + FOOTER_LEN) as u64).filter(|at| *at >= header_len as u64);
        let footer_at = footer_at.ok_or(Strange)?;
        let is_whole = start.len() as u64 == len;
        let mut this = Table {
            file: (!is_whole).then_some(file),
            start,
            hash,
            header_len,
            block_size: 0,
            refs_end: 0,
            index: None,
        };
        let header = this.bytes(0, header_len)?;
        let block_size = u64::from(u32::from_be_bytes([0, header[5], header[6], header[7]]));
        // The first version had none to choose.
        let named = header.get(24..).filter(|named| !named.is_empty()).unwrap_or(b"sha1");
        if named != (if hash == Kind::Sha1 { b"sha1" } else { b"s256" }) {
            return Err(Strange);
        }
        let footer = this.bytes(footer_at, header_len + FOOTER_LEN)?;
        let (summed, sum) = footer.split_last_chunk::<4>().ok_or(Strange)?;
        if summed[..header_len] != *header || crc32fast::hash(summed) != u32::from_be_bytes(*sum) {
            return Err(Strange);
        }
        let positions = summed[header_len..].as_chunks::<8>().0;
        let [ref_index, ids, id_index, log, log_index] = *positions else { return Err(Strange) };
        let [ref_index, id_index, log, log_index] = [ref_index, id_index, log, log_index].map(u64::from_be_bytes);
        // With the length of abbreviated ids.
        let ids = u64::from_be_bytes(ids) >> 5;
        // What comes next behind a place.
        let end_of = |place: u64| {
            let others = [ref_index, ids, id_index, log, log_index, footer_at].into_iter();
            others.filter(|other| *other > place).min().filter(|end| *end <= footer_at).ok_or(Strange)
        };
        let has_refs = this.bytes(header_len as u64, 1)?[0] == REFS;
        this.index = match ref_index {
            0 => None,
            at => Some((at, end_of(at)?)),
        };
        (this.refs_end, this.block_size) = (if has_refs { end_of(0)? } else { 0 }, block_size);
        if this.file.is_none() {
            check(&this)?;
        }
        Ok(this)
    }

    /// Read all that is about refs, and look at it as a whole, unless that was done: for those who want all of it.
    pub(super) fn load(&mut self) -> Result<(), Strange> {
        let Some(file) = &self.file else { return Ok(()) };
        let (read, end) = (self.start.len(), self.index.map_or(self.refs_end, |(_, end)| end));
        if end > MAX_LOADED {
            return Err(Strange);
        }
        if read < end as usize {
            self.start.resize(end as usize, 0);
            file.read_exact_at(&mut self.start[read..], read as u64)?;
        }
        check(self)
    }

    /// All its blocks of refs.
    pub(super) fn refs(&self) -> Blocks<'_> {
        Blocks { table: self, kind: REFS, at: 0, end: self.refs_end }
    }

    /// Where the topmost blocks of an index to those begin and end, if there is one.
    pub(super) fn index(&self) -> Option<(u64, u64)> {
        self.index
    }

    /// How long ids are, in bytes.
    pub(super) fn hash_len(&self) -> usize {
        self.hash.len_in_bytes()
    }

    /// What blocks are padded to; 0 if they are not.
    pub(super) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// What it says of the ref `name`; `None` if that is nothing.
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<Ref>, Strange> {
        let mut blocks = match self.index {
            Some((at, end)) => Blocks { table: self, kind: INDEX, at, end },
            None => self.refs(),
        };
        let mut start = blocks.at;
        let Some(mut records) = blocks.seek(name)? else { return Ok(None) };
        // An index comes behind what it is about, so this has an end.
        while let Value::Block(at) = records.value() {
            if at >= start {
                return Err(Strange);
            }
            let mut below = Blocks { table: self, kind: self.kind_at(at)?, at, end: start };
            start = at;
            records = below.next()?.ok_or(Strange)?;
            // It ends in the key by which it was found.
            if !records.seek(name)? {
                return Err(Strange);
            }
        }
        if records.key() != name { Ok(None) } else { Ref::of(&records.value()).map(Some) }
    }

    /// What the block that begins at `at` holds.
    fn kind_at(&self, at: u64) -> Result<u8, Strange> {
        Ok(self.bytes(at + self.head_of(at) as u64, 1)?[0])
    }

    /// Where in the block that begins at `at` its head is.
    pub(super) fn head_of(&self, at: u64) -> usize {
        if at == 0 { self.header_len } else { 0 }
    }

    /// A copy where it was not read with the start of the file.
    pub(super) fn bytes(&self, at: u64, len: usize) -> Result<Cow<'_, [u8]>, Strange> {
        let end = at.checked_add(len as u64).ok_or(Strange)?;
        if end <= self.start.len() as u64 {
            return Ok(Cow::Borrowed(&self.start[at as usize..end as usize]));
        }
        let mut bytes = vec![0; len];
        self.file.as_ref().ok_or(Strange)?.read_exact_at(&mut bytes, at)?;
        Ok(Cow::Owned(bytes))
    }
}
