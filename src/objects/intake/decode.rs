//! The first pass over a pack, while it streams in: every entry is inflated, every whole object hashed.
//!
//! Three things happen side by side in a large pack: entries are inflated, the objects in them hashed, and the pack
//! itself hashed and written to disk for the second pass, [`resolve`](super::resolve). Memory is bounded by the number of entries
//! that came in, at some forty bytes each, and a few buffers of fixed size, whatever an entry claims or inflates to.

use std::{io::Read, mem, ops::Range, os::unix::fs::FileExt};

use anyhow::{Context, Result, bail, ensure};
use gix::{ObjectId, hash::Hasher, objs::Kind};

use super::{
    delta,
    pack_stream::{Content, PackStream},
    rows::{Base, Ids, Rows},
    visit::Visit,
};
use crate::lane::{Lane, Work};

/// How much inflated data goes to be hashed at once, in bytes. Larger objects go in parts.
pub const BATCH: usize = 1 << 19;
/// How much goes the first time, in bytes, and each time twice as much: even of a small pack the first objects are hashed while
/// the last ones are inflated.
const FIRST_BATCH: usize = 1 << 14;
/// How many objects go to be hashed at once, however small they are.
const PARTS: usize = 1 << 13;
/// The largest delta that is kept inflated where there is room for it, in bytes.
const SMALL_DELTA: u64 = 1 << 14;
/// How much of the pack goes to be hashed and written at once, in bytes.
const BLOCK: usize = 1 << 18;

/// What the first pass found.
pub struct Decoded<V> {
    /// All entries; those that are no deltas have their ids.
    pub rows: Rows,
    /// Those that `visit` passed by.
    pub large: Vec<u32>,
    /// What saw the others.
    pub visit: V,
    /// The hash of the pack.
    pub trailer: ObjectId,
}

/// Read the pack of `count` entries that begins with `header` and goes on in `input`, and write it to `file`, which is empty.
pub fn decode<V: Visit>(
    input: &mut dyn Read,
    (header, count): ([u8; 12], u32),
    limit: Option<(u64, String)>,
    hash: gix::hash::Kind,
    (file, threaded): (&(dyn FileExt + Sync), bool),
    visit: V,
) -> Result<Decoded<V>> {
    let (passed, large) = (gix::hash::hasher(hash), Vec::new());
    let store = Store { file, written: 0, hasher: passed };
    let name = Name { hash, hasher: gix::hash::hasher(hash), gathered: Vec::new(), ids: Ids::new(hash), large, visit };
    let (store, name, mut rows, trailer) = std::thread::scope(|scope| -> Result<_> {
        let (store, mut name) = if threaded {
            (Lane::beside_if_much(scope, "store", store), Lane::beside_if_much(scope, "name", name))
        } else {
            (Lane::Here(store), Lane::Here(name))
        };
        let mut tee = Tee { block: Vec::new(), lane: store };
        let mut stream = PackStream::new(input, header, limit, |bytes: &[u8]| tee.pass(bytes));
        let rows = read_entries(&mut stream, count, hash, &mut name)?;
        let trailer = stream.trailer(hash)?;
        Ok((tee.finish()?, name.finish()?, rows, trailer))
    })?;
    let Store { hasher, written, .. } = store;
    ensure!(hasher.try_finalize().is_ok_and(|found| found == trailer), "pack is corrupted (SHA1 mismatch)");
    file.write_all_at(trailer.as_slice(), written).context("cannot write the pack")?;
    rows.put_ids(name.ids);
    Ok(Decoded { rows, large: name.large, visit: name.visit, trailer })
}

fn read_entries<'scope, W: FnMut(&[u8]) -> Result<()>, V: Visit + 'scope>(
    stream: &mut PackStream<'_, W>,
    count: u32,
    hash: gix::hash::Kind,
    name: &mut Lane<'scope, Batch, Name<V>>,
) -> Result<Rows> {
    let mut rows = Rows::new(hash);
    let mut batch = Batch::default();
    let mut scratch = Vec::new();
    let mut enough = FIRST_BATCH;
    for row in 0..count {
        let entry = stream.entry(hash)?;
        let mut small = None;
        let base = match entry.content {
            Content::Object(kind) => {
                let whole = entry.size <= BATCH as u64;
                if (whole && entry.size > batch.room() as u64) || batch.used >= enough || batch.parts.len() >= PARTS {
                    batch = name.send(batch)?;
                    enough = BATCH.min(2 * enough);
                }
                let (mut start, mut first, mut left) = (batch.used, true, entry.size);
                while left > 0 {
                    if batch.room() == 0 {
                        batch.parts.push(Part {
                            row,
                            kind,
                            size: entry.size,
                            bytes: start..batch.used,
                            first,
                            last: false,
                        });
                        batch = name.send(batch)?;
                        (start, first) = (batch.used, false);
                    }
                    let more = stream.inflate(batch.free())?;
                    batch.used += more;
                    left -= more as u64;
                }
                // Its end.
                stream.skip(&mut [0])?;
                batch.parts.push(Part { row, kind, size: entry.size, bytes: start..batch.used, first, last: true });
                Base::None(kind)
            }
            Content::OffsetDelta(base) => {
                small = pass_delta(stream, entry.size, &mut scratch)?;
                match rows.at_offset(base) {
                    Some(base) => Base::Row(base),
                    None => bail!("pack has bad object at offset {}: no delta base at {base}", entry.offset),
                }
            }
            Content::RefDelta(base) => {
                small = pass_delta(stream, entry.size, &mut scratch)?;
                Base::Ref(rows.push_ref(&base))
            }
        };
        rows.push(entry.offset, stream.crc(), base);
        if let Some(delta) = small {
            rows.keep_inflated(delta);
        }
    }
    name.send_last(batch)?;
    rows.end = stream.offset();
    Ok(rows)
}

