//! From the directory that a client names to a git directory (git-receive-pack, gitrepository-layout).

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;
use nix::unistd::{AccessFlags, access};

use crate::config::home;

/// A gitfile is a line with a path.
const MAX_GITFILE: u64 = 1 << 20;

/// What a client's directory turned out to be.
pub struct Found {
    /// The git directory, relative to where the process started if it was named so.
    pub git_dir: PathBuf,
    /// What it shares with other worktrees if it belongs to a linked one, links resolved.
    pub common_dir: Option<PathBuf>,
    /// The gitfile that led to it.
    pub gitfile: Option<PathBuf>,
}

/// The repository that `directory` stands for, `None` if for none. A file in its place that is no gitfile is an error.
pub fn find(directory: &OsStr) -> Result<Option<Found>> {
    let named = directory.as_bytes();
    let end = named.iter().rposition(|byte| *byte != b'/').map_or(named.len().min(1), |last| last + 1);
    let Some(base) = home::expand(&named[..end]) else { return Ok(None) };
    for suffix in ["/.git", "", ".git/.git", ".git"] {
        let mut path = base.clone().into_os_string();
        path.push(suffix);
        let path = PathBuf::from(path);
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => {
                let dir = read_gitfile(&path, meta.len())?;
                let Some(common_dir) = git_dir(&dir)? else { bail!("not a git repository: {}", dir.display()) };
                let git_dir = dir.canonicalize().with_context(|| format!("cannot resolve '{}'", dir.display()))?;
                return Ok(Some(Found { git_dir, common_dir: resolved(common_dir)?, gitfile: Some(path) }));
            }
            Ok(meta) if meta.is_dir() => {
                if let Some(common_dir) = git_dir(&path)? {
                    return Ok(Some(Found { git_dir: path, common_dir: resolved(common_dir)?, gitfile: None }));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Where the gitfile at `path` says that the git directory is.
fn read_gitfile(path: &Path, size: u64) -> Result<PathBuf> {
    let shown = path.display();
    if size > MAX_GITFILE {
        bail!("too large to be a .git file: '{shown}'");
    }
    let content = fs::read(path).with_context(|| format!("error opening '{shown}'"))?;
    let Some(target) = content.strip_prefix(b"gitdir: ") else { bail!("invalid gitfile format: {shown}") };
    let target = target.trim_end_with(|c| c == '\n' || c == '\r');
    if target.is_empty() {
        bail!("no path in gitfile: {shown}");
    }
    Ok(path.parent().unwrap_or(Path::new("")).join(OsStr::from_bytes(target)))
}

/// What `dir` shares with others, if anything; `None` if it has not what makes a git directory: a HEAD, objects and refs.
fn git_dir(dir: &Path) -> Result<Option<Option<PathBuf>>> {
    if !is_head(&dir.join("HEAD")) {
        return Ok(None);
    }
    let common_dir = common_dir(dir)?;
    let root = common_dir.as_deref().unwrap_or(dir);
    let can_be_searched = |path: &Path| access(path, AccessFlags::X_OK).is_ok();
    let objects = std::env::var_os("GIT_OBJECT_DIRECTORY").map_or_else(|| root.join("objects"), PathBuf::from);
    let is_one = can_be_searched(&objects) && can_be_searched(&root.join("refs"));
    Ok(is_one.then_some(common_dir))
}

/// Before this process goes anywhere else.
fn resolved(dir: Option<PathBuf>) -> Result<Option<PathBuf>> {
    dir.map(|dir| dir.canonicalize().with_context(|| format!("cannot resolve '{}'", dir.display()))).transpose()
}

/// True if `path` is a link or a reference to something below `refs/`, or holds an object id.
fn is_head(path: &Path) -> bool {
    let is_below_refs = |name: &[u8]| name.starts_with(b"refs/");
    if let Ok(target) = fs::read_link(path) {
        return is_below_refs(target.as_os_str().as_bytes());
    }
    let Ok(content) = fs::read(path) else { return false };
    match content.strip_prefix(b"ref:") {
        Some(name) => is_below_refs(name.trim_start()),
        None => content.len() >= 40 && content[..40].iter().all(u8::is_ascii_hexdigit),
    }
}

/// The directory that the linked worktree's git directory `git_dir` shares with others, `None` if it is no such.
fn common_dir(git_dir: &Path) -> Result<Option<PathBuf>> {
    let path = git_dir.join("commondir");
    let content = match fs::read(&path) {
        Ok(content) => content,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err).with_context(|| format!("failed to read {}", path.display())),
    };
    let target = content.trim_end_with(|c| c == '\n' || c == '\r');
    Ok(Some(git_dir.join(OsStr::from_bytes(target))))
}
