//! `~/` and `~user/` in paths.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use bstr::ByteSlice;

/// `path` with a leading `~` or `~user` replaced by that home directory; `None` if it is not known.
pub fn expand(path: &[u8]) -> Option<PathBuf> {
    let Some(rest) = path.strip_prefix(b"~") else {
        return Some(OsStr::from_bytes(path).into());
    };
    let (user, rest) = rest.split_at(rest.find_byte(b'/').unwrap_or(rest.len()));
    let mut expanded = match user {
        b"" => std::env::var_os("HOME")?,
        _ => OsString::from(nix::unistd::User::from_name(user.to_str().ok()?).ok()??.dir),
    };
    expanded.push(OsStr::from_bytes(rest));
    Some(expanded.into())
}
