//! What is known about each entry of a pack: some forty bytes an object, for packs of millions of them.

use gix::{ObjectId, objs::Kind, oid};

/// The entries of a pack in the order of their offsets.
pub struct Rows {
    /// The hash that names the objects.
    pub hash: gix::hash::Kind,
    rows: Vec<Row>,
    ids: Ids,
    /// The bases of the reference deltas, one behind the other.
    bases: Vec<u8>,
    /// How many of the rows are deltas of either kind.
    deltas: usize,
    /// Inflated deltas, each behind its length in two bytes, as many as the budget holds.
    inflated: Vec<u8>,
    /// Where the last entry ends.
    pub end: u64,
}

/// How much memory inflated deltas may take, in bytes.
const INFLATED: usize = 64 << 20;

/// One entry.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Where it begins.
    pub offset: u64,
    /// The CRC-32 of its bytes in the pack.
    pub crc: u32,
    /// What it needs to become an object.
    pub base: Base,
    /// Where among the inflated deltas it is; `u32::MAX` if it is not.
    inflated: u32,
}

/// What an entry is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing: it is an object of this kind.
    None(Kind),
    /// The object in this row, one before its own.
    Row(u32),
    /// The object named by the reference delta of this number.
    Ref(u32),
}

impl Rows {
    /// No entries yet.
    pub fn new(hash: gix::hash::Kind) -> Self {
        Rows { hash, rows: Vec::new(), ids: Ids::new(hash), bases: Vec::new(), deltas: 0, inflated: Vec::new(), end: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.rows.len() as u32
    }

    /// How many of them are deltas.
    pub fn deltas(&self) -> usize {
        self.deltas
    }

    /// How many of them are reference deltas.
    pub fn refs(&self) -> u32 {
        (self.bases.len() / self.hash.len_in_bytes()) as u32
    }

    /// Row number `row`.
    pub fn get(&self, row: u32) -> &Row {
        &self.rows[row as usize]
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// The number of the row that begins at `offset`.
    pub fn at_offset(&self, offset: u64) -> Option<u32> {
        self.rows.binary_search_by_key(&offset, |row| row.offset).ok().map(|row| row as u32)
    }

    /// Where the entry of `row` ends.
    pub fn end_of(&self, row: u32) -> u64 {
        self.rows.get(row as usize + 1).map_or(self.end, |next| next.offset)
    }

    /// Add an entry that begins at `offset`, behind all others.
    pub fn push(&mut self, offset: u64, crc: u32, base: Base) -> u32 {
        self.deltas += usize::from(!matches!(base, Base::None(_)));
        self.rows.push(Row { offset, crc, base, inflated: u32::MAX });
        self.count() - 1
    }

    /// Add a base of a reference delta; returns the delta's number.
    pub fn push_ref(&mut self, base: &oid) -> u32 {
        self.bases.extend_from_slice(base.as_bytes());
        self.refs() - 1
    }

    /// The base of reference delta `number`.
    pub fn ref_base(&self, number: u32) -> &oid {
        slice(&self.bases, self.hash, number)
    }

    /// Keep what the delta in the row added last inflated to, if there is room: the second pass needs it again.
    pub fn keep_inflated(&mut self, delta: &[u8]) {
        let start = self.inflated.len();
        if let (Some(row), Ok(len)) = (self.rows.last_mut(), u16::try_from(delta.len()))
            && start + 2 + delta.len() <= INFLATED
        {
            self.inflated.extend_from_slice(&len.to_le_bytes());
            self.inflated.extend_from_slice(delta);
            row.inflated = start as u32;
        }
    }

    /// What the delta in `row` inflates to, if that was kept.
    pub fn inflated(&self, row: u32) -> Option<&[u8]> {
        let (len, rest) = self.inflated.get(self.get(row).inflated as usize..)?.split_first_chunk()?;
        rest.get(..usize::from(u16::from_le_bytes(*len)))
    }

    /// The id of the object in `row`; null while unknown.
    pub fn id(&self, row: u32) -> &oid {
        self.ids.get(row)
    }

    /// The kind of the object in `row`; `None` while its id is unknown.
    pub fn kind(&self, row: u32) -> Option<Kind> {
        self.ids.kinds.get(row as usize).copied().flatten()
    }

    /// All ids at once, to be set row by row.
    pub fn take_ids(&mut self) -> Ids {
        let mut ids = std::mem::replace(&mut self.ids, Ids::new(self.hash));
        ids.resize(self.rows.len());
        ids
    }

    /// Put back what [`take_ids`](Self::take_ids) gave.
    pub fn put_ids(&mut self, ids: Ids) {
        self.ids = ids;
        self.ids.resize(self.rows.len());
    }
}

/// The ids of some rows, and the kinds of the objects that have them.
pub struct Ids {
    hash: gix::hash::Kind,
    /// One behind the other; null while unknown.
    ids: Vec<u8>,
    kinds: Vec<Option<Kind>>,
}

impl Ids {
    /// None yet.
    pub fn new(hash: gix::hash::Kind) -> Self {
        Ids { hash, ids: Vec::new(), kinds: Vec::new() }
    }

    /// Set the id of the object in `row`, and its kind.
    pub fn set(&mut self, row: u32, id: &ObjectId, kind: Kind) {
        let (row, len) = (row as usize, self.hash.len_in_bytes());
        if self.kinds.len() <= row {
            self.resize(row + 1);
        }
        self.ids[row * len..(row + 1) * len].copy_from_slice(id.as_slice());
        self.kinds[row] = Some(kind);
    }

    fn resize(&mut self, rows: usize) {
        self.ids.resize(rows * self.hash.len_in_bytes(), 0);
        self.kinds.resize(rows, None);
    }

    /// The id of the object in `row`.
    pub fn get(&self, row: u32) -> &oid {
        slice(&self.ids, self.hash, row)
    }
}

fn slice(ids: &[u8], hash: gix::hash::Kind, number: u32) -> &oid {
    let at = number as usize * hash.len_in_bytes();
    oid::from_bytes_unchecked(&ids[at..at + hash.len_in_bytes()])
}
