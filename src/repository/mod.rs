//! Which directory is pushed to, and what kind of repository it is.

mod alternates;
mod find;
mod format;
mod owner;

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use bstr::{BString, ByteSlice, ByteVec};

use crate::{
    config::{Config, Settings, sources::Place},
    refs::name::is_well_formed,
};

/// The repository that a push goes to. All paths are absolute; the process's directory is [`git_dir`](Self::git_dir).
#[derive(Debug, Clone)]
pub struct Repository {
    /// The git directory: of a linked worktree, its own below `worktrees/`.
    pub git_dir: PathBuf,
    /// The directory that holds refs, configuration and hooks; differs from `git_dir` in a linked worktree only.
    pub common_dir: PathBuf,
    /// The work tree that belongs to `git_dir`, `None` in a bare repository.
    pub work_tree: Option<PathBuf>,
    /// Where objects are kept: `GIT_OBJECT_DIRECTORY`, else `objects` in the common directory.
    pub objects_dir: PathBuf,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES` as inherited, in its raw form (`:`-separated, parts possibly C-quoted).
    pub inherited_alternates: Option<OsString>,
    /// The directories that `inherited_alternates` lists.
    pub alternate_dirs: Vec<PathBuf>,
    /// The hash that names objects.
    pub hash: gix::hash::Kind,
    /// How refs are stored.
    pub ref_format: RefFormat,
    /// `refs/namespaces/<a>/refs/namespaces/<b>/` for `GIT_NAMESPACE=a/b`; empty without one.
    pub namespace: BString,
    /// The directory as the client named it, which the nonce of a push certificate is bound to.
    pub given: BString,
    /// An inherited `GIT_QUARANTINE_PATH`: this is a push from within a hook, which must not update refs.
    pub inside_quarantine: bool,
}

/// The `extensions.refStorage` of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefFormat {
    /// Loose files and packed-refs.
    Files,
    /// Tables, which git writes, and reads where this program cannot.
    Reftable,
}

impl Repository {
    /// Find the repository that a client calls `directory`, see that it is safe to work in, and change into it; then read
    /// what is configured. Every error here is the client's to read, in git's words.
    pub fn enter(directory: &OsStr) -> Result<(Repository, Config)> {
        let nothing_there = || format!("'{}' does not appear to be a git repository", directory.display());
        let found = find::find(directory)?.with_context(nothing_there)?;
        owner::check(&found)?;
        std::env::set_current_dir(&found.git_dir).with_context(nothing_there)?;

        let git_dir = std::env::current_dir().context("cannot tell the path of the git directory")?;
        let common_dir = found.common_dir.unwrap_or_else(|| git_dir.clone());
        let mut format = format::read(&git_dir, &common_dir)?;
        let settings = Settings::read(Some(Place { git_dir: &git_dir, files: &format.files }))?;
        // The only part of the format that may come from anywhere.
        format.is_bare = settings.boolean("core.bare")?.or(format.is_bare);
        let config = Config::new(settings, format.is_bare != Some(false))?;

        let objects_dir = std::env::var_os("GIT_OBJECT_DIRECTORY")
            .map_or_else(|| common_dir.join("objects"), |dir| git_dir.join(dir));
        let inherited_alternates = std::env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES");
        let alternate_dirs = inherited_alternates.as_ref().map(|list| alternates::split(list.as_bytes()));
        let repository = Repository {
            work_tree: work_tree(&git_dir, &common_dir, &format),
            objects_dir,
            alternate_dirs: alternate_dirs.into_iter().flatten().map(|dir| git_dir.join(dir)).collect(),
            inherited_alternates,
            hash: format.hash,
            ref_format: format.ref_format,
            namespace: namespace()?,
            given: directory.as_bytes().into(),
            inside_quarantine: std::env::var_os("GIT_QUARANTINE_PATH").is_some(),
            git_dir,
            common_dir,
        };
        Ok((repository, config))
    }
}

/// The work tree that `git_dir` belongs to: of a linked worktree the directory that refers to it; else `core.worktree`, or
/// what `.git` lies in, unless the repository is bare.
fn work_tree(git_dir: &Path, common_dir: &Path, format: &format::Format) -> Option<PathBuf> {
    if git_dir != common_dir {
        let link = std::fs::read("gitdir").ok()?;
        let link = git_dir.join(OsStr::from_bytes(link.trim_end()));
        return link.parent().and_then(|dir| dir.canonicalize().ok());
    }
    if format.is_bare != Some(false) {
        return None;
    }
    let dir = match &format.work_tree {
        Some(configured) => git_dir.join(configured),
        None if git_dir.ends_with(".git") => git_dir.parent()?.into(),
        None => git_dir.into(),
    };
    Some(dir.canonicalize().unwrap_or(dir))
}

/// The prefix of the refs that `GIT_NAMESPACE` confines this push to (gitnamespaces).
fn namespace() -> Result<BString> {
    let mut prefix = BString::default();
    let Some(raw) = std::env::var_os("GIT_NAMESPACE") else { return Ok(prefix) };
    for part in raw.as_bytes().split_str("/").filter(|part| !part.is_empty()) {
        prefix.push_str("refs/namespaces/");
        prefix.push_str(part);
        prefix.push(b'/');
    }
    // A slash at the end is no part that may be left out: git's users know it as an error.
    let name = prefix.strip_suffix(b"/").unwrap_or_default().as_bstr();
    if !raw.is_empty() && (raw.as_bytes().ends_with(b"/") || !is_well_formed(name)) {
        bail!("bad git namespace path \"{}\"", raw.display());
    }
    Ok(prefix)
}
