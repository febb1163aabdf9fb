//! A loose ref: one small file below `refs/`. They are never written here.

use std::{
    fs::File,
    io::Read,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;
use nix::{
    NixPath,
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, openat, readlinkat},
    sys::stat::Mode,
    unistd::read,
};

use super::name;
use crate::repository::Repository;

/// A ref's file holds an object id, or `ref: ` and a name; nothing that is longer, in bytes, is one.
const MAX_SIZE: usize = 8 * 1024;

/// Nearly all take less than this.
const USUAL_SIZE: usize = 256;

/// What the file of a ref says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loose {
    /// An object.
    Id(ObjectId),
    /// Another ref, by full name, which may be no well-formed one.
    Symbolic(BString),
    /// Something else, or it cannot be read.
    Broken,
    /// There is no such file.
    Absent,
}

/// The file that holds the ref of the full `name` where it is loose.
pub fn path(repository: &Repository, name: &BStr) -> PathBuf {
    let root = if name::is_per_worktree(name) { &repository.git_dir } else { &repository.common_dir };
    root.join(Path::new(std::ffi::OsStr::from_bytes(name)))
}

/// Read the loose ref of the full `name`, which must be well formed.
pub fn read_ref(repository: &Repository, name: &BStr) -> Loose {
    let path = path(repository, name);
    match open(AT_FDCWD, &path, OFlag::O_NOFOLLOW, repository.hash) {
        Err(Errno::ELOOP) => {}
        read => return read.unwrap_or(Loose::Broken),
    }
    match readlinkat(AT_FDCWD, &path) {
        Ok(target) if is_symref(target.as_bytes()) => Loose::Symbolic(target.as_bytes().into()),
        _ => read_file(AT_FDCWD, &path, repository.hash),
    }
}

/// True for the text of a symbolic link that stands for a symbolic ref, as git once made them.
pub(super) fn is_symref(target: &[u8]) -> bool {
    target.starts_with(b"refs/") && name::is_well_formed(target.as_bstr())
}

/// Read the ref at `path`, symbolic links followed.
pub(super) fn read_file<P>(dir: impl AsFd, path: &P, hash: gix::hash::Kind) -> Loose
where
    P: NixPath + ?Sized,
{
    open(dir, path, OFlag::empty(), hash).unwrap_or(Loose::Broken)
}

/// One open, one read and one close for any ref but a hostile one. O_NONBLOCK: a named pipe must not hold the push.
fn open<P>(dir: impl AsFd, path: &P, how: OFlag, hash: gix::hash::Kind) -> Result<Loose, Errno>
where
    P: NixPath + ?Sized,
{
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | how;
    let file = match openat(dir, path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // Ten thousand times over where as many refs are created.
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Loose::Absent),
        Err(err) => return Err(err),
    };
    let mut start = [0; USUAL_SIZE];
    match read(&file, &mut start) {
        Ok(len) if len < USUAL_SIZE => Ok(parse(&start[..len], hash)),
        Ok(_) => Ok(read_on(start.to_vec(), file, hash)),
        Err(Errno::EISDIR) => Ok(Loose::Absent),
        Err(_) => Ok(Loose::Broken),
    }
}

/// Read what follows the `content` that was read of `file`.
fn read_on(mut content: Vec<u8>, file: File, hash: gix::hash::Kind) -> Loose {
    match file.take((MAX_SIZE - content.len()) as u64).read_to_end(&mut content) {
        Ok(_) if content.len() < MAX_SIZE => parse(&content, hash),
        _ => Loose::Broken,
    }
}

/// Read the content of a ref's file (gitrepository-layout, "HEAD"): what follows white space behind an id is ignored.
fn parse(content: &[u8], hash: gix::hash::Kind) -> Loose {
    if let Some(target) = content.strip_prefix(b"ref:") {
        return Loose::Symbolic(target.trim_ascii().into());
    }
    let (hex, rest) = content.split_at(content.len().min(hash.len_in_hex()));
    if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        return Loose::Broken;
    }
    match ObjectId::from_hex(hex) {
        Ok(id) if id.kind() == hash => Loose::Id(id),
        _ => Loose::Broken,
    }
}
