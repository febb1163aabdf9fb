//! What a transaction marks paths with: symbolic links that name it, and that are all one file where that can be.
//!
//! To make a file costs a file system many times what it costs to give one another name, so the first link is made with
//! symlink(2) and all others with link(2), which does not follow it. Nobody can tell them apart: each reads the same, is met
//! by O_EXCL, and goes alone. But rename(2) of one of them onto another does nothing at all: no mark is ever renamed.

use std::{
    io::{self, ErrorKind},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    unistd::linkat,
};

use crate::balanced::transaction_id::TransactionId;

/// Makes the marks of one transaction.
#[derive(Debug)]
pub struct Mark {
    text: String,
    first: Option<PathBuf>,
}

impl Mark {
    /// Marks that read `text`.
    pub fn new(text: String) -> Self {
        Mark { text, first: None }
    }

    /// The same as other names of the mark at `first`, as long as there is one. It has to lie where nobody else makes a file
    /// of that name: what is there is taken for ours. Whoever made it removes it.
    pub fn with_first(text: String, first: PathBuf) -> Self {
        Mark { text, first: Some(first) }
    }

    /// What each mark reads.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Put one at `path`; [`ErrorKind::AlreadyExists`] if anything is there.
    pub fn put(&self, path: &Path) -> io::Result<()> {
        let Some(first) = &self.first else { return symlink(&self.text, path) };
        let linked = match link(first, path) {
            Err(err) if err.kind() == ErrorKind::TooManyLinks => self.renew(first).and_then(|()| link(first, path)),
            linked => linked,
        };
        match linked {
            // It is on another device, or gone, or this file system gives a link no second name.
            Err(err) if err.kind() != ErrorKind::AlreadyExists => symlink(&self.text, path),
            linked => linked,
        }
    }

    fn renew(&self, first: &Path) -> io::Result<()> {
        std::fs::remove_file(first)?;
        symlink(&self.text, first)
    }
}

/// True if a mark, of whatever transaction, reads `text`.
pub fn is_mark(text: &Path) -> bool {
    text.to_str().and_then(TransactionId::of_link).is_some()
}

fn link(first: &Path, path: &Path) -> io::Result<()> {
    Ok(linkat(AT_FDCWD, first, AT_FDCWD, path, AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn all_marks_are_one_file_and_each_goes_alone() {
        let directory = tempfile::tempdir().unwrap();
        let [first, a, b] = ["first", "a", "b"].map(|name| directory.path().join(name));
        symlink("of-a-transaction", &first).unwrap();
        let mark = Mark::with_first("of-a-transaction".into(), first.clone());
        mark.put(&a).unwrap();
        mark.put(&b).unwrap();
        assert_eq!(b.symlink_metadata().unwrap().ino(), first.symlink_metadata().unwrap().ino());
        assert_eq!(mark.put(&a).unwrap_err().kind(), ErrorKind::AlreadyExists);
        std::fs::remove_file(&a).unwrap();
        assert_eq!(std::fs::read_link(&b).unwrap(), Path::new(mark.text()));
    }

    #[test]
    fn a_first_mark_that_is_gone_is_not_missed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mark = Mark::with_first("of-a-transaction".into(), directory.path().join("first"));
        mark.put(&path).unwrap();
        assert_eq!(std::fs::read_link(&path).unwrap(), Path::new(mark.text()));
        assert_eq!(mark.put(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let nowhere = directory.path().join("no/directory");
        assert_eq!(mark.put(&nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
