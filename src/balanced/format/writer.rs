//! Who writes a journal: how a recovery tells its own machine and repository from others.

use std::{
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::PathBuf,
};

use bstr::{BString, ByteSlice};

use crate::refs::paths::Paths;

/// The process that writes a journal, and the repository it writes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Its process id, on `host`.
    pub pid: u32,
    /// The kernel's id of the boot that the process belongs to.
    pub boot: BString,
    /// The device of the common directory: a copy of the repository has another identity.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The name of the machine.
    pub host: BString,
    /// The git directory that the push went to, which refs of one worktree lie below.
    pub git_dir: PathBuf,
}

impl Writer {
    /// What a journal written here and now would say.
    pub fn this_process(paths: Paths<'_>) -> io::Result<Self> {
        let common = std::fs::metadata(paths.common_dir)?;
        Ok(Writer {
            pid: std::process::id(),
            boot: std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().into(),
            device: common.dev(),
            inode: common.ino(),
            host: nix::unistd::gethostname().map(|name| name.as_bytes().into()).unwrap_or_default(),
            git_dir: paths.git_dir.to_owned(),
        })
    }
}

/// The second line of a journal.
pub(super) fn parse_writer(words: &[BString]) -> Option<Writer> {
    let [word, pid, boot, device, inode, host, git_dir] = words else { return None };
    let number = |word: &BString| word.to_str().ok()?.parse::<u64>().ok();
    (word == "writer").then_some(())?;
    Some(Writer {
        pid: number(pid)?.try_into().ok()?,
        boot: boot.clone(),
        device: number(device)?,
        inode: number(inode)?,
        host: host.clone(),
        git_dir: git_dir.to_path_lossy().into_owned(),
    })
}
