//! The conditions of `includeIf` (git-config, "Conditional includes").

use std::{
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use bstr::{BStr, BString, ByteSlice};
use gix::glob::wildmatch::Mode;

use super::{
    home,
    setting::Origin,
    sources::{Reading, remote_urls},
};
use crate::refs::name;

/// How many includes may lead to a file.
pub(super) const MAX_DEPTH: usize = 10;

/// What must hold for a file to be included.
pub(super) enum Condition<'a> {
    /// `gitdir:` or `gitdir/i:` a pattern for the git directory.
    GitDir(&'a BStr, Mode),
    /// `onbranch:` a pattern for the name of the branch that HEAD names.
    OnBranch(&'a BStr),
    /// `hasconfig:remote.*.url:` a pattern for some remote's URL.
    RemoteUrl(&'a BStr),
    /// What nobody knows does not hold.
    Unknown,
}

impl<'a> Condition<'a> {
    pub(super) fn parse(text: &'a BStr) -> Self {
        let after = |prefix: &str| text.strip_prefix(prefix.as_bytes()).map(ByteSlice::as_bstr);
        if let Some(pattern) = after("gitdir:") {
            Condition::GitDir(pattern, Mode::empty())
        } else if let Some(pattern) = after("gitdir/i:") {
            Condition::GitDir(pattern, Mode::IGNORE_CASE)
        } else if let Some(pattern) = after("onbranch:") {
            Condition::OnBranch(pattern)
        } else if let Some(pattern) = after("hasconfig:remote.*.url:") {
            Condition::RemoteUrl(pattern)
        } else {
            Condition::Unknown
        }
    }
}

impl Reading<'_> {
    /// Whether `condition`, met at `origin`, holds.
    pub(super) fn holds(&mut self, condition: &Condition<'_>, origin: &Origin) -> Result<bool> {
        match (condition, self.place) {
            (Condition::GitDir(pattern, case), Some(place)) => is_git_dir(pattern, *case, place.git_dir, origin),
            (Condition::OnBranch(pattern), Some(place)) => {
                let glob = with_all_below((*pattern).to_owned());
                Ok(branch(place.git_dir).is_some_and(|branch| matches(&glob, &branch, Mode::empty())))
            }
            (Condition::RemoteUrl(pattern), _) => self.has_remote_url(pattern),
            _ => Ok(false),
        }
    }

    fn has_remote_url(&mut self, pattern: &BStr) -> Result<bool> {
        if self.gathers_urls {
            return Ok(true);
        }
        if self.remote_urls.is_none() {
            // The URL may stand in a source yet to come.
            self.remote_urls = Some(remote_urls(self.place)?);
        }
        let urls = self.remote_urls.iter().flatten();
        Ok(urls.into_iter().any(|url| matches(pattern, url, Mode::empty())))
    }
}

fn is_git_dir(pattern: &BStr, case: Mode, git_dir: &Path, origin: &Origin) -> Result<bool> {
    let mut glob = home::expand(pattern).map_or_else(|| pattern.to_owned(), |path| path.as_os_str().as_bytes().into());
    glob = with_all_below(glob);
    let mut git_dir = git_dir.as_os_str().as_bytes();
    if let Some(below) = glob.strip_prefix(b"./") {
        let Origin::File { path, .. } = origin else {
            say!("error: relative config include conditionals must come from files");
            return Ok(false);
        };
        let file = path.canonicalize().with_context(|| format!("cannot resolve '{}'", path.display()))?;
        // This part is a path, whatever characters it has.
        let parent = [file.parent().unwrap_or(&file).as_os_str().as_bytes(), b"/"].concat();
        match git_dir.split_at_checked(parent.len()) {
            Some((start, rest))
                if start == parent || (case == Mode::IGNORE_CASE && start.eq_ignore_ascii_case(&parent)) =>
            {
                git_dir = rest;
            }
            _ => return Ok(false),
        }
        glob = below.into();
    } else if !glob.starts_with(b"/") {
        // With nothing behind it, this ends in a slash.
        glob = with_all_below([b"**/", glob.as_slice()].concat().into());
    }
    // Links in the path are resolved. git's receive-pack tries `<git-dir>/.` as well, with which a pattern for all that is
    // below the git directory holds too.
    Ok(matches(&glob, git_dir, case) || matches(&glob, &[git_dir, b"/."].concat(), case))
}

/// `pattern` with what a slash at its end means spelt out.
fn with_all_below(mut pattern: BString) -> BString {
    if pattern.ends_with(b"/") {
        pattern.extend_from_slice(b"**");
    }
    pattern
}

fn matches(glob: &[u8], text: &[u8], case: Mode) -> bool {
    gix::glob::wildmatch(glob.as_bstr(), text.as_bstr(), Mode::NO_MATCH_SLASH_LITERAL | case)
}

/// The branch that HEAD names, without `refs/heads/`, born or not.
fn branch(git_dir: &Path) -> Option<BString> {
    let head = git_dir.join("HEAD");
    let target = match std::fs::read_link(&head) {
        Ok(target) => BString::from(target.into_os_string().as_bytes()),
        Err(_) => BString::from(std::fs::read(&head).ok()?.strip_prefix(b"ref:")?.trim()),
    };
    // That is what the file says where HEAD is kept with the other refs in a format of git's own.
    let target = if target == "refs/heads/.invalid" { head_by_git(git_dir)? } else { target };
    if !name::is_well_formed(target.as_ref()) {
        return None;
    }
    target.strip_prefix(b"refs/heads/").map(BString::from)
}

fn head_by_git(git_dir: &Path) -> Option<BString> {
    let mut git = Command::new("git");
    git.args(["symbolic-ref", "-q", "HEAD"]).env("GIT_DIR", git_dir).stdin(Stdio::null()).stderr(Stdio::null());
    Some(git.output().ok()?.stdout.trim_end().into())
}
