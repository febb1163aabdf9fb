//! The files beside a pack: its index, version 2, and its reverse index (gitformat-pack).

use std::{
    fs::File,
    io::{self, BufWriter, Write},
};

use gix::{ObjectId, hash::Hasher};

use super::{by_id::ById, rows::Rows};

/// Offsets from here on go to the table of large ones.
const LARGE: u64 = 1 << 31;

/// Write the index of the pack of `rows`, whose hash is `pack` and which are in `order`.
pub fn write_index(file: &File, rows: &Rows, order: &ById, pack: &ObjectId) -> io::Result<()> {
    let order = &order.numbers;
    let mut out = Hashing::new(file, rows.hash);
    out.write_all(b"\xfftOc\0\0\0\x02")?;
    let mut fan_out = [0u32; 256];
    for &row in order {
        fan_out[usize::from(rows.id(row).first_byte())] += 1;
    }
    let mut total = 0;
    for count in fan_out {
        total += count;
        out.write_all(&total.to_be_bytes())?;
    }
    for &row in order {
        out.write_all(rows.id(row).as_bytes())?;
    }
    for &row in order {
        out.write_all(&rows.get(row).crc.to_be_bytes())?;
    }
    let mut large = Vec::new();
    for &row in order {
        let offset = rows.get(row).offset;
        let short = match u32::try_from(offset) {
            Ok(offset) if u64::from(offset) < LARGE => offset,
            _ => {
                large.push(offset);
                LARGE as u32 | (large.len() - 1) as u32
            }
        };
        out.write_all(&short.to_be_bytes())?;
    }
    for offset in large {
        out.write_all(&offset.to_be_bytes())?;
    }
    out.finish(pack)
}

/// Write the reverse index of the pack whose hash is `pack`: for each of its entries the place in the index, which has the rows in
/// this `order`.
pub fn write_reverse_index(file: &File, order: &ById, hash: gix::hash::Kind, pack: &ObjectId) -> io::Result<()> {
    let mut places = vec![0u32; order.numbers.len()];
    for (place, &row) in (0..).zip(&order.numbers) {
        places[row as usize] = place;
    }
    let mut out = Hashing::new(file, hash);
    out.write_all(b"RIDX\0\0\0\x01\0\0\0")?;
    out.write_all(if hash == gix::hash::Kind::Sha1 { &[1] } else { &[2] })?;
    for place in places {
        out.write_all(&place.to_be_bytes())?;
    }
    out.finish(pack)
}

/// A file that ends in the hash of the pack and of what was written.
struct Hashing<'a> {
    out: BufWriter<Tee<'a>>,
}

struct Tee<'a> {
    file: &'a File,
    hasher: Hasher,
}

impl<'a> Hashing<'a> {
    fn new(file: &'a File, hash: gix::hash::Kind) -> Self {
        Hashing { out: BufWriter::with_capacity(1 << 16, Tee { file, hasher: gix::hash::hasher(hash) }) }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    fn finish(mut self, pack: &ObjectId) -> io::Result<()> {
        self.out.write_all(pack.as_slice())?;
        let Tee { mut file, hasher } = self.out.into_inner().map_err(|err| err.into_error())?;
        file.write_all(hasher.try_finalize().map_err(io::Error::other)?.as_slice())
    }
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
