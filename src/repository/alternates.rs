//! The list in `GIT_ALTERNATE_OBJECT_DIRECTORIES` (git, "Environment Variables"): separated by `:`, a path that holds
//! one or starts with `"` being C-quoted.

use std::{borrow::Cow, ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use bstr::ByteSlice;
use gix::quote::ansi_c;

/// The directories in `list`, as they stand there.
pub fn split(list: &[u8]) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let quoted = rest.starts_with(b"\"").then(|| ansi_c::undo(rest.as_bstr()).ok()).flatten();
        // What is not quoted properly is what it looks like.
        let plain = || rest.find_byte(b':').unwrap_or(rest.len());
        let (dir, end) = quoted.unwrap_or_else(|| (Cow::Borrowed(rest[..plain()].as_bstr()), plain()));
        // A `#` starts a comment.
        if !dir.is_empty() && !rest.starts_with(b"#") {
            dirs.push(OsStr::from_bytes(&dir).into());
        }
        rest = &rest[end..];
        rest = rest.strip_prefix(b":").unwrap_or(rest);
    }
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_plain_paths_stand_side_by_side() {
        let list = br#"/a::"/b:\"\303\244\n":/c"d:#/not:"/open"#;
        let expected = ["/a", "/b:\"\u{e4}\n", "/c\"d", "\"/open"].map(PathBuf::from);
        assert_eq!(split(list), expected);
    }
}
