//! Reading loose objects (gitformat-loose): one file each, deflated. They are never written here.
//!
//! A push reads few and small ones, for which setting up an inflater or a mapping costs more than reading: the caller lends
//! an inflater, and the file is read.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, ensure};
use gix::{
    objs::{Kind, decode::loose_header},
    zlib::{Decompress, FlushDecompress, Status},
};

/// How much of a file is read at a time, in bytes.
const CHUNK: usize = 4096;

/// No header is longer, in bytes.
const MAX_HEADER: usize = 64;

/// How much memory is taken at least, in bytes, for an object that claims to be larger, before more of it arrives.
const FIRST: u64 = 1 << 16;

/// The loose objects of one object directory.
pub struct Loose {
    dir: PathBuf,
}

/// Where object `id` is, or is to be, in the object directory `dir` (gitrepository-layout).
pub fn path(dir: &Path, id: &gix::oid) -> PathBuf {
    let mut hex = gix::hash::Kind::hex_buf();
    let (fan_out, rest) = id.hex_to_buf(&mut hex).split_at(2);
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + rest.len() + "/xx/".len());
    path.extend([dir, Path::new(fan_out), Path::new(rest)]);
    path
}

/// An object that is being inflated.
struct Stream<'a> {
    file: File,
    chunk: [u8; CHUNK],
    /// What of the chunk was not inflated yet.
    at: usize,
    filled: usize,
    inflate: &'a mut Decompress,
    ended: bool,
}

impl Loose {
    /// Those below the object directory `dir`.
    pub fn new(dir: &Path) -> Self {
        Loose { dir: dir.to_owned() }
    }

    /// Where object `id` is if it is there.
    pub fn path(&self, id: &gix::oid) -> PathBuf {
        path(&self.dir, id)
    }

    /// True if there is an object `id`.
    pub fn contains(&self, id: &gix::oid) -> bool {
        self.path(id).is_file()
    }

    /// The kind and size of object `id`, `None` if it is not there.
    pub fn header(&self, id: &gix::oid, inflate: &mut Decompress) -> Result<Option<(Kind, u64)>> {
        let path = self.path(id);
        let Some(mut stream) = Stream::open(&path, inflate).with_context(|| unreadable(&path))? else {
            return Ok(None);
        };
        let (kind, size, _) = stream.header().with_context(|| unreadable(&path))?;
        Ok(Some((kind, size)))
    }

    /// The same, with its content in `content` if that has no more than `most` bytes.
    pub fn find(
        &self,
        id: &gix::oid,
        inflate: &mut Decompress,
        content: &mut Vec<u8>,
        most: u64,
    ) -> Result<Option<(Kind, u64)>> {
        let path = self.path(id);
        let Some(mut stream) = Stream::open(&path, inflate).with_context(|| unreadable(&path))? else {
            return Ok(None);
        };
        let found = stream.object(content, most).with_context(|| unreadable(&path))?;
        Ok(Some(found))
    }
}

fn unreadable(path: &Path) -> String {
    format!("cannot read loose object '{}'", path.display())
}

impl<'a> Stream<'a> {
    fn open(path: &Path, inflate: &'a mut Decompress) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        inflate.reset();
        Ok(Some(Stream { file, chunk: [0; CHUNK], at: 0, filled: 0, inflate, ended: false }))
    }

    /// Kind, size, and what was inflated of the content.
    fn header(&mut self) -> Result<(Kind, u64, Vec<u8>)> {
        let mut bytes = [0; MAX_HEADER];
        let mut len = 0;
        while len < MAX_HEADER && !self.ended && !bytes[..len].contains(&0) {
            len += self.inflate(&mut bytes[len..])?;
        }
        let (kind, size, header) = loose_header(&bytes[..len]).map_err(|err| anyhow!("{err}"))?;
        Ok((kind, size, bytes[header..len].to_vec()))
    }

    /// The kind and size, and all of the content if it is not over `most` bytes.
    fn object(&mut self, content: &mut Vec<u8>, most: u64) -> Result<(Kind, u64)> {
        let (kind, size, first) = self.header()?;
        if size > most {
            return Ok((kind, size));
        }
        content.clear();
        content.extend_from_slice(&first);
        let mut len = first.len();
        while !self.ended {
            // One byte more than there may be, to see that there is none.
            let room = (size.saturating_add(1)).min((len as u64 * 2).max(FIRST));
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            if content.len() < room {
                content.try_reserve_exact(room - content.len())?;
                content.resize(room, 0);
            }
            len += self.inflate(&mut content[len..])?;
            ensure!(len as u64 <= size, "it is longer than its header says");
        }
        content.truncate(len);
        ensure!(len as u64 == size, "it is shorter than its header says");
        Ok((kind, size))
    }

    /// Inflate into `out`, which is not empty; 0 at the end.
    fn inflate(&mut self, out: &mut [u8]) -> Result<usize> {
        while !self.ended {
            if self.at == self.filled {
                (self.at, self.filled) = (0, self.fill()?);
            }
            let rest = &self.chunk[self.at..self.filled];
            let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(rest, out, FlushDecompress::None).map_err(|err| anyhow!("{err}"))?;
            let read = (self.inflate.total_in() - read) as usize;
            let wrote = (self.inflate.total_out() - wrote) as usize;
            self.at += read;
            self.ended = status == Status::StreamEnd;
            if wrote > 0 {
                return Ok(wrote);
            }
            ensure!(self.ended || read > 0, "it ends too early");
        }
        Ok(0)
    }

    fn fill(&mut self) -> io::Result<usize> {
        loop {
            match self.file.read(&mut self.chunk) {
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}
