//! The worktrees of a repository, and which branches are in use there (git-worktree, gitrepository-layout "worktrees").

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use bstr::{BStr, BString, ByteSlice};

use super::symbolic::{self, Symbolic};
use crate::{config::Config, repository::Repository};

/// A work tree and its git directory.
#[derive(Debug, Clone)]
pub struct Worktree {
    /// Its git directory: the repository's, or one below `worktrees/`. Absolute.
    pub git_dir: PathBuf,
    /// Where its files are. Absolute.
    pub work_tree: PathBuf,
    /// What its HEAD leads to, by full name; `None` if HEAD is detached or broken.
    pub head: Option<BString>,
    /// The branches that a rebase or bisection with detached HEAD will come back to, by full name.
    busy_with: Vec<BString>,
}

impl Worktree {
    /// True if the branch of this full name is checked out here, or will be when a rebase or bisection is over.
    pub fn uses(&self, branch: &BStr) -> bool {
        self.head.as_ref().is_some_and(|head| head == branch) || self.busy_with.iter().any(|busy| busy == branch)
    }
}

/// All worktrees that have files: the main one unless the repository is bare, then the linked ones.
pub fn list(repository: &Repository, config: &Config) -> Result<Vec<Worktree>> {
    let mut worktrees = Vec::new();
    if let Some(work_tree) = main_work_tree(repository, config)? {
        worktrees.push(worktree(repository, repository.common_dir.clone(), work_tree)?);
    }
    let linked = repository.common_dir.join("worktrees");
    let Ok(entries) = fs::read_dir(&linked) else { return Ok(worktrees) };
    for entry in entries {
        let git_dir = entry.with_context(|| format!("cannot read '{}'", linked.display()))?.path();
        // Names the file `.git` in the work tree; if it is empty, as after a crash, git knows of none either.
        let Ok(content) = fs::read(git_dir.join("gitdir")) else { continue };
        if content.is_empty() {
            continue;
        }
        let content = content.trim_ascii_end();
        let work_tree = content.strip_suffix(b"/.git").unwrap_or(content);
        let work_tree = git_dir.join(work_tree.to_os_str_lossy());
        worktrees.push(worktree(repository, git_dir, work_tree)?);
    }
    Ok(worktrees)
}

/// Where the main worktree's files are; `None` if the repository is bare.
fn main_work_tree(repository: &Repository, config: &Config) -> Result<Option<PathBuf>> {
    if repository.git_dir == repository.common_dir {
        return Ok(repository.work_tree.clone());
    }
    // This is a linked worktree, where configuration speaks of the main one.
    if config.values.boolean("core.bare")? == Some(true) {
        return Ok(None);
    }
    if let Some(path) = config.values.path("core.worktree")? {
        return Ok(Some(repository.common_dir.join(path)));
    }
    let common_dir = repository.common_dir.as_path();
    Ok(if common_dir.ends_with(".git") { common_dir.parent() } else { Some(common_dir) }.map(Path::to_owned))
}

fn worktree(repository: &Repository, git_dir: PathBuf, work_tree: PathBuf) -> Result<Worktree> {
    let there = Repository { git_dir: git_dir.clone(), ..repository.clone() };
    let (head, busy_with) = match symbolic::follow(&there, "HEAD".into())? {
        Symbolic::LeadsTo(branch) => (Some(branch), Vec::new()),
        Symbolic::No | Symbolic::Broken => (None, busy_with(&git_dir)),
    };
    Ok(Worktree { git_dir, work_tree, head, busy_with })
}

/// The branches that operations under way in a worktree started from (git-rebase, git-bisect).
fn busy_with(git_dir: &Path) -> Vec<BString> {
    let mut files = Vec::new();
    if git_dir.join("rebase-apply").is_dir() {
        // `git am` uses the same directory and leaves HEAD where it is.
        if !git_dir.join("rebase-apply/applying").exists() {
            files.push("rebase-apply/head-name");
        }
    } else {
        files.push("rebase-merge/head-name");
    }
    if git_dir.join("BISECT_LOG").exists() {
        files.push("BISECT_START");
    }
    let branches = files.into_iter().filter_map(|file| fs::read(git_dir.join(file)).ok());
    branches.map(|content| full_name(content.trim_ascii_end())).collect()
}

/// These files hold full names or those of branches.
fn full_name(name: &[u8]) -> BString {
    if name.starts_with(b"refs/") { name.into() } else { [b"refs/heads/", name].concat().into() }
}
