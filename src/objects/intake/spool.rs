//! The bytes of a pack that are to be read once more: a small one is kept in memory, a larger one in a file without a name.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::objects::quarantine::Quarantine;

/// How much is kept in memory, in bytes.
const MOST: usize = 1 << 19;

/// A file that need not be one.
pub struct Spool<'a> {
    quarantine: &'a Quarantine,
    bytes: Mutex<Bytes>,
}

enum Bytes {
    InMemory(Vec<u8>),
    InFile(File),
}

impl<'a> Spool<'a> {
    /// An empty one, whose file will be in the directory of `quarantine`.
    pub fn new(quarantine: &'a Quarantine) -> Self {
        Spool { quarantine, bytes: Mutex::new(Bytes::InMemory(Vec::new())) }
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileExt for Spool<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &*self.lock() {
            Bytes::InFile(file) => file.read_at(buffer, offset),
            Bytes::InMemory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
                let len = rest.len().min(buffer.len());
                buffer[..len].copy_from_slice(&rest[..len]);
                Ok(len)
            }
        }
    }

    /// Append `buffer`: a pack is written from its beginning to its end, and `offset` is where that is.
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = self.lock();
        if let Bytes::InMemory(held) = &mut *bytes {
            if held.len() as u64 != offset {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "written out of order"));
            }
            if held.len() + buffer.len() <= MOST {
                held.extend_from_slice(buffer);
                return Ok(buffer.len());
            }
            let file = tempfile::tempfile_in(self.quarantine.dir().map_err(io::Error::other)?)?;
            file.write_all_at(held, 0)?;
            *bytes = Bytes::InFile(file);
        }
        match &*bytes {
            Bytes::InFile(file) => file.write_at(buffer, offset),
            Bytes::InMemory(_) => Ok(0),
        }
    }
}
