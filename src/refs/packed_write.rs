//! Writing packed-refs: under its lock, merged in one pass from the old file and what changes, and put in place by one
//! rename. What its refs should be is decided elsewhere.

use std::{
    fs::File,
    hash::{BuildHasher, Hasher},
    io::{BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use bstr::{BStr, BString};
use gix::{
    ObjectId,
    objs::{Kind, TagRefIter},
};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};

use super::{
    lock::{Held, Locksmith, sync_directory},
    packed::{Line, Packed, Peeled},
};
use crate::objects::database::Database;

/// What packed-refs is to say of one ref.
#[derive(Debug, Clone)]
pub struct Change {
    /// The full name.
    pub name: BString,
    /// Its value, `None` to leave it out.
    pub to: Option<Value>,
}

/// A value with what it is peeled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// The object that the ref names.
    pub id: ObjectId,
    /// If that is a tag, what it points at in the end.
    pub peeled: Option<ObjectId>,
}

/// A file that disk space is reserved for, and nothing written to yet.
#[derive(Debug)]
pub struct Room {
    file: File,
    held: Held,
}

impl Room {
    /// Leave it where it is, for a recovery to find.
    pub fn leave(&mut self) {
        self.held.leave();
    }
}

/// The lock on packed-refs, and the file as it is under the lock.
///
/// The lock is `<target>.lock` where the target is packed-refs with its symbolic links resolved, as for git. It is a mark
/// only: new contents have a name of their own.
pub struct PackedRefs<'a> {
    target: PathBuf,
    current: Option<Packed>,
    database: &'a Database,
    locksmith: Locksmith<'a>,
    hash: gix::hash::Kind,
    _lock: Held,
}

impl<'a> PackedRefs<'a> {
    /// Read the file at `target` under its lock, which is `lock`.
    pub fn read(
        target: PathBuf,
        lock: Held,
        database: &'a Database,
        locksmith: Locksmith<'a>,
        hash: gix::hash::Kind,
    ) -> Result<Self> {
        let current = Packed::open(target.clone(), hash)?;
        Ok(PackedRefs { target, current, database, locksmith, hash, _lock: lock })
    }

    /// The value of ref `name` in the file.
    pub fn find(&self, name: &BStr) -> Result<Option<ObjectId>> {
        find(self.current.as_ref(), name)
    }