/// Inflate a delta of `size` bytes. Returns it if it is small; a large one is checked.
fn pass_delta<'a, W: FnMut(&[u8]) -> Result<()>>(
    stream: &mut PackStream<'_, W>,
    size: u64,
    scratch: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>> {
    let room = size.clamp(1, SMALL_DELTA) as usize;
    if scratch.len() < room {
        scratch.resize(room, 0);
    }
    if size > SMALL_DELTA {
        let mut check = delta::Check::default();
        loop {
            match stream.inflate(scratch)? {
                0 => break,
                more => check.take(&scratch[..more]).map_err(|err| stream.bad(err))?,
            }
        }
        return check.finish().map(|()| None).map_err(|err| stream.bad(err));
    }
    let (mut done, size) = (0, size as usize);
    while done < size {
        done += stream.inflate(&mut scratch[done..size])?;
    }
    // Its end.
    stream.skip(&mut [0])?;
    Ok(Some(&scratch[..size]))
}

/// Inflated objects, or parts of one.
struct Batch {
    data: Vec<u8>,
    used: usize,
    parts: Vec<Part>,
}

struct Part {
    row: u32,
    kind: Kind,
    /// The size of the whole object.
    size: u64,
    bytes: Range<usize>,
    first: bool,
    last: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Batch { data: vec![0; BATCH], used: 0, parts: Vec::new() }
    }
}

impl Batch {
    fn room(&self) -> usize {
        self.data.len() - self.used
    }

    fn free(&mut self) -> &mut [u8] {
        &mut self.data[self.used..]
    }
}

/// Names objects: hashes them, and shows them to whoever looks.
struct Name<V> {
    hash: gix::hash::Kind,
    /// Of an object whose end did not come yet.
    hasher: Hasher,
    /// The parts of such an object, where it is to be visited.
    gathered: Vec<u8>,
    ids: Ids,
    large: Vec<u32>,
    visit: V,
}

impl<V: Visit> Work<Batch> for Name<V> {
    fn take(&mut self, batch: &mut Batch) -> Result<()> {
        for part in batch.parts.drain(..) {
            let data = &batch.data[part.bytes];
            if part.first {
                self.hasher = gix::hash::hasher(self.hash);
                self.hasher.update(&gix::objs::encode::loose_header(part.kind, part.size));
            }
            self.hasher.update(data);
            let (is_whole, passed_by) = (part.first && part.last, self.visit.passes_by(part.kind, part.size));
            if !is_whole && !passed_by {
                self.gathered.extend_from_slice(data);
            }
            if part.last {
                let hasher = mem::replace(&mut self.hasher, gix::hash::hasher(self.hash));
                let id = hasher.try_finalize().map_err(|err| anyhow::anyhow!("{err}"))?;
                self.ids.set(part.row, &id, part.kind);
                if passed_by {
                    self.large.push(part.row);
                } else if is_whole {
                    self.visit.visit(&id, part.kind, data)?;
                } else {
                    self.visit.visit(&id, part.kind, &mem::take(&mut self.gathered))?;
                }
            }
        }
        batch.used = 0;
        Ok(())
    }
}

/// Hashes the pack and writes it to disk.
struct Store<'a> {
    file: &'a (dyn FileExt + Sync),
    /// How much, in bytes.
    written: u64,
    hasher: Hasher,
}

impl Work<Vec<u8>> for Store<'_> {
    fn take(&mut self, block: &mut Vec<u8>) -> Result<()> {
        self.hasher.update(block);
        self.file.write_all_at(block, self.written).context("cannot write the pack")?;
        self.written += block.len() as u64;
        block.clear();
        Ok(())
    }
}

/// Gathers the bytes of the pack.
struct Tee<'scope, 'a: 'scope> {
    block: Vec<u8>,
    lane: Lane<'scope, Vec<u8>, Store<'a>>,
}

impl<'scope, 'a: 'scope> Tee<'scope, 'a> {
    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK {
            self.block = self.lane.send(mem::take(&mut self.block))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Store<'a>> {
        self.lane.send_last(self.block)?;
        self.lane.finish()
    }
}
