//! Completing a thin pack: what it is based on and does not have is put behind its own entries.

use std::{fs::File, io::Write, os::unix::fs::FileExt};

use anyhow::{Context, Result};
use gix::{
    ObjectId,
    objs::Kind,
    oid,
    zlib::{Compression, stream::deflate},
};

use super::rows::{Base, Rows};

/// Objects that a thin pack is based on, put behind its own.
pub struct Borrowed<'a> {
    file: &'a File,
    at: u64,
    level: i32,
    entries: Vec<(u64, u32, Kind, ObjectId)>,
}

impl<'a> Borrowed<'a> {
    /// Nothing yet, behind the entries of the pack in `file`, which end `at` this offset; zlib's `level` for what is added.
    pub fn new(file: &'a File, at: u64, level: i32) -> Self {
        Borrowed { file, at, level, entries: Vec::new() }
    }

    /// How many objects were added.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Add an object.
    pub fn append(&mut self, id: &oid, kind: Kind, data: &[u8]) -> Result<()> {
        let mut entry = Vec::new();
        let header = match kind {
            Kind::Commit => gix_pack::data::entry::Header::Commit,
            Kind::Tree => gix_pack::data::entry::Header::Tree,
            Kind::Blob => gix_pack::data::entry::Header::Blob,
            Kind::Tag => gix_pack::data::entry::Header::Tag,
        };
        header.write_to(data.len() as u64, &mut entry)?;
        let mut out = deflate::Write::new(entry, Compression::new(self.level).unwrap_or_default());
        out.write_all(data)?;
        out.flush()?;
        let entry = out.into_inner();
        self.file.write_all_at(&entry, self.at).context("cannot complete the pack")?;
        self.entries.push((self.at, crc32fast::hash(&entry), kind, id.to_owned()));
        self.at += entry.len() as u64;
        Ok(())
    }

    /// Make a pack of it again: `rows` get the new entries, the header their number. Returns the new trailer.
    pub fn complete(self, rows: &mut Rows) -> Result<ObjectId> {
        let mut added = Vec::new();
        for (offset, crc, kind, id) in self.entries {
            added.push((rows.push(offset, crc, Base::None(kind)), id, kind));
        }
        rows.end = self.at;
        let mut ids = rows.take_ids();
        added.iter().for_each(|(row, id, kind)| ids.set(*row, id, *kind));
        rows.put_ids(ids);

        let rewrite = || -> std::io::Result<ObjectId> {
            self.file.write_all_at(&rows.count().to_be_bytes(), 8)?;
            let mut hasher = gix::hash::hasher(rows.hash);
            let (mut block, mut at) = (vec![0; 1 << 17], 0);
            while at < self.at {
                let len = (self.at - at).min(block.len() as u64) as usize;
                self.file.read_exact_at(&mut block[..len], at)?;
                hasher.update(&block[..len]);
                at += len as u64;
            }
            let trailer = hasher.try_finalize().map_err(std::io::Error::other)?;
            self.file.write_all_at(trailer.as_slice(), self.at)?;
            self.file.set_len(self.at + rows.hash.len_in_bytes() as u64)?;
            Ok(trailer)
        };
        rewrite().context("cannot complete the pack")
    }
}
