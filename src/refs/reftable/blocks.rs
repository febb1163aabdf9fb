//! The blocks of a table, one after another, and whether the index to them is right.

use bstr::ByteSlice;

use super::{
    Strange,
    block::{HEAD_LEN, INDEX, REFS, Records, Value},
    table::Table,
};

/// Blocks of one kind that follow one another.
pub(super) struct Blocks<'a> {
    pub(super) table: &'a Table,
    /// What they begin with.
    pub(super) kind: u8,
    /// Where the next one begins.
    pub(super) at: u64,
    pub(super) end: u64,
}

impl<'a> Blocks<'a> {
    /// The next one; `None` if there is none.
    pub(super) fn next(&mut self) -> Result<Option<Records<'a>>, Strange> {
        let Blocks { table, kind, at, end } = *self;
        if at == end {
            return Ok(None);
        }
        let head_at = table.head_of(at);
        let head = table.bytes(at, head_at + HEAD_LEN)?;
        let [found, high, middle, low] = *head.last_chunk::<HEAD_LEN>().ok_or(Strange)?;
        if found == INDEX && kind == REFS {
            // What lies below the topmost blocks of the index.
            return Ok(None);
        }
        let len = u32::from_be_bytes([0, high, middle, low]) as usize;
        let behind = at + len as u64;
        if found != kind || len < head_at + HEAD_LEN || behind > end {
            return Err(Strange);
        }
        self.at = match table.block_size() {
            // Blocks of an index may be larger than others.
            size if len as u64 >= size || behind == end => behind,
            // Nothing begins with a null byte but padding.
            size if table.bytes(behind, 1)?[0] == 0 => at + size,
            _ => behind,
        };
        if self.at > end {
            return Err(Strange);
        }
        Records::new(table.bytes(at, len)?, head_at, table.hash_len()).map(Some)
    }

    /// The records from the first one whose key is `name`, or is behind that; `None` if there is none.
    pub(super) fn seek(&mut self, name: &[u8]) -> Result<Option<Records<'a>>, Strange> {
        while let Some(mut records) = self.next()? {
            if records.seek(name)? {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }
}

/// See that the refs of `table` are in order, and that its index, where there is one, leads to each of their blocks by its last
/// key: else what git finds depends on where it comes by.
pub(super) fn check(table: &Table) -> Result<(), Strange> {
    let mut blocks = table.refs();
    let mut below: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut at = blocks.at;
    while let Some(mut records) = blocks.next()? {
        let mut is_first = true;
        while records.step()? {
            if is_first && below.last().is_some_and(|(last, _)| last.as_bstr() >= records.key()) {
                return Err(Strange);
            }
            is_first = false;
        }
        below.push((records.key().to_vec(), at));
        at = blocks.at;
    }
    let Some((top, end)) = table.index() else {
        return if blocks.at == blocks.end { Ok(()) } else { Err(Strange) };
    };
    // One level after the other, the topmost one last.
    let mut blocks = Blocks { table, kind: INDEX, at, end };
    loop {
        let is_top = blocks.at == top;
        let mut level = Vec::new();
        let mut expected = below.iter();
        while expected.len() > 0 {
            let at = blocks.at;
            let mut records = blocks.next()?.ok_or(Strange)?;
            while records.step()? {
                let Value::Block(place) = records.value() else { return Err(Strange) };
                if expected.next().is_none_or(|(key, at)| key != records.key() || *at != place) {
                    return Err(Strange);
                }
            }
            level.push((records.key().to_vec(), at));
        }
        if is_top || level.is_empty() {
            return if is_top && blocks.at == end { Ok(()) } else { Err(Strange) };
        }
        below = level;
    }
}
