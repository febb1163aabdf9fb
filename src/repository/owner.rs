//! Whose repository it is. Its configuration and hooks run commands, so that working in somebody else's wants leave:
//! `safe.directory` (git-config), set where that somebody cannot.

use std::{
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;

use super::find::Found;
use crate::config::{Settings, setting::boolean};

/// Fail if the repository, or the gitfile that leads to it, is another user's and nobody said that this is fine.
pub fn check(found: &Found) -> Result<()> {
    if found.gitfile.iter().chain([&found.git_dir]).all(|path| is_own(path)) {
        return Ok(());
    }
    let path = &found.git_dir;
    let resolved = |path: &PathBuf| path.canonicalize().with_context(|| format!("cannot resolve '{}'", path.display()));
    // git compares with the gitfile, and tells people to list what it leads to.
    let places: Vec<PathBuf> = found.gitfile.iter().chain([path]).map(resolved).collect::<Result<_>>()?;
    if is_safe(&places)? {
        return Ok(());
    }
    bail!(
        "detected dubious ownership in repository at '{}'\nTo add an exception for this directory, call:\n\n\tgit config \
         --global --add safe.directory {}",
        path.display(),
        quoted_for_shell(path)
    )
}

fn is_own(path: &Path) -> bool {
    // What git's own tests of this check set.
    if std::env::var("GIT_TEST_ASSUME_DIFFERENT_OWNER")
        .is_ok_and(|value| boolean(value.as_bytes().as_bstr()) == Some(true))
    {
        return false;
    }
    let Ok(owner) = path.symlink_metadata().map(|meta| meta.uid()) else { return false };
    let user = nix::unistd::geteuid().as_raw();
    let sudo_user = || std::env::var("SUDO_UID").ok()?.parse::<u32>().ok();
    owner == user || (user == 0 && sudo_user() == Some(owner))
}

/// Whether `safe.directory` lists one of `places`, or a directory above it with a `/*`.
fn is_safe(places: &[PathBuf]) -> Result<bool> {
    let mut is_safe = false;
    for setting in Settings::read(None)?.iter().filter(|setting| setting.is("safe.directory")) {
        match setting.raw().as_bytes() {
            b"" => is_safe = false,
            b"*" => is_safe = true,
            _ => {
                let listed = setting.path()?;
                if listed.is_relative() {
                    // A lone dot is for programs that look upwards from where they stand.
                    if listed != Path::new(".") {
                        say!("warning: safe.directory '{}' not absolute", listed.display());
                    }
                    continue;
                }
                is_safe |= places.iter().any(|place| covers(&listed, place));
            }
        }
    }
    Ok(is_safe)
}

fn covers(listed: &Path, place: &Path) -> bool {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_default();
    match listed.file_name() {
        Some(name) if name == "*" => {
            let above = resolved(listed.parent().unwrap_or(listed));
            above.is_absolute() && place != above && place.starts_with(above)
        }
        _ => place == resolved(listed),
    }
}

/// `path` as an argument that a shell takes for one.
fn quoted_for_shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+,-./:=@_^".contains(byte);
    if !text.is_empty() && path.as_os_str().as_bytes().iter().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''").replace('!', "'\\!'"))
}
