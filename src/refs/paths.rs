//! Where the `files` format keeps a ref and its log (gitrepository-layout).

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::ErrorKind,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bstr::{BStr, ByteSlice};

use super::name::is_per_worktree;
use crate::repository::Repository;

/// The directories that refs and logs lie below.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a> {
    /// Of HEAD and the refs that belong to one worktree.
    pub git_dir: &'a Path,
    /// Of all others, and of packed-refs.
    pub common_dir: &'a Path,
}

impl<'a> From<&'a Repository> for Paths<'a> {
    fn from(repository: &'a Repository) -> Self {
        Paths { git_dir: &repository.git_dir, common_dir: &repository.common_dir }
    }
}

impl<'a> Paths<'a> {
    fn root(&self, name: &BStr) -> &'a Path {
        if is_per_worktree(name) { self.git_dir } else { self.common_dir }
    }

    /// The loose file of ref `name`.
    pub fn loose(&self, name: &BStr) -> PathBuf {
        self.root(name).join(os(name))
    }

    /// The file that locks ref `name`.
    pub fn lock(&self, name: &BStr) -> PathBuf {
        let mut path = self.loose(name).into_os_string();
        path.push(".lock");
        path.into()
    }

    /// The log of ref `name`.
    pub fn log(&self, name: &BStr) -> PathBuf {
        self.root(name).join("logs").join(os(name))
    }

    /// The directory that stays when everything below it is gone: `refs/heads` for any branch.
    pub fn category(&self, name: &BStr) -> PathBuf {
        self.root(name).join(os(category(name)))
    }

    /// The same for logs.
    pub fn log_category(&self, name: &BStr) -> PathBuf {
        self.root(name).join("logs").join(os(category(name)))
    }

    /// The directories that are not there, of those that stay when everything below them is gone, for refs of these names and for
    /// their logs: relative to the common directory, the upper ones first.
    pub fn absent_directories<'n>(&self, names: impl Iterator<Item = &'n BStr>) -> BTreeSet<PathBuf> {
        let mut absent = BTreeSet::new();
        let mut last = None;
        for name in names {
            let kind = Some((category(name), is_per_worktree(name)));
            if kind == last {
                continue;
            }
            last = kind;
            for directory in [self.category(name), self.log_category(name)] {
                let above = directory
                    .ancestors()
                    .take_while(|path| path.symlink_metadata().is_err_and(|err| err.kind() == ErrorKind::NotFound));
                absent.extend(above.filter_map(|path| path.strip_prefix(self.common_dir).ok()).map(Path::to_owned));
            }
        }
        absent
    }

    /// packed-refs with its symbolic links resolved: that is where git looks, and locks.
    pub fn packed_refs(&self) -> PathBuf {
        let mut path = self.common_dir.join("packed-refs");
        for _ in 0..5 {
            let Ok(target) = std::fs::read_link(&path) else { break };
            path = path.parent().unwrap_or(Path::new("")).join(target);
        }
        path
    }
}

/// The first two components of a name.
fn category(name: &BStr) -> &BStr {
    match name.find_iter(b"/").nth(1) {
        Some(end) => name[..end].as_bstr(),
        None => name.find_byte(b'/').map_or(b"".as_bstr(), |end| name[..end].as_bstr()),
    }
}

fn os(name: &BStr) -> &OsStr {
    OsStr::from_bytes(name)
}
