//! The pack of a push as it comes in, entry by entry (gitformat-pack), believing nothing.
//!
//! It is read through one buffer of bounded size; sizes that the pack claims are compared with what follows, and never
//! allocated. After the trailer nothing more is asked of the input: a client keeps its end open and waits.

use std::io::{ErrorKind, Read};

use anyhow::{Result, anyhow, bail, ensure};
use gix::{
    ObjectId,
    objs::Kind,
    zlib::{Decompress, FlushDecompress, Status},
};

/// The size of the buffer, in bytes, and with what it begins: most packs are small.
const BUFFER: usize = 1 << 16;
const FIRST_BUFFER: usize = 1 << 12;
/// `PACK`, the version, and how many entries follow.
const HEADER: usize = 12;

/// A pack that is being read. Each byte of it but the trailer is handed to `W`, in order and soon.
pub struct PackStream<'a, W> {
    input: &'a mut dyn Read,
    pass_on: W,
    buffer: Vec<u8>,
    /// The next byte to look at.
    at: usize,
    /// The end of what was read.
    filled: usize,
    /// The first byte that was not passed on yet.
    unpassed: usize,
    /// How much of the pack was looked at, in bytes: the offset of the next byte.
    offset: u64,
    limit: Option<(u64, String)>,
    inflate: Decompress,
    /// How much of the entry is still to be inflated, in bytes.
    left: u64,
    ended: bool,
    /// Where the entry that is being read begins.
    entry: u64,
    crc: crc32fast::Hasher,
    /// The first byte of the entry that is not part of `crc` yet.
    unchecked: usize,
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where in the pack it begins.
    pub offset: u64,
    /// What it holds.
    pub content: Content,
    /// The size of that when inflated, as claimed.
    pub size: u64,
}

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A whole object.
    Object(Kind),
    /// A delta to the object whose entry begins at this offset.
    OffsetDelta(u64),
    /// A delta to this object, in the pack or not.
    RefDelta(ObjectId),
}

impl<'a, W: FnMut(&[u8]) -> Result<()>> PackStream<'a, W> {
    /// The pack in `input`, whose first twelve bytes are `header`. No more than `limit` bytes are taken from it; what
    /// is said otherwise goes with it.
    pub fn new(input: &'a mut dyn Read, header: [u8; HEADER], limit: Option<(u64, String)>, pass_on: W) -> Self {
        let mut buffer = vec![0; FIRST_BUFFER];
        buffer[..HEADER].copy_from_slice(&header);
        PackStream {
            input,
            pass_on,
            buffer,
            at: HEADER,
            filled: HEADER,
            unpassed: 0,
            offset: HEADER as u64,
            limit,
            inflate: Decompress::new(),
            left: 0,
            ended: true,
            entry: 0,
            crc: crc32fast::Hasher::new(),
            unchecked: HEADER,
        }
    }

