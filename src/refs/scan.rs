//! All loose refs: the directories below `refs/` are listed, then the files in them read, by several threads where they are
//! many.

use std::{
    ffi::OsStr,
    fs::{self, DirEntry, FileType},
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use bstr::{BString, ByteSlice, ByteVec};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, open},
    sys::stat::Mode,
};

use super::{
    loose::{self, Loose},
    name,
};
use crate::{repository::Repository, shares::in_shares};

/// So many files are worth a thread more.
const SHARE: usize = 500;

/// No more threads than this, however many there are.
const MAX_THREADS: usize = 4;

/// A ref of a directory with so many others is opened from there, which takes a system call for the directory and saves the
/// walk down to it for each.
const NEIGHBOURS: usize = 4;

/// What the directories hold.
#[derive(Default)]
struct Listing {
    /// The directories that files are in.
    directories: Vec<PathBuf>,
    /// Those of one directory together.
    files: Vec<File>,
    /// What is known without a look into a file.
    known: Vec<(BString, Loose)>,
}

/// A file that may be a ref.
struct File {
    /// Its number.
    directory: usize,
    /// The full name of the ref.
    name: BString,
}

/// All loose refs in byte order of their full names. Files whose names start with `.` or end in `.lock` are none; one whose
/// name is otherwise malformed is broken, as git's readers have it.
///
/// A ref that goes away meanwhile is left out: where it went into packed-refs it is there before its file goes, so
/// packed-refs must be opened after this.
pub fn scan(repository: &Repository) -> Result<Vec<(BString, Loose)>> {
    let Listing { directories, files, known } = list(repository)?;
    let mut found = known;
    let threads = match (files.len() / SHARE).min(MAX_THREADS) {
        0 | 1 => 1,
        worth => worth.min(thread::available_parallelism().map_or(1, usize::from)),
    };
    let read = |share: &[File]| read(share, &directories, repository.hash);
    found.extend(in_shares(&files, threads, read).into_iter().flatten());
    // Each thread's are in order.
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Look through all directories.
fn list(repository: &Repository) -> Result<Listing> {
    // Each linked worktree has its own of these; in the directory that all share they may not even show up.
    let is_linked = repository.git_dir != repository.common_dir;
    let own = if is_linked { &["refs/bisect", "refs/rewritten", "refs/worktree"][..] } else { &[] };
    let mut pending: Vec<BString> = own.iter().map(|dir| BString::from(*dir)).collect();
    pending.push("refs".into());
    let mut listing = Listing::default();
    while let Some(dir) = pending.pop() {
        // Asked of what is in it, for `refs` itself is no ref.
        let is_own = name::is_per_worktree([dir.as_slice(), b"/"].concat().as_bstr());
        let root = if is_own { &repository.git_dir } else { &repository.common_dir };
        let path = root.join(Path::new(OsStr::from_bytes(&dir)));
        let entries = entries(&path).with_context(|| format!("cannot read the refs in '{}'", path.display()))?;
        let before = listing.files.len();
        for entry in entries {
            let file = entry.file_name();
            let mut name = BString::new(Vec::with_capacity(dir.len() + 1 + file.len()));
            name.push_str(&dir);
            name.push(b'/');
            name.push_str(file.as_bytes());
            match kind(&entry) {
                Found::Directory if own.iter().any(|own| name == *own) => {}
                Found::Directory => pending.push(name),
                Found::Nothing => {}
                _ if !name::is_well_formed(name.as_ref()) => listing.known.push((name, Loose::Broken)),
                Found::Symref(target) => listing.known.push((name, Loose::Symbolic(target))),
                Found::File => listing.files.push(File { directory: listing.directories.len(), name }),
            }
        }
        if listing.files.len() > before {
            listing.directories.push(path);
        }
    }
    Ok(listing)
}

/// What is in the directory at `path` that may be a ref or hold some; nothing where git finds nothing.
fn entries(path: &Path) -> io::Result<Vec<DirEntry>> {
    let is_one = |entry: &DirEntry| {
        let name = entry.file_name();
        !name.as_bytes().starts_with(b".") && !name.as_bytes().ends_with(b".lock")
    };
    match fs::read_dir(path) {
        Ok(entries) => entries.filter(|entry| entry.as_ref().map_or(true, is_one)).collect(),
        // Gone meanwhile, a loop of symbolic links, or not ours to look into, which hides its refs from git too.
        Err(err)
            if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied)
                || matches!(Errno::from_raw(err.raw_os_error().unwrap_or(0)), Errno::ELOOP | Errno::ENAMETOOLONG) =>
        {
            Ok(Vec::new())
        }
        Err(err) => Err(err),
    }
}

enum Found {
    Directory,
    File,
    /// A symbolic link that stands for a symbolic ref, as git once made them.
    Symref(BString),
    Nothing,
}

/// What is there, symbolic links followed. As a rule the directory says it.
fn kind(entry: &DirEntry) -> Found {
    let Ok(kind) = entry.file_type() else { return Found::Nothing };
    if !kind.is_symlink() {
        return found(kind, || None);
    }
    let path = entry.path();
    let Ok(target) = fs::metadata(&path) else { return Found::Nothing };
    found(target.file_type(), || {
        let target = BString::from(fs::read_link(&path).ok()?.as_os_str().as_bytes());
        loose::is_symref(&target).then_some(target)
    })
}

fn found(kind: FileType, symref: impl FnOnce() -> Option<BString>) -> Found {
    match kind {
        kind if kind.is_dir() => Found::Directory,
        kind if kind.is_file() => symref().map_or(Found::File, Found::Symref),
        _ => Found::Nothing,
    }
}

/// Read these `files`, and sort what they say by name.
fn read(files: &[File], directories: &[PathBuf], hash: gix::hash::Kind) -> Vec<(BString, Loose)> {
    let mut found = Vec::with_capacity(files.len());
    for neighbours in files.chunk_by(|a, b| a.directory == b.directory) {
        let path = &directories[neighbours[0].directory];
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let handle = (neighbours.len() >= NEIGHBOURS).then(|| open(path, flags, Mode::empty()).ok()).flatten();
        for File { name, .. } in neighbours {
            let file = OsStr::from_bytes(name.rfind_byte(b'/').map_or(name, |end| &name[end + 1..]));
            let loose = match &handle {
                Some(handle) => loose::read_file(handle, file, hash),
                None => loose::read_file(AT_FDCWD, &path.join(file), hash),
            };
            if loose != Loose::Absent {
                found.push((name.clone(), loose));
            }
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    found
}