    /// Make sure that there is room on disk for the file as it is and `more` bytes, under `temporary`, a name in the same
    /// directory.
    pub fn reserve(&self, temporary: &str, more: u64) -> Result<Room> {
        let (file, held) = self.locksmith.create(&self.target.with_file_name(temporary))?;
        let length = std::fs::metadata(&self.target).map_or(0, |meta| meta.len()) + more;
        match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length.try_into()?) {
            // Not every file system can promise it.
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(Room { file, held }),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Write the file anew with `changes`, which are sorted by name, in the `room` reserved for it or else under `temporary`, a
    /// name in the same directory; then call `before` and put it in place. With `sync`, what the file holds will last; its name
    /// does when [`sync_name`](Self::sync_name) was called. An error means that the file is as it was.
    pub fn replace(
        &self,
        changes: &[Change],
        temporary: &str,
        room: Option<Room>,
        sync: bool,
        before: impl FnOnce(),
    ) -> Result<()> {
        let failed = || format!("cannot write '{}'", self.target.display());
        let (file, mut held) = match room {
            Some(Room { file, held }) => (file, held),
            None => self.locksmith.create(&self.target.with_file_name(temporary)).with_context(failed)?,
        };
        self.write(changes, &file).with_context(failed)?;
        // What was reserved and not needed is given back.
        let length = (&file).stream_position().with_context(failed)?;
        file.set_len(length).with_context(failed)?;
        if sync {
            file.sync_all().with_context(failed)?;
        }
        before();
        held.rename_to(&self.target).with_context(failed)
    }

    /// Make the name of the file that was put in place last.
    pub fn sync_name(&self) -> Result<()> {
        let directory = self.target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_directory(directory).with_context(|| format!("cannot sync '{}'", directory.display()))
    }

    /// Read the file that was put in place.
    pub fn read_again(&mut self) -> Result<()> {
        self.current = Packed::open(self.target.clone(), self.hash)?;
        Ok(())
    }

    /// Neither a reader that goes by size and inode nor one that goes by size and time may take the new file for the one
    /// that it has: the end of the header is free, so the size is made to differ.
    fn write(&self, changes: &[Change], mut file: &File) -> Result<()> {
        let whole = match &self.current {
            None => true,
            Some(packed) => vouched_for(packed) || self.all_peeled(packed, changes)?,
        };
        let traits = if whole { "peeled fully-peeled sorted " } else { "sorted " };
        let old_size = std::fs::metadata(&self.target).map_or(0, |meta| meta.len());
        loop {
            let mut out = BufWriter::with_capacity(1 << 16, file);
            let spaces = usize::from(random() % 64);
            writeln!(out, "# pack-refs with: {traits}{:spaces$}", "")?;
            self.merge(changes, whole, &mut out)?;
            out.flush()?;
            drop(out);
            if file.stream_position()? != old_size {
                return Ok(());
            }
            file.set_len(0)?;
            file.rewind()?;
        }
    }

    /// True if each tag among the refs that stay can be peeled.
    fn all_peeled(&self, packed: &Packed, changes: &[Change]) -> Result<bool> {
        for line in packed.lines() {
            let line = line?;
            if changes.binary_search_by(|change| change.name[..].cmp(line.name)).is_err()
                && self.peel_line(packed, &line)?.is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The value of a line that stays; `None` if its object cannot be read, so that nobody knows what it peels to.
    fn peel_line(&self, packed: &Packed, line: &Line<'_>) -> Result<Option<Value>> {
        let id = line.id()?;
        if let Some(hex) = line.peeled {
            return Ok(Some(Value { id, peeled: Some(ObjectId::from_hex(hex)?) }));
        }
        let known = match packed.peeled() {
            Peeled::Fully => true,
            Peeled::Tags => line.name.starts_with(b"refs/tags/"),
            Peeled::Unknown => false,
        };
        if known {
            return Ok(Some(Value { id, peeled: None }));
        }
        Ok(peel(self.database, id).ok().map(|peeled| Value { id, peeled }))
    }

    fn merge(&self, changes: &[Change], whole: bool, out: &mut impl Write) -> Result<()> {
        let Some(packed) = &self.current else {
            return changes.iter().try_for_each(|change| write_change(change, out));
        };
        if !vouched_for(packed) && whole {
            return self.merge_peeling(packed, changes, out);
        }
        // What lies between two changes is copied as it is, whatever its length.
        let mut done = 0;
        for change in changes {
            let mut lines = packed.lines_from_behind(done, change.name.as_ref())?;
            out.write_all(&packed.body()[done..lines.offset()])?;
            done = lines.offset();
            if lines.next().transpose()?.is_some_and(|line| line.name == change.name) {
                done = lines.offset();
            }
            write_change(change, out)?;
        }
        Ok(out.write_all(&packed.body()[done..])?)
    }

    fn merge_peeling(&self, packed: &Packed, changes: &[Change], out: &mut impl Write) -> Result<()> {
        let mut changes = changes.iter().peekable();
        for line in packed.lines() {
            let line = line?;
            while let Some(change) = changes.next_if(|change| change.name < line.name) {
                write_change(change, out)?;
            }
            if let Some(change) = changes.next_if(|change| change.name == line.name) {
                write_change(change, out)?;
                continue;
            }
            let value = self.peel_line(packed, &line)?.with_context(|| format!("cannot peel {}", line.name))?;
            write_value(line.name, value, out)?;
        }
        changes.try_for_each(|change| write_change(change, out))
    }
}

/// True if the file's own header says all that a new header would.
fn vouched_for(packed: &Packed) -> bool {
    packed.was_sorted() && packed.peeled() == Peeled::Fully
}

/// The value of ref `name` in packed-refs.
pub fn find(packed: Option<&Packed>, name: &BStr) -> Result<Option<ObjectId>> {
    let Some(packed) = packed else { return Ok(None) };
    packed.find(name)?.map(|line| line.id()).transpose()
}

/// What object `id` points at in the end if it is a tag, `None` if it is not.
pub fn peel(database: &Database, id: ObjectId) -> Result<Option<ObjectId>> {
    let missing = |id| format!("cannot peel {id}: there is no such object");
    let (mut kind, _) = database.header(&id)?.with_context(|| missing(id))?;
    let mut peeled = None;
    let mut buffer = Vec::new();
    while kind == Kind::Tag {
        let tag = peeled.unwrap_or(id);
        database.find(&tag, &mut buffer)?.with_context(|| missing(tag))?;
        let target =
            TagRefIter::from_bytes(&buffer, id.kind()).target_id().with_context(|| format!("cannot read tag {tag}"))?;
        kind = database.header(&target)?.with_context(|| missing(target))?.0;
        peeled = Some(target);
    }
    Ok(peeled)
}

fn write_change(change: &Change, out: &mut impl Write) -> Result<()> {
    change.to.map_or(Ok(()), |value| write_value(change.name.as_ref(), value, out))
}

fn write_value(name: &BStr, value: Value, out: &mut impl Write) -> Result<()> {
    let mut hex = gix::hash::Kind::hex_buf();
    out.write_all(value.id.hex_to_buf(&mut hex).as_bytes())?;
    out.write_all(b" ")?;
    out.write_all(name)?;
    out.write_all(b"\n")?;
    if let Some(peeled) = value.peeled {
        writeln!(out, "^{peeled}")?;
    }
    Ok(())
}

/// The keys of a new hash map are the random numbers that std has.
fn random() -> u8 {
    std::hash::RandomState::new().build_hasher().finish().to_le_bytes()[0]
}