    /// The next entry's header. The entry before it must have been inflated to its end.
    pub fn entry(&mut self, hash: gix::hash::Kind) -> Result<Entry> {
        self.entry = self.offset;
        self.crc = crc32fast::Hasher::new();
        self.unchecked = self.at;
        let first = self.byte()?;
        let (mut size, mut shift, mut byte) = (u64::from(first & 15), 4, first);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            ensure!(shift < 64 && bits << shift >> shift == bits, self.bad("a size that is too large"));
            size |= bits << shift;
            shift += 7;
        }
        let content = match first >> 4 & 7 {
            1 => Content::Object(Kind::Commit),
            2 => Content::Object(Kind::Tree),
            3 => Content::Object(Kind::Blob),
            4 => Content::Object(Kind::Tag),
            6 => Content::OffsetDelta(self.base_offset()?),
            7 => {
                let mut id = ObjectId::null(hash);
                for at in 0..hash.len_in_bytes() {
                    id.as_mut_slice()[at] = self.byte()?;
                }
                Content::RefDelta(id)
            }
            kind => bail!(self.bad(format_args!("unknown object type {kind}"))),
        };
        self.left = size;
        self.ended = false;
        self.inflate.reset();
        Ok(Entry { offset: self.entry, content, size })
    }

    fn base_offset(&mut self) -> Result<u64> {
        let mut byte = self.byte()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            ensure!(distance < 1 << 56, self.bad("a distance to the delta base that is too large"));
            distance = (distance + 1) << 7 | u64::from(byte & 0x7f);
        }
        match self.entry.checked_sub(distance) {
            Some(offset) if distance > 0 => Ok(offset),
            _ => bail!(self.bad("delta base offset is out of bound")),
        }
    }

    /// Inflate more of the entry into `out`, which must not be empty. Returns how much; 0 when all of it was returned,
    /// and it is as long as its header claims.
    pub fn inflate(&mut self, out: &mut [u8]) -> Result<usize> {
        while !self.ended {
            if self.at == self.filled {
                self.fill()?;
            }
            let mut beyond = [0];
            let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
            let room = if self.left == 0 { &mut beyond[..] } else { &mut out[..room] };
            let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(&self.buffer[self.at..self.filled], room, FlushDecompress::None)
                .map_err(|err| self.bad(format_args!("cannot inflate: {err}")))?;
            let (read, wrote) = (self.inflate.total_in() - read, self.inflate.total_out() - wrote);
            self.take(read as usize)?;
            ensure!(wrote <= self.left, self.bad("longer than its header says"));
            self.left -= wrote;
            self.ended = status == Status::StreamEnd;
            ensure!(!self.ended || self.left == 0, self.bad("shorter than its header says"));
            if wrote > 0 {
                return Ok(wrote as usize);
            }
            ensure!(self.ended || read > 0, self.bad("cannot inflate: no progress"));
        }
        Ok(0)
    }

    /// Inflate the rest of the entry to nowhere.
    pub fn skip(&mut self, scratch: &mut [u8]) -> Result<()> {
        while self.inflate(scratch)? > 0 {}
        Ok(())
    }

    /// The CRC-32 of the entry's bytes in the pack, once it was inflated to its end.
    pub fn crc(&mut self) -> u32 {
        self.check();
        self.crc.clone().finalize()
    }

    /// Where the next entry begins, or behind the last one the trailer.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Pass on what was not passed on yet and read the trailer. Fails if it is seen that more follows.
    pub fn trailer(&mut self, hash: gix::hash::Kind) -> Result<ObjectId> {
        self.pass()?;
        let mut trailer = ObjectId::null(hash);
        for at in 0..hash.len_in_bytes() {
            if self.at == self.filled {
                // Not passed on.
                self.unpassed = self.at;
                self.fill()?;
            }
            trailer.as_mut_slice()[at] = self.buffer[self.at];
            self.take(1)?;
        }
        ensure!(self.at == self.filled, "pack has junk at the end");
        Ok(trailer)
    }

    /// An error about the entry that is being read.
    pub fn bad(&self, what: impl std::fmt::Display) -> anyhow::Error {
        anyhow!("pack has bad object at offset {}: {what}", self.entry)
    }

    fn byte(&mut self) -> Result<u8> {
        if self.at == self.filled {
            self.fill()?;
        }
        let byte = self.buffer[self.at];
        self.take(1)?;
        Ok(byte)
    }

    fn take(&mut self, len: usize) -> Result<()> {
        self.at += len;
        self.offset += len as u64;
        match &self.limit {
            Some((limit, complaint)) if self.offset > *limit => bail!("{complaint}"),
            _ => Ok(()),
        }
    }

    fn check(&mut self) {
        self.crc.update(&self.buffer[self.unchecked..self.at]);
        self.unchecked = self.at;
    }

    fn pass(&mut self) -> Result<()> {
        (self.pass_on)(&self.buffer[self.unpassed..self.at])?;
        self.unpassed = self.at;
        Ok(())
    }

    /// Read more, when everything was looked at.
    fn fill(&mut self) -> Result<()> {
        self.check();
        self.pass()?;
        if self.filled == FIRST_BUFFER {
            self.buffer.resize(BUFFER, 0);
        }
        (self.at, self.unpassed, self.unchecked) = (0, 0, 0);
        loop {
            match self.input.read(&mut self.buffer) {
                Ok(0) => bail!("early EOF"),
                Ok(filled) => {
                    self.filled = filled;
                    return Ok(());
                }
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => bail!("read error on input: {err}"),
            }
        }
    }
}

/// The first twelve bytes of a pack and how many entries it claims to have, or why it is none in the words of the report.
pub fn read_header(input: &mut dyn Read) -> Result<([u8; HEADER], u32), &'static str> {
    let mut header = [0; HEADER];
    input.read_exact(&mut header).map_err(|_| "eof before pack header was fully read")?;
    let [p, a, c, k, version @ .., c3, c2, c1, c0] = header;
    if &[p, a, c, k] != b"PACK" {
        return Err("protocol error (pack signature mismatch detected)");
    }
    if !matches!(version, [0, 0, 0, 2 | 3]) {
        return Err("protocol error (pack version unsupported)");
    }
    Ok((header, u32::from_be_bytes([c3, c2, c1, c0])))
}
