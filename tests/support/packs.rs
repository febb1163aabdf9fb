//! Packs put together by hand, entry by entry, so that they can be wrong in any way (gitformat-pack).

/// A pack in the making.
#[derive(Default)]
pub struct PackBuilder {
    entries: Vec<u8>,
    count: u32,
}

/// Types of entries, as their header has them.
pub const COMMIT: u8 = 1;
/// A tree.
pub const TREE: u8 = 2;
/// A blob.
pub const BLOB: u8 = 3;
/// A tag.
pub const TAG: u8 = 4;
/// A delta whose base is named by its distance.
pub const OFS_DELTA: u8 = 6;
/// A delta whose base is named by its id.
pub const REF_DELTA: u8 = 7;

impl PackBuilder {
    /// No entries.
    pub fn new() -> Self {
        PackBuilder::default()
    }

    /// An entry whose header tells the truth.
    pub fn entry(self, kind: u8, content: &[u8]) -> Self {
        self.entry_claiming(kind, content.len() as u64, &[], content)
    }

    /// A delta against the object `base` (raw bytes of its id).
    pub fn ref_delta(self, base: &[u8], delta: &[u8]) -> Self {
        self.entry_claiming(REF_DELTA, delta.len() as u64, base, delta)
    }

    /// A delta against the entry that starts `distance` bytes before this one.
    pub fn ofs_delta(self, distance: u64, delta: &[u8]) -> Self {
        let mut base = vec![(distance & 0x7f) as u8];
        let mut left = distance >> 7;
        while left > 0 {
            left -= 1;
            base.insert(0, 0x80 | (left & 0x7f) as u8);
            left >>= 7;
        }
        self.entry_claiming(OFS_DELTA, delta.len() as u64, &base, delta)
    }

    /// An entry whose header claims `size` bytes, with `base` between header and data.
    pub fn entry_claiming(mut self, kind: u8, size: u64, base: &[u8], content: &[u8]) -> Self {
        let mut left = size >> 4;
        let mut byte = (kind << 4) | (size & 0x0f) as u8;
        while left > 0 {
            self.entries.push(byte | 0x80);
            byte = (left & 0x7f) as u8;
            left >>= 7;
        }
        self.entries.push(byte);
        self.entries.extend_from_slice(base);
        self.entries.extend(stored(content));
        self.count += 1;
        self
    }

    /// Any bytes in place of an entry.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.entries.extend_from_slice(bytes);
        self.count += 1;
        self
    }

    /// The length of all entries so far, in bytes.
    pub fn size(&self) -> usize {
        self.entries.len()
    }

    /// The pack, its trailer right.
    pub fn finish(self) -> Vec<u8> {
        let count = self.count;
        self.finish_claiming(2, count)
    }

    /// The same for a repository with another hash than SHA-1.
    pub fn finish_with(self, hash: gix::hash::Kind) -> Vec<u8> {
        let count = self.count;
        let mut pack = self.unsealed(2, count);
        seal_with(&mut pack, hash);
        pack
    }

    /// The pack, its trailer right, its header as given.
    pub fn finish_claiming(self, version: u32, count: u32) -> Vec<u8> {
        let mut pack = self.unsealed(version, count);
        seal(&mut pack);
        pack
    }

    fn unsealed(self, version: u32, count: u32) -> Vec<u8> {
        let mut pack = b"PACK".to_vec();
        pack.extend(version.to_be_bytes());
        pack.extend(count.to_be_bytes());
        pack.extend(self.entries);
        pack
    }
}

/// Append the SHA-1 of all that is there.
pub fn seal(pack: &mut Vec<u8>) {
    seal_with(pack, gix::hash::Kind::Sha1);
}

fn seal_with(pack: &mut Vec<u8>, hash: gix::hash::Kind) {
    let mut hasher = gix::hash::hasher(hash);
    hasher.update(pack);
    pack.extend_from_slice(hasher.try_finalize().expect("no collision").as_slice());
}

/// A delta that claims the sizes and then copies or inserts as `instructions` say.
pub fn delta(base_size: u64, result_size: u64, instructions: &[u8]) -> Vec<u8> {
    let mut delta = Vec::new();
    for mut size in [base_size, result_size] {
        while size >= 0x80 {
            delta.push(0x80 | (size & 0x7f) as u8);
            size >>= 7;
        }
        delta.push(size as u8);
    }
    delta.extend_from_slice(instructions);
    delta
}

/// `content` as a zlib stream that compresses nothing (RFC 1950, 1951).
pub fn stored(content: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks: Vec<&[u8]> = if content.is_empty() { vec![&[]] } else { content.chunks(0xffff).collect() };
    for (number, block) in blocks.iter().enumerate() {
        stream.push(u8::from(number + 1 == blocks.len()));
        stream.extend((block.len() as u16).to_le_bytes());
        stream.extend((!(block.len() as u16)).to_le_bytes());
        stream.extend_from_slice(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in content {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend(((b << 16) | a).to_be_bytes());
    stream
}

/// An entry of a tree.
pub fn entry(mode: &str, name: &[u8], id: &gix::oid) -> Vec<u8> {
    [mode.as_bytes(), b" ", name, b"\0", id.as_bytes()].concat()
}
