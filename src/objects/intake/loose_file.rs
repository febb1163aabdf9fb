//! What is in the file of a loose object (gitformat-loose): a header and the content, in one zlib stream.
//!
//! A file takes whole blocks of a disk. What fits into one as it is takes no less when it is compressed, and is stored unless
//! the configuration names a level: git reads it like any other, and writes the same bytes at level 0. So most pushes need
//! no compressor, whose tables alone are 380 KB to be made and 128 KB to be cleared for each object.

use anyhow::{Result, anyhow};
use gix::{
    objs::Kind,
    zlib::{
        Compression, Status,
        stream::deflate::{Compress, FlushCompress},
    },
};

/// The size of a block, in bytes, on almost every file system.
const DISK_BLOCK: usize = 4096;

/// What a stream with one stored block begins with: a window of 32 KiB, no dictionary (RFC 1950, 2.2); the last block, stored
/// (RFC 1951, 3.2.3).
const STORED: [u8; 3] = [0x78, 0x01, 0x01];

/// What is in such a stream beside the data: that, the length twice, and a checksum, in bytes.
const AROUND: usize = STORED.len() + 4 + 4;

/// Makes the files of loose objects, one after the other.
pub struct LooseFile {
    /// `None`: as is fastest.
    level: Option<Compression>,
    /// Set up when it is first needed.
    compress: Option<Compress>,
    bytes: Vec<u8>,
}

impl Clone for LooseFile {
    fn clone(&self) -> Self {
        LooseFile { level: self.level, compress: None, bytes: Vec::new() }
    }
}

impl LooseFile {
    /// At the zlib level that is configured, if one is.
    pub fn new(configured: Option<i32>) -> Self {
        LooseFile { level: configured.and_then(Compression::new), compress: None, bytes: Vec::new() }
    }

    /// The level at which what is not stored is compressed.
    pub fn level(&self) -> Compression {
        self.level.unwrap_or(Compression::BEST_SPEED)
    }

    /// The file of the object of this `kind` and `content`.
    pub fn of(&mut self, kind: Kind, content: &[u8]) -> Result<&[u8]> {
        let header = gix::objs::encode::loose_header(kind, content.len() as u64);
        self.bytes.clear();
        if self.level.is_none() && AROUND + header.len() + content.len() <= DISK_BLOCK {
            self.store(&header, content);
        } else {
            self.compress(&header, content)?;
        }
        Ok(&self.bytes)
    }

    /// In one stored block.
    fn store(&mut self, header: &[u8], content: &[u8]) {
        let len = (header.len() + content.len()) as u16;
        self.bytes.reserve_exact(AROUND + usize::from(len));
        self.bytes.extend_from_slice(&STORED);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&(!len).to_le_bytes());
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(content);
        let checksum = adler32(&self.bytes[STORED.len() + 4..]);
        self.bytes.extend_from_slice(&checksum.to_be_bytes());
    }

    fn compress(&mut self, header: &[u8], content: &[u8]) -> Result<()> {
        let level = self.level();
        let compress = self.compress.get_or_insert_with(|| Compress::new(level));
        // A fresh one is spared the clearing of its tables.
        if compress.total_in() > 0 {
            compress.reset();
        }
        deflate(compress, header, FlushCompress::None, &mut self.bytes)?;
        deflate(compress, content, FlushCompress::Finish, &mut self.bytes)
    }
}

/// Add what `input` compresses to.
fn deflate(compress: &mut Compress, mut input: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> Result<()> {
    let mut block = [0; 1 << 13];
    loop {
        let (read, wrote) = (compress.total_in(), compress.total_out());
        let status = compress.compress(input, &mut block, flush).map_err(|err| anyhow!("cannot compress: {err}"))?;
        input = &input[(compress.total_in() - read) as usize..];
        out.extend_from_slice(&block[..(compress.total_out() - wrote) as usize]);
        match (status, flush) {
            (Status::StreamEnd, _) => return Ok(()),
            (_, FlushCompress::None) if input.is_empty() => return Ok(()),
            _ => {}
        }
    }
}

/// The checksum of no more than [`DISK_BLOCK`] bytes (RFC 1950, 8.2): so few that no sum overflows.
fn adler32(bytes: &[u8]) -> u32 {
    let (sum, sums) = bytes.iter().fold((1_u32, 0_u32), |(sum, sums), &byte| {
        let sum = sum + u32::from(byte);
        (sum, sums + sum)
    });
    ((sums % 65521) << 16) | (sum % 65521)
}
