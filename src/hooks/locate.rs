//! Where the hook of an event is, if the repository has one.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    unistd::{AccessFlags, access},
};

use crate::{config::Config, repository::Repository};

/// The directory of hooks: `core.hooksPath`, else `hooks` in the common directory.
#[derive(Debug)]
pub struct HookDirectory {
    /// Relative to the git directory, or absolute. Not a `Path`: hooks see it spelt as it is configured.
    dir: OsString,
    /// `advice.ignoredHook`
    advise: bool,
    /// The hooks that were advised on already.
    advised: Mutex<BTreeSet<OsString>>,
}

impl HookDirectory {
    /// Read the settings; fails on a `core.hooksPath` that cannot be expanded.
    pub fn new(repository: &Repository, config: &Config) -> Result<Self> {
        let dir = match config.values.path("core.hooksPath") {
            Some(path) => expand(path)?,
            // As git spells it: hooks in the git directory itself are named relative to it.
            None if repository.common_dir == repository.git_dir => "hooks".into(),
            None => repository.common_dir.join("hooks").into_os_string(),
        };
        let advise = config.values.boolean("advice.ignoredHook").context("bad advice.ignoredHook")?.unwrap_or(true);
        Ok(HookDirectory { dir, advise, advised: Mutex::default() })
    }

    /// The hook for `event`, `None` without one. A file that is not executable is none, which the operator is told
    /// once on stderr.
    pub fn find(&self, event: &str) -> Option<OsString> {
        let path = self.path(event);
        match access(path.as_os_str(), AccessFlags::X_OK) {
            Ok(()) => Some(path),
            Err(Errno::EACCES) => {
                self.hint(path);
                None
            }
            Err(_) => None,
        }
    }

    fn path(&self, event: &str) -> OsString {
        let mut path = self.dir.clone().into_vec();
        path.push(b'/');
        path.extend_from_slice(event.as_bytes());
        OsString::from_vec(path)
    }

    fn hint(&self, path: OsString) {
        let shown = path.as_bytes().escape_ascii().to_string();
        if self.advise && self.advised.lock().unwrap_or_else(PoisonError::into_inner).insert(path) {
            eprintln!(
                "hint: '{shown}' was not run: it is not executable (chmod +x would change that).\n\
                 hint: Set advice.ignoredHook to false and this is not mentioned again."
            );
        }
    }
}

/// `~`, `~user` and `%(prefix)` expanded.
fn expand(path: gix::config::Path) -> Result<OsString> {
    if path.is_empty() {
        return Ok(OsString::new());
    }
    let shown = path.clone();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let context = gix::config::path::interpolate::Context { home_dir: home.as_deref(), ..Default::default() };
    let expanded = path
        .interpolate(context)
        .with_context(|| format!("failed to expand user dir in: '{}'", OsStr::from_bytes(&shown).display()))?;
    Ok(expanded.into_os_string())
}
