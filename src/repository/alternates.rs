//! The list in `GIT_ALTERNATE_OBJECT_DIRECTORIES` (git, "Environment Variables"): separated by `:`, a path that holds
//! one or starts with `"` being C-quoted.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use bstr::ByteSlice;

/// The directories in `list`, as they stand there.
pub fn split(list: &[u8]) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let end = rest.find_byte(b':').unwrap_or(rest.len());
        let (dir, behind) = match unquote(rest) {
            Some((dir, behind)) => (dir, behind),
            // Not quoted, or not properly: it is what it looks like.
            None => (rest[..end].to_vec(), &rest[end..]),
        };
        // A comment.
        if !dir.is_empty() && !rest.starts_with(b"#") {
            dirs.push(OsString::from_vec(dir).into());
        }
        rest = behind.strip_prefix(b":").unwrap_or(behind);
    }
    dirs
}

/// The string that `text` starts with in C's quotes, and what follows it.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut string = Vec::new();
    loop {
        let (byte, behind) = match rest {
            [b'"', behind @ ..] => return Some((string, behind)),
            [b'\\', high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', behind @ ..] => {
                (((high - b'0') << 6) | ((middle - b'0') << 3) | (low - b'0'), behind)
            }
            [b'\\', escape, behind @ ..] => {
                let byte = match escape {
                    b'a' => 0x07,
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'\\' | b'"' => *escape,
                    _ => return None,
                };
                (byte, behind)
            }
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        string.push(byte);
        rest = behind;
    }
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
