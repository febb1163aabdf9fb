//! Lock files that git has made for us, told from any other of the same name: its own bear no mark.
//!
//! git removes its locks when it ends, unless it is killed or the machine stops. What is written down here while it lives
//! says afterwards which of the files that are there are such leavings. What cannot be told stays.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// A lock file as it was when it was made for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitLock {
    /// Where it is.
    pub path: PathBuf,
    /// The device of the file.
    pub device: u64,
    /// Its inode, which another file may have after it.
    pub inode: u64,
    /// When it was made, in nanoseconds since 1970: no other file of that inode was.
    pub born: u64,
}

impl GitLock {
    /// The file at `path`; `None` if there is none, or on a file system that does not know when a file was made.
    pub fn at(path: &Path) -> Option<GitLock> {
        let meta = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
        let born = meta.created().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(GitLock { path: path.to_owned(), device: meta.dev(), inode: meta.ino(), born: born.try_into().ok()? })
    }

    /// True if the very file is still there.
    pub fn is_there(&self) -> bool {
        GitLock::at(&self.path).as_ref() == Some(self)
    }

    /// Remove it if it is still there. The git that has made it must have ended.
    pub fn remove(&self) -> io::Result<()> {
        if self.is_there() { fs::remove_file(&self.path) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_of_the_same_name_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("main.lock");
        fs::write(&path, "").unwrap();
        let lock = GitLock::at(&path).unwrap();
        // git writes to its lock before it renames it into place.
        fs::write(&path, "more").unwrap();
        assert!(lock.is_there());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        lock.remove().unwrap();
        assert!(path.exists());
        GitLock::at(&path).unwrap().remove().unwrap();
        assert!(!path.exists());
    }
}
