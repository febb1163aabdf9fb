//! Loose refs: one small file each below `refs/`. They are never written here.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use bstr::{BStr, BString, ByteSlice, ByteVec};
use gix::ObjectId;
use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat},
    sys::stat::{Mode, SFlag, fstatat},
    unistd::read,
};

use super::name;
use crate::repository::Repository;

/// A ref's file holds an object id, or `ref: ` and a name; nothing that is longer, in bytes, is one.
const MAX_SIZE: usize = 8 * 1024;

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
    match readlinkat(AT_FDCWD, &path) {
        Ok(target) if is_symref(target.as_bytes()) => Loose::Symbolic(target.as_bytes().into()),
        // Ten thousand times over where as many refs are created.
        Err(Errno::ENOENT | Errno::ENOTDIR) => Loose::Absent,
        _ => read_file(AT_FDCWD, &path, repository.hash, &mut [0; MAX_SIZE]),
    }
}

/// All loose refs in byte order of their full names. Files whose names start with `.` or end in `.lock` are none; one whose
/// name is otherwise malformed is broken, as git's readers have it.
///
/// A ref that goes away meanwhile is left out: where it went into packed-refs it is there before its file goes, so
/// packed-refs must be opened after this.
pub fn scan(repository: &Repository) -> Result<Vec<(BString, Loose)>> {
    let mut found = Vec::new();
    let mut buffer = [0; MAX_SIZE];
    // Each linked worktree has its own of these; in the directory that all share they may not even show up.
    let is_linked = repository.git_dir != repository.common_dir;
    let own = if is_linked { &["refs/bisect", "refs/rewritten", "refs/worktree"][..] } else { &[] };
    let mut pending: Vec<BString> = own.iter().map(|dir| BString::from(*dir)).collect();
    pending.push("refs".into());
    while let Some(dir) = pending.pop() {
        // Asked of what is in it, for `refs` itself is no ref.
        let is_own = name::is_per_worktree([dir.as_slice(), b"/"].concat().as_bstr());
        let root = if is_own { &repository.git_dir } else { &repository.common_dir };
        let path = root.join(Path::new(std::ffi::OsStr::from_bytes(&dir)));
        let mut take = |file: Found, name: BString, handle: &OwnedFd, at: &CStr| match file {
            Found::Directory if own.iter().any(|own| name == *own) => {}
            Found::Directory => pending.push(name),
            Found::Nothing => {}
            _ if !name::is_well_formed(name.as_ref()) => found.push((name, Loose::Broken)),
            Found::Symref(target) => found.push((name, Loose::Symbolic(target))),
            Found::File => match read_file(handle, at, repository.hash, &mut buffer) {
                Loose::Absent => {}
                loose => found.push((name, loose)),
            },
        };
        scan_dir(&path, dir.as_ref(), &mut take)
            .with_context(|| format!("cannot read the refs in '{}'", path.display()))?;
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Give `take` each entry of the directory at `path` that may be a ref or hold some: what it is, the name of the ref, and
/// where to open it.
fn scan_dir(path: &Path, prefix: &BStr, take: &mut impl FnMut(Found, BString, &OwnedFd, &CStr)) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = match Dir::open(path, flags, Mode::empty()) {
        Ok(dir) => dir,
        // Gone meanwhile, a loop of symbolic links, or not ours to look into, which hides its refs from git too.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG | Errno::EACCES) => return Ok(()),
        Err(err) => return Err(err.into()),
    };
    let handle = dir.as_fd().try_clone_to_owned()?;
    for entry in dir.iter() {
        let entry = entry?;
        let file = entry.file_name();
        let bytes = file.to_bytes();
        if bytes.starts_with(b".") || bytes.ends_with(b".lock") {
            continue;
        }
        let mut name = BString::new(Vec::with_capacity(prefix.len() + 1 + bytes.len()));
        name.push_str(prefix);
        name.push(b'/');
        name.push_str(bytes);
        take(kind(&handle, file, entry.file_type()), name, &handle, file);
    }
    Ok(())
}

enum Found {
    Directory,
    File,
    /// A symbolic link that stands for a symbolic ref, as git once made them.
    Symref(BString),
    Nothing,
}

/// What is at `file`, symbolic links followed. `known` is what the directory says, which saves the look.
fn kind(dir: &OwnedFd, file: &CStr, known: Option<Type>) -> Found {
    match known {
        Some(Type::File) => return Found::File,
        Some(Type::Directory) => return Found::Directory,
        Some(Type::Symlink) | None => {}
        Some(_) => return Found::Nothing,
    }
    let Ok(stat) = fstatat(dir, file, AtFlags::empty()) else { return Found::Nothing };
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => Found::Directory,
        SFlag::S_IFREG => match readlinkat(dir, file) {
            Ok(target) if is_symref(target.as_bytes()) => Found::Symref(target.as_bytes().into()),
            _ => Found::File,
        },
        _ => Found::Nothing,
    }
}

fn is_symref(target: &[u8]) -> bool {
    target.starts_with(b"refs/") && name::is_well_formed(target.as_bstr())
}

/// One open, one read and one close for any ref but a hostile one. O_NONBLOCK: a named pipe must not hold the push.
fn read_file<P>(dir: impl AsFd, path: &P, hash: gix::hash::Kind, buffer: &mut [u8; MAX_SIZE]) -> Loose
where
    P: nix::NixPath + ?Sized,
{
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = match openat(dir, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Loose::Absent,
        Err(_) => return Loose::Broken,
    };
    match read(&file, buffer) {
        Ok(len) if len < MAX_SIZE => parse(&buffer[..len], hash),
        Err(Errno::EISDIR) => Loose::Absent,
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
