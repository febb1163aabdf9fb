//! The lock files that a git has made for a session, so that they are known again should it be killed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bstr::BStr;

use super::super::Site;
use crate::{
    refs::{
        git_lock::GitLock,
        name::is_per_worktree,
        packed::Packed,
        symbolic::{self, Symbolic},
    },
    repository::RefFormat,
};

/// Those of a git that has `refs` locked (full names, symrefs and what they lead to), some of which, `deleted`, go. None is
/// among them that may be somebody else's.
pub(super) fn held_by_git(site: Site<'_>, refs: &[&BStr], deleted: &[&BStr]) -> Result<Vec<GitLock>> {
    let (repository, paths) = (site.repository, site.paths);
    let mut candidates: Vec<PathBuf> = Vec::new();
    if repository.ref_format == RefFormat::Files {
        candidates.extend(refs.iter().map(|name| paths.lock(name)));
        if follows_head(site, refs)? {
            candidates.push(paths.lock("HEAD".into()));
        }
        if are_packed(site, deleted)? {
            let packed = paths.packed_refs();
            candidates.extend(["packed-refs.lock", "packed-refs.new"].map(|name| packed.with_file_name(name)));
        }
    } else {
        let lock = |root: &Path| root.join("reftable/tables.list.lock");
        candidates.push(lock(paths.common_dir));
        // Each worktree has tables of its own, HEAD and its log among them.
        let in_own =
            || Ok::<_, anyhow::Error>(refs.iter().any(|name| is_per_worktree(name)) || follows_head(site, refs)?);
        if paths.git_dir != paths.common_dir && in_own()? {
            candidates.push(lock(paths.git_dir));
        }
    }
    candidates.sort_unstable();
    candidates.dedup();
    Ok(candidates.iter().filter_map(|path| GitLock::at(path)).collect())
}

/// True if HEAD, whose log gets a line then, leads to one of `refs`.
pub(super) fn follows_head(site: Site<'_>, refs: &[&BStr]) -> Result<bool> {
    let head = symbolic::follow(site.repository, "HEAD".into())?;
    Ok(matches!(head, Symbolic::LeadsTo(name) if refs.contains(&name.as_ref())))
}

/// True if packed-refs has one of `refs`, in the format that has such a file.
pub(super) fn are_packed(site: Site<'_>, refs: &[&BStr]) -> Result<bool> {
    if site.repository.ref_format != RefFormat::Files || refs.is_empty() {
        return Ok(false);
    }
    let Some(packed) = Packed::open(site.paths.packed_refs(), site.repository.hash)? else { return Ok(false) };
    for name in refs {
        if packed.find(name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
