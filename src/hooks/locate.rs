//! Where the hook of an event is, if the repository has one.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use bstr::ByteSlice;
use nix::{
    errno::Errno,
    unistd::{AccessFlags, access},
};

use crate::{config::Config, repository::Repository};

/// The directory of hooks: `core.hooksPath`, else `hooks` in the common directory.
#[derive(Debug, Clone)]
pub struct HookDirectory {
    /// Relative to the git directory, or absolute. Not a `Path`: hooks see it spelt as it is configured.
    dir: OsString,
    /// `advice.ignoredHook`
    advise: bool,
    /// The hooks that were advised on already.
    advised: Arc<Mutex<BTreeSet<OsString>>>,
}

impl HookDirectory {
    /// Read the settings; fails on an `advice.ignoredHook` that is no boolean.
    pub fn new(repository: &Repository, config: &Config) -> Result<Self> {
        let dir = match &config.hooks_path {
            Some(path) => path.clone().into_os_string(),
            None if repository.common_dir == repository.git_dir => "hooks".into(),
            None => repository.common_dir.join("hooks").into_os_string(),
        };
        let advise = config.values.boolean("advice.ignoredHook")?.unwrap_or(true);
        Ok(HookDirectory { dir, advise, advised: Arc::default() })
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

    /// The hook for `event` if there is something that cannot be run: not executable, or a link that leads nowhere.
    pub fn not_executable(&self, event: &str) -> Option<OsString> {
        let path = self.path(event);
        match access(path.as_os_str(), AccessFlags::X_OK) {
            Ok(()) => None,
            Err(Errno::ENOENT | Errno::ENOTDIR) => Path::new(&path).is_symlink().then_some(path),
            Err(_) => Some(path),
        }
    }

    fn path(&self, event: &str) -> OsString {
        let path = [self.dir.as_bytes(), b"/", event.as_bytes()].concat();
        // As git shows it to the hook. A name without a directory would be looked for elsewhere.
        let shown = path.strip_prefix(b"./").map(|rest| rest.trim_start_with(|c| c == '/'));
        let shown = shown.filter(|rest| rest.contains(&b'/')).unwrap_or(&path);
        OsStr::from_bytes(shown).to_owned()
    }

    fn hint(&self, path: OsString) {
        let shown = path.as_bytes().escape_ascii().to_string();
        if self.advise && self.advised.lock().unwrap_or_else(PoisonError::into_inner).insert(path) {
            say!(
                "hint: '{shown}' was not run: it is not executable (chmod +x would change that).\n\
                 hint: Set advice.ignoredHook to false and this is not mentioned again."
            );
        }
    }
}
