//! The date in `GIT_COMMITTER_DATE`, of which there are many forms (git-commit, "Date Formats"). The one that programs use
//! is read here; whatever else may be one is for git to understand.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use bstr::{BStr, ByteSlice};

/// Seconds that git takes for such, and for nothing else, without a sign before them: from 1973 to the end of 2099.
const PLAIN_SECONDS: std::ops::Range<u64> = 100_000_000..4_102_444_800;

/// The moment that `GIT_COMMITTER_DATE` gives to reflog lines, in raw format (`<seconds> SP <zone>`); `None` if it is not set,
/// or nobody keeps logs.
///
/// Fails with `invalid date format: <x>` if it cannot be understood.
pub fn configured(has_logs: impl FnOnce() -> bool) -> Result<Option<String>> {
    let date = std::env::var_os("GIT_COMMITTER_DATE").filter(|date| !date.is_empty() && has_logs());
    let Some(date) = date else { return Ok(None) };
    raw(date.as_bytes()).map_or_else(|| ask_git(&date), Ok).map(Some)
}

/// `date` in raw format if that is what it is, perhaps with git's sign for it, `@`.
fn raw(date: &[u8]) -> Option<String> {
    let date = date.strip_prefix(b"@").unwrap_or(date).to_str().ok()?;
    let (seconds, zone) = date.split_once(' ')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) = zone.strip_prefix(['+', '-']).filter(|zone| zone.len() == 4 && is_number(zone))?.split_at(2);
    let is_plain = is_number(seconds) && !seconds.starts_with('0') && PLAIN_SECONDS.contains(&seconds.parse().ok()?);
    let is_zone = hours.parse::<u8>().ok()? < 24 && minutes.parse::<u8>().ok()? < 60 && zone != "-0000";
    (is_plain && is_zone).then(|| date.to_owned())
}

fn ask_git(date: &OsStr) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["var", "GIT_COMMITTER_IDENT"]).env("GIT_DIR", ".").stdin(Stdio::null()).stderr(Stdio::null());
    git.envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a")]);
    let output = git.output().context("cannot run 'git var' to understand GIT_COMMITTER_DATE")?;
    match output.stdout.trim_end().strip_prefix(b"a <a> ").map(<[u8]>::to_str) {
        Some(Ok(raw)) if output.status.success() => Ok(raw.to_owned()),
        _ => bail!("invalid date format: {}", BStr::new(date.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_git_reads_in_the_same_way_is_read_here() {
        assert_eq!(raw(b"1700000000 +0530").as_deref(), Some("1700000000 +0530"));
        assert_eq!(raw(b"@1700000000 -0800").as_deref(), Some("1700000000 -0800"));
        for other in [
            "1700000000",
            "5 +0000",
            "@-1 +0000",
            "+5 +0000",
            "1700000000 +2400",
            "1700000000 +0060",
            "1700000000 0530",
        ] {
            assert_eq!(raw(other.as_bytes()), None, "{other}");
        }
    }
}
