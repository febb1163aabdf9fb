//! One block of a table: records in byte order of their keys, each without what it shares with the one before it.
//!
//! The bytes are anybody's: every length and place is compared with what is there before it is used.

use std::{borrow::Cow, ops::Range};

use bstr::{BStr, ByteSlice};

use super::Strange;

/// What the blocks of refs begin with.
pub(super) const REFS: u8 = b'r';

/// What the blocks begin with that say where other blocks are.
pub(super) const INDEX: u8 = b'i';

/// A type, and a length of three bytes.
pub(super) const HEAD_LEN: usize = 4;

/// A place in the block, where a record holds its whole key.
const RESTART_LEN: usize = 3;

/// How many of those there are.
const RESTART_COUNT_LEN: usize = 2;

/// What a record says.
pub(super) enum Value<'a> {
    /// A ref that is no more.
    Deleted,
    /// A ref's object id.
    Id(&'a [u8]),
    /// The ref that this one stands for.
    Symbolic(&'a BStr),
    /// Where the block begins whose last key this is.
    Block(u64),
}

/// The same, with places in the block.
enum Found {
    Deleted,
    Id(Range<usize>),
    Symbolic(Range<usize>),
    Block(u64),
}

/// The records of a block, one at a time: none before the first step.
pub(super) struct Records<'a> {
    block: Cow<'a, [u8]>,
    hash_len: usize,
    /// Where the next record begins.
    at: usize,
    /// Where the last one ends, and the table of restarts begins.
    end: usize,
    restart_count: usize,
    /// The first of the restarts that was not met yet.
    restart: usize,
    key: Vec<u8>,
    found: Found,
}

impl<'a> Records<'a> {
    /// Those of `block`, which has its length by its head, at `head`: what is before that is the header of a file.
    pub(super) fn new(block: Cow<'a, [u8]>, head: usize, hash_len: usize) -> Result<Self, Strange> {
        let records = block.get(head + HEAD_LEN..).ok_or(Strange)?;
        let (before, count) = records.split_last_chunk::<RESTART_COUNT_LEN>().ok_or(Strange)?;
        let restart_count = usize::from(u16::from_be_bytes(*count));
        let len = before.len().checked_sub(restart_count * RESTART_LEN).ok_or(Strange)?;
        let at = head + HEAD_LEN;
        let this = Records {
            hash_len,
            at,
            end: at + len,
            restart_count,
            restart: 0,
            key: Vec::new(),
            found: Found::Deleted,
            block,
        };
        match this.restart_offset(0) {
            Some(first) if first == at && len > 0 => Ok(this),
            _ => Err(Strange),
        }
    }

    /// The key of the record at hand.
    pub(super) fn key(&self) -> &BStr {
        self.key.as_bstr()
    }

