//! Reading single entries back from a pack that was written before: every byte of it has been seen to be what it claims.

use std::{ops::Range, os::unix::fs::FileExt};

use anyhow::{Context, Result, anyhow, ensure};
use gix::zlib::{Decompress, FlushDecompress, Status};

use super::rows::Rows;

/// How much of the pack is read at once, in bytes: an entry may be long even though it inflates to little.
const BLOCK: usize = 1 << 16;

/// A reader of entries.
pub struct Entries<'a> {
    file: &'a (dyn FileExt + Sync),
    rows: &'a Rows,
    /// Set up when it is first needed.
    inflate: Option<Decompress>,
    block: Vec<u8>,
    /// The next byte of the block to look at.
    at: usize,
    /// What follows the block: from where in the pack to where.
    next: Range<u64>,
}

impl<'a> Entries<'a> {
    /// The entries of the pack in `file`.
    pub fn new(file: &'a (dyn FileExt + Sync), rows: &'a Rows) -> Self {
        Entries { file, rows, inflate: None, block: Vec::new(), at: 0, next: 0..0 }
    }

    /// Inflate the entry in `row` into `out`, which is cleared. Fails if it is larger than `limit` bytes.
    pub fn read(&mut self, row: u32, limit: u64, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        if let Some(delta) = self.rows.inflated(row) {
            out.extend_from_slice(delta);
            return Ok(());
        }
        let size = self.begin(row)?;
        let offset = self.rows.get(row).offset;
        ensure!(
            size <= limit,
            "object at offset {offset} has {size} bytes, more than the {limit} that core.bigFileThreshold leaves to deltas"
        );
        out.resize(size as usize, 0);
        let mut done = 0;
        while done < out.len() {
            done += self.inflate_some(&mut out[done..])?;
        }
        Ok(())
    }

    /// Inflate the entry in `row` bit by bit into `sink`.
    pub fn stream(&mut self, row: u32, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = self.begin(row)?;
        let mut out = vec![0; BLOCK];
        while left > 0 {
            let room = left.min(out.len() as u64) as usize;
            let done = self.inflate_some(&mut out[..room])?;
            sink(&out[..done])?;
            left -= done as u64;
        }
        Ok(())
    }

    /// The inflated size of the entry in `row`, in bytes.
    pub fn size(&mut self, row: u32) -> Result<u64> {
        self.begin(row)
    }

    /// Read the header of the entry in `row`: its inflated size. What follows in the block is its data.
    fn begin(&mut self, row: u32) -> Result<u64> {
        let offset = self.rows.get(row).offset;
        self.next = offset..self.rows.end_of(row);
        self.load()?;
        let entry = gix_pack::data::Entry::from_bytes(&self.block, offset, self.rows.hash)
            .map_err(|err| anyhow!("cannot read the object at offset {offset} again: {err}"))?;
        self.at = entry.header_size();
        self.inflate.get_or_insert_default().reset();
        Ok(entry.decompressed_size)
    }

    fn load(&mut self) -> Result<()> {
        let len = (self.next.end - self.next.start).min(BLOCK as u64);
        ensure!(len > 0, "an object in the pack ended early when it was read again");
        self.block.resize(len as usize, 0);
        self.file.read_exact_at(&mut self.block, self.next.start).context("cannot read the pack again")?;
        self.next.start += len;
        self.at = 0;
        Ok(())
    }

    /// Inflate more, at least one byte, into `out`, which must not be empty.
    fn inflate_some(&mut self, out: &mut [u8]) -> Result<usize> {
        loop {
            if self.at == self.block.len() {
                self.load()?;
            }
            let inflate = self.inflate.get_or_insert_default();
            let (read, wrote) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(&self.block[self.at..], out, FlushDecompress::None)
                .map_err(|err| anyhow!("cannot inflate an object of the pack again: {err}"))?;
            let (read, wrote) = (inflate.total_in() - read, inflate.total_out() - wrote);
            self.at += read as usize;
            if wrote > 0 {
                return Ok(wrote as usize);
            }
            ensure!(
                status != Status::StreamEnd && read > 0,
                "an object in the pack ended early when it was read again"
            );
        }
    }
}
