//! Which names a ref may have. Nothing here looks at the repository.

use bstr::{BStr, ByteSlice};

/// What no component may end in.
const LOCK: &[u8] = b".lock";

/// True if `name` is well formed in the sense of git-check-ref-format, without `--allow-onelevel`.
pub fn is_well_formed(name: &BStr) -> bool {
    name.contains(&b'/') && is_well_formed_one_level(name)
}

/// The same for names of one component as well (`--allow-onelevel`).
pub fn is_well_formed_one_level(name: &BStr) -> bool {
    if is_usual(name) {
        return true;
    }
    // gix takes one component for a name only if it is in capitals, as HEAD is.
    gix::validate::reference::name_partial(name).is_ok() && name != "@"
}

/// A quick yes for nearly every name there is: letters, digits, `-` and `_`, and single `/` and `.` between them.
fn is_usual(name: &BStr) -> bool {
    let mut after_separator = true;
    for byte in name.iter() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => after_separator = false,
            b'/' | b'.' if !after_separator => after_separator = true,
            _ => return false,
        }
    }
    // A loop of its own: to set up a search for words takes longer than such a name.
    !after_separator && name.contains(&b'/') && !name.windows(LOCK.len()).any(|part| part == LOCK)
}

/// True if a client must not push to `name`, which is what `funny refname` in the report means: it must start with
/// `refs/` and be well formed behind that; a deletion may name one level (`refs/x`), as clients before ours could make one.
pub fn is_funny(name: &BStr, is_deletion: bool) -> bool {
    let Some(rest) = name.strip_prefix(b"refs/") else { return true };
    if is_deletion { !is_well_formed_one_level(rest.as_bstr()) } else { !is_well_formed(rest.as_bstr()) }
}

/// True for refs that each worktree has its own of and that packed-refs never holds (gitrepository-layout, "refs").
pub fn is_per_worktree(name: &BStr) -> bool {
    !name.starts_with(b"refs/")
        || [&b"refs/bisect/"[..], b"refs/worktree/", b"refs/rewritten/"].iter().any(|prefix| name.starts_with(prefix))
}

/// The names of which `name` would be a part of the directory: `refs`, `refs/heads` for `refs/heads/main`.
pub fn prefixes(name: &BStr) -> impl Iterator<Item = &BStr> {
    name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(move |(at, _)| name[..at].as_bstr())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn names_are_judged_as_git_check_ref_format_does() {
        let names = [
            "refs/heads/main",
            "heads",
            "refs/heads/a.lock",
            "refs/heads/a.lock/b",
            "refs/heads/.a",
            "refs/heads/a..b",
            "refs/heads/a.",
            "refs/heads/a/",
            "refs//a",
            "/refs/a",
            "refs/heads/a@{b",
            "refs/heads/@",
            "@",
            "refs/heads/a~",
            "refs/heads/a^",
            "refs/heads/a:",
            "refs/heads/a?",
            "refs/heads/a*",
            "refs/heads/a[",
            "refs/heads/a]",
            "refs/heads/a\\b",
            "refs/heads/a b",
            "refs/heads/a\x01",
            "refs/heads/a\x7f",
            "refs/heads/ä",
            "refs/heads/-",
            "refs/heads/.",
            "refs/heads/..",
            "refs/heads/a.b",
            "HEAD",
            "main",
            "",
            "refs/heads/a{b",
            "refs/heads/{",
            "refs/heads/a@b",
            "refs/heads/@{",
            "a/b",
            "A",
            "refs/heads/a.LOCK",
            "refs/heads/x/.lock",
            "refs/heads/\"",
            "a.lock",
            "@/a",
            "a/@",
        ];
        for name in names {
            for one_level in [false, true] {
                let mut git = Command::new("git");
                git.arg("check-ref-format");
                if one_level {
                    git.arg("--allow-onelevel");
                }
                let theirs = git.arg(name).status().unwrap().success();
                let ours = if one_level { is_well_formed_one_level(name.into()) } else { is_well_formed(name.into()) };
                assert_eq!(ours, theirs, "{name:?}, one level: {one_level}");
            }
        }
    }

    #[test]
    fn no_name_gets_a_quick_yes_that_would_not_get_a_slow_one() {
        let parts = ["a", "Z", "0", "-", "_", "/", ".", ".lock", "@", " ", "~"];
        let mut usual = 0;
        for number in 0..parts.len().pow(5) {
            let name: String = (0..5).map(|place| parts[number / parts.len().pow(place) % parts.len()]).collect();
            if is_usual(name.as_str().into()) {
                assert!(gix::validate::reference::name_partial(name.as_str().into()).is_ok(), "{name}");
                usual += 1;
            }
        }
        assert!(usual > 1000, "{usual}");
    }

    #[test]
    fn only_a_deletion_may_name_one_level() {
        assert!(is_funny("refs/x".into(), false) && !is_funny("refs/x".into(), true));
        assert!(is_funny("HEAD".into(), true) && is_funny("heads/main".into(), false));
        assert!(!is_funny("refs/heads/main".into(), false));
    }
}
