//! The object directories that a repository borrows from: `objects/info/alternates` (gitrepository-layout) and
//! `GIT_ALTERNATE_OBJECT_DIRECTORIES`, each with the alternates of its own.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bstr::ByteSlice;

/// How deep alternates may name further ones before they are taken for a mistake.
const MAX_DEPTH: usize = 5;

/// All directories that `objects_dir` borrows from, itself not included, each once and in the order of search. What
/// does not exist or nests too deep is left out, and `complain` is told so: it is no reason to refuse a push.
pub fn resolve(objects_dir: &Path, inherited: &[PathBuf], complain: &mut dyn FnMut(String)) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if inherited.is_empty() && !objects_dir.join("info/alternates").exists() {
        return found;
    }
    let mut seen = vec![normalized(objects_dir)];
    for dir in inherited {
        link(dir, 0, &mut seen, &mut found, complain);
    }
    borrow(objects_dir, 0, &mut seen, &mut found, complain);
    found
}

/// Add the alternates that `dir` itself lists.
fn borrow(
    dir: &Path,
    depth: usize,
    seen: &mut Vec<PathBuf>,
    found: &mut Vec<PathBuf>,
    complain: &mut dyn FnMut(String),
) {
    let Ok(list) = fs::read(dir.join("info/alternates")) else { return };
    if depth > MAX_DEPTH {
        complain(format!("{}: ignoring alternate object stores, nesting too deep", dir.display()));
        return;
    }
    for line in list.split(|&byte| byte == b'\n') {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        // A line that starts like a quoted one and is none stands for itself.
        let unquoted = gix::quote::ansi_c::undo(line.as_bstr()).map(|(path, _)| path);
        let path = unquoted.as_deref().unwrap_or(line.as_bstr());
        let path = dir.join(OsStr::from_bytes(path));
        link(&path, depth, seen, found, complain);
    }
}

fn link(
    path: &Path,
    depth: usize,
    seen: &mut Vec<PathBuf>,
    found: &mut Vec<PathBuf>,
    complain: &mut dyn FnMut(String),
) {
    if !path.is_dir() {
        complain(format!("object directory {} does not exist; check .git/objects/info/alternates", path.display()));
        return;
    }
    let path = normalized(path);
    if seen.contains(&path) {
        return;
    }
    seen.push(path.clone());
    found.push(path.clone());
    borrow(&path, depth + 1, seen, found, complain);
}

/// `path` without symlinks and dots, as it is where that cannot be had.
fn normalized(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