    /// What the record at hand says.
    pub(super) fn value(&self) -> Value<'_> {
        match &self.found {
            Found::Deleted => Value::Deleted,
            Found::Id(at) => Value::Id(&self.block[at.clone()]),
            Found::Symbolic(at) => Value::Symbolic(self.block[at.clone()].as_bstr()),
            Found::Block(at) => Value::Block(*at),
        }
    }

    /// Step to the next record; false if there is none.
    pub(super) fn step(&mut self) -> Result<bool, Strange> {
        if self.at == self.end {
            return if self.restart == self.restart_count { Ok(false) } else { Err(Strange) };
        }
        let is_restart = self.restart_offset(self.restart) == Some(self.at);
        self.restart += usize::from(is_restart);
        let is_index = self.is_index();
        let mut reader = Reader { bytes: &self.block[..self.end], at: self.at };
        let (shared, kind, suffix) = reader.key()?;
        let differs = self.key.get(shared..).ok_or(Strange)?;
        let rest = &reader.bytes[suffix.clone()];
        // What is behind a null byte git does not see.
        if (is_restart && shared > 0) || rest <= differs || rest.contains(&0) {
            return Err(Strange);
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(&reader.bytes[suffix]);
        self.found = match (is_index, kind) {
            (true, 0) => Found::Block(reader.varint()?),
            (true, _) => return Err(Strange),
            (false, _) => {
                // When it was changed, which says nothing here: the order of tables does.
                reader.varint()?;
                reader.value(kind, self.hash_len)?
            }
        };
        self.at = reader.at;
        Ok(true)
    }

    /// Step to the first record whose key is `wanted`, or is behind that; false if there is none.
    pub(super) fn seek(&mut self, wanted: &[u8]) -> Result<bool, Strange> {
        let (mut low, mut high) = (0, self.restart_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key_at_restart(middle)? <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.restart = low.saturating_sub(1);
        self.at = self.restart_offset(self.restart).ok_or(Strange)?;
        self.key.clear();
        while self.step()? {
            if self.key.as_slice() >= wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_index(&self) -> bool {
        // The first restart is the first record, right behind the head.
        self.restart_offset(0).and_then(|first| self.block.get(first - HEAD_LEN)) == Some(&INDEX)
    }

    /// A place among the records.
    fn restart_offset(&self, index: usize) -> Option<usize> {
        let table = self.block.get(self.end..)?.get(..self.restart_count * RESTART_LEN)?;
        let [high, middle, low] = *table.as_chunks::<RESTART_LEN>().0.get(index)?;
        Some(u32::from_be_bytes([0, high, middle, low]) as usize).filter(|at| (HEAD_LEN..self.end).contains(at))
    }

    fn key_at_restart(&self, index: usize) -> Result<&[u8], Strange> {
        let at = self.restart_offset(index).ok_or(Strange)?;
        let mut reader = Reader { bytes: &self.block[..self.end], at };
        match reader.key()? {
            (0, _, suffix) => Ok(&self.block[suffix]),
            _ => Err(Strange),
        }
    }
}

/// The parts of a record, one after another.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// How much of its key a record shares with the one before it, what it is, and where the rest of the key is.
    fn key(&mut self) -> Result<(usize, u8, Range<usize>), Strange> {
        let shared = usize::try_from(self.varint()?).map_err(|_| Strange)?;
        let length_and_kind = self.varint()?;
        let suffix = self.take(length_and_kind >> 3)?;
        Ok((shared, (length_and_kind & 7) as u8, suffix))
    }

    fn value(&mut self, kind: u8, hash_len: usize) -> Result<Found, Strange> {
        match kind {
            0 => Ok(Found::Deleted),
            1 => self.take(hash_len as u64).map(Found::Id),
            2 => {
                let id = self.take(hash_len as u64)?;
                // What the tag of that id is of.
                self.take(hash_len as u64)?;
                Ok(Found::Id(id))
            }
            3 => {
                let len = self.varint()?;
                self.take(len).map(Found::Symbolic)
            }
            _ => Err(Strange),
        }
    }

    fn take(&mut self, len: u64) -> Result<Range<usize>, Strange> {
        let left = self.bytes.len() - self.at;
        let len = usize::try_from(len).ok().filter(|len| *len <= left).ok_or(Strange)?;
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    /// A number of seven bits a byte, highest first; each further byte adds one to what came before it, as in the offset of
    /// a delta in a pack.
    fn varint(&mut self) -> Result<u64, Strange> {
        let mut value = 0_u64;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Strange)?;
            self.at += 1;
            if value > u64::MAX >> 7 {
                return Err(Strange);
            }
            value = value << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            value = value.checked_add(1).ok_or(Strange)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> Option<u64> {
        Reader { bytes, at: 0 }.varint().ok()
    }

    #[test]
    fn a_number_is_read_as_the_offset_of_a_delta_is() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0], 128),
            (&[0x80, 0x7f], 255),
            (&[0xff, 0x7f], 16511),
            (&[0x80, 0x80, 0], 16512),
        ] {
            assert_eq!(varint(bytes), Some(value), "{bytes:?}");
        }
        assert_eq!(varint(&[]), None);
        assert_eq!(varint(&[0x80]), None);
        assert_eq!(varint(&[0xff; 12]), None);
    }

    /// A block of refs with these bytes for records, and these restarts.
    fn block(records: &[u8], restarts: &[u8]) -> Vec<u8> {
        let offsets = restarts.iter().flat_map(|at| [0, 0, *at]);
        let len = (HEAD_LEN + records.len() + restarts.len() * RESTART_LEN + RESTART_COUNT_LEN) as u8;
        let head = [REFS, 0, 0, len].into_iter().chain(records.iter().copied());
        head.chain(offsets).chain([0, restarts.len() as u8]).collect()
    }

    fn keys(block: &[u8]) -> Result<Vec<String>, Strange> {
        let mut records = Records::new(block.into(), 0, 20)?;
        let mut keys = Vec::new();
        while records.step()? {
            keys.push(records.key().to_string());
        }
        Ok(keys)
    }

    #[test]
    fn keys_are_put_together() {
        // Three deletions: `ab`, `ac`, and `b` as a restart.
        let good = block(&[0, 2 << 3, b'a', b'b', 0, 1, 1 << 3, b'c', 0, 0, 1 << 3, b'b', 0], &[4, 13]);
        assert_eq!(keys(&good).unwrap(), ["ab", "ac", "b"]);
        for (wanted, found) in [
            ("a", Some("ab")),
            ("ab", Some("ab")),
            ("abc", Some("ac")),
            ("ad", Some("b")),
            ("b", Some("b")),
            ("c", None),
        ] {
            let mut records = Records::new(good.as_slice().into(), 0, 20).unwrap();
            let is_found = records.seek(wanted.as_bytes()).unwrap();
            assert_eq!(is_found.then(|| records.key().to_string()).as_deref(), found, "{wanted}");
        }
    }

    #[test]
    fn what_git_does_not_write_is_strange() {
        let strange: [(&str, &[u8], &[u8]); 12] = [
            ("no record", &[], &[4]),
            ("no restart", &[0, 8, b'a', 0], &[]),
            ("a restart that is no record", &[0, 8, b'a', 0], &[4, 6]),
            ("a first restart that is not the first record", &[0, 8, b'a', 0, 0, 8, b'b', 0], &[8]),
            ("a restart that shares its key", &[0, 8, b'a', 0, 1, 8, b'b', 0], &[4, 8]),
            ("a record that shares more than there is", &[0, 8, b'a', 0, 2, 8, b'b', 0], &[4]),
            ("keys out of order", &[0, 8, b'b', 0, 0, 8, b'a', 0], &[4]),
            ("the same key twice", &[0, 8, b'a', 0, 0, 8, b'a', 0], &[4]),
            ("a null byte in a key", &[0, 16, b'a', 0, 0], &[4]),
            ("a key that goes on behind the end", &[0, 0x87, 0x7f, b'a', 0], &[4]),
            ("a value that goes on behind the end", &[0, 8 | 1, b'a', 0, 1, 2, 3], &[4]),
            ("a value of a kind that is not known", &[0, 8 | 4, b'a', 0], &[4]),
        ];
        for (what, records, restarts) in strange {
            assert!(keys(&block(records, restarts)).is_err(), "{what}");
        }
        assert!(Records::new(Cow::Borrowed(&[REFS, 0, 0]), 0, 20).is_err());
        assert!(Records::new(Cow::Borrowed(&[REFS, 0, 0, 6, 0xff, 0xff]), 0, 20).is_err());
    }
}
