//! The tables of a repository or of a worktree, in the order that `tables.list` has them: what a later one says counts.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use bstr::{BStr, BString, ByteSlice};
use gix::hash::Kind;
use nix::fcntl::OFlag;

use super::{
    Strange,
    block::{Records, Value},
    blocks::Blocks,
    table::{Ref, Table},
};

/// How often tables may be replaced while they are opened.
const MAX_TRIES: usize = 16;

/// git puts tables together long before there are so many.
const MAX_TABLES: usize = 256;

/// How long `tables.list` may be, in bytes.
const MAX_LIST: u64 = 64 * 1024;

/// The tables as they stood at one moment. Files that are open stay what they were, even if they are removed.
pub(super) struct Stack {
    /// Oldest first.
    tables: Vec<Table>,
}

impl Stack {
    /// Open the tables in the directory `dir`.
    pub(super) fn open(dir: &Path, hash: Kind) -> Result<Self, Strange> {
        let mut list = read_list(dir)?;
        for _ in 0..MAX_TRIES {
            if let Some(tables) = open_all(dir, &list, hash)? {
                return Ok(Stack { tables });
            }
            // Somebody has put tables together, and removed what they were made of.
            let now = read_list(dir)?;
            if now == list {
                break;
            }
            list = now;
        }
        Err(Strange)
    }

    /// The ref `name`; never one that was deleted.
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<Ref>, Strange> {
        for table in self.tables.iter().rev() {
            match table.find(name)? {
                None => {}
                Some(Ref::Deleted) => return Ok(None),
                found => return Ok(found),
            }
        }
        Ok(None)
    }

    /// To be done before [`for_each`](Self::for_each).
    pub(super) fn load(&mut self) -> Result<(), Strange> {
        self.tables.iter_mut().try_for_each(Table::load)
    }

    /// Show all refs to `each`, in byte order of the name.
    pub(super) fn for_each(
        &self,
        mut each: impl FnMut(&BStr, &Value<'_>) -> Result<(), Strange>,
    ) -> Result<(), Strange> {
        // The next ref is the last one's; of the same name, the youngest table's.
        let mut cursors: Vec<Cursor> = Vec::with_capacity(self.tables.len());
        for (age, table) in self.tables.iter().enumerate() {
            if let Some(cursor) = Cursor::new(age, table)? {
                insert(&mut cursors, cursor);
            }
        }
        let mut name = BString::default();
        while let Some(mut cursor) = cursors.pop() {
            let records = &cursor.records;
            if records.key() != name {
                name.clear();
                name.extend_from_slice(records.key());
                match records.value() {
                    Value::Deleted => {}
                    value => each(name.as_ref(), &value)?,
                }
            }
            if cursor.step()? {
                insert(&mut cursors, cursor);
            }
        }
        Ok(())
    }
}

/// Where a look through a table is.
struct Cursor<'a> {
    /// Larger for a later table.
    age: usize,
    blocks: Blocks<'a>,
    records: Records<'a>,
}

impl<'a> Cursor<'a> {
    /// At the first ref of `table`; `None` if it has none.
    fn new(age: usize, table: &'a Table) -> Result<Option<Self>, Strange> {
        let mut blocks = table.refs();
        let Some(mut records) = blocks.next()? else { return Ok(None) };
        Ok(records.step()?.then_some(Cursor { age, blocks, records }))
    }

    /// To the next ref; false if there is none.
    fn step(&mut self) -> Result<bool, Strange> {
        if self.records.step()? {
            return Ok(true);
        }
        let Some(mut next) = self.blocks.next()? else { return Ok(false) };
        let has_one = next.step()?;
        self.records = next;
        Ok(has_one)
    }

    fn place(&self) -> (&BStr, std::cmp::Reverse<usize>) {
        (self.records.key(), std::cmp::Reverse(self.age))
    }
}

/// Put `cursor` where it belongs, which is mostly the end.
fn insert<'a>(cursors: &mut Vec<Cursor<'a>>, cursor: Cursor<'a>) {
    let behind = cursors.iter().rev().take_while(|other| other.place() < cursor.place()).count();
    cursors.insert(cursors.len() - behind, cursor);
}

fn read_list(dir: &Path) -> Result<Vec<u8>, Strange> {
    let (file, len) = open(&dir.join("tables.list"))?;
    let mut list = Vec::with_capacity(len.min(MAX_LIST) as usize);
    file.take(MAX_LIST + 1).read_to_end(&mut list)?;
    if list.len() as u64 > MAX_LIST { Err(Strange) } else { Ok(list) }
}

/// The tables of this `list`; `None` if one is not there.
fn open_all(dir: &Path, list: &[u8], hash: Kind) -> Result<Option<Vec<Table>>, Strange> {
    let mut tables = Vec::new();
    for name in list.lines() {
        if name.is_empty() || name.contains(&b'/') || tables.len() == MAX_TABLES {
            return Err(Strange);
        }
        match open(&dir.join(name.to_path().map_err(|_| Strange)?)) {
            Ok((file, len)) => tables.push(Table::read(file, len, hash)?),
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err.into()),
        }
    }
    Ok(Some(tables))
}

/// A regular file, and how long it is.
fn open(path: &Path) -> io::Result<(File, u64)> {
    // A named pipe must not hold the push.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() { Ok((file, meta.len())) } else { Err(ErrorKind::InvalidInput.into()) }
}
