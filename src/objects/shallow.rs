//! Where history is cut off: the `shallow` file of the repository.
//!
//! A client's own history may be cut elsewhere. Which of its roots the repository then needs is for `connectivity` to find;
//! how they get into the file is in `change`, how hooks see them before that in `for_hooks`.

pub mod change;
pub mod for_hooks;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use bstr::ByteSlice;
use gix::{ObjectId, hashtable::HashSet};

use crate::repository::Repository;

/// The commits whose parents are not there and are not missed (git-fetch, `--depth`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shallow {
    roots: HashSet<ObjectId>,
    listed: Vec<ObjectId>,
}

impl Shallow {
    /// Read the repository's `shallow` file, or the one that `GIT_SHALLOW_FILE` names in its place: one id in hex a line.
    /// Without one, or with one that cannot be read, no history is cut off.
    ///
    /// A line that starts otherwise is an error: `bad shallow line: <line>`.
    pub fn read(repository: &Repository) -> Result<Self> {
        let path = inherited(repository).unwrap_or_else(|| own_path(&repository.common_dir));
        Self::read_from(&path, repository.hash)
    }

    fn read_from(path: &Path, hash: gix::hash::Kind) -> Result<Self> {
        // git does not ask why it cannot be opened.
        fs::read(path).map_or_else(|_| Ok(Shallow::default()), |content| Self::parse(&content, hash))
    }

    fn parse(content: &[u8], hash: gix::hash::Kind) -> Result<Self> {
        let mut this = Shallow::default();
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            // What follows the id is nobody's business.
            match line.get(..hash.len_in_hex()).map(ObjectId::from_hex) {
                Some(Ok(id)) => this.add(id),
                _ => bail!("bad shallow line: {}", line.as_bstr()),
            }
        }
        Ok(this)
    }

    /// The same with more `roots`.
    pub fn with(&self, roots: impl IntoIterator<Item = ObjectId>) -> Self {
        let mut this = self.clone();
        roots.into_iter().for_each(|id| this.add(id));
        this
    }

    /// True if the parents of commit `id` are not to be looked for.
    pub fn is_root(&self, id: &gix::oid) -> bool {
        self.roots.contains(id)
    }

    /// True if history is whole.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The roots in the order of the file, each once.
    pub fn roots(&self) -> &[ObjectId] {
        &self.listed
    }

    fn add(&mut self, id: ObjectId) {
        if self.roots.insert(id) {
            self.listed.push(id);
        }
    }

    /// The content of a `shallow` file with more `roots`: those it had in the order of their names, as git writes them, then
    /// the new ones. `None` if it had them all.
    fn content_with(&self, roots: impl IntoIterator<Item = ObjectId>) -> Option<Vec<u8>> {
        let all = self.with(roots);
        let (old, new) = all.listed.split_at(self.listed.len());
        let mut old = old.to_vec();
        old.sort();
        (!new.is_empty()).then(|| lines(old.iter().chain(new)))
    }
}

/// The lines of a `shallow` file.
fn lines<'a>(roots: impl IntoIterator<Item = &'a ObjectId>) -> Vec<u8> {
    roots.into_iter().flat_map(|id| format!("{id}\n").into_bytes()).collect()
}

/// Where the repository itself keeps its roots.
fn own_path(common_dir: &Path) -> PathBuf {
    common_dir.join("shallow")
}

/// The file that `GIT_SHALLOW_FILE` names for this process and its children; an empty name stands for no file (git(1),
/// `--shallow-file`).
fn inherited(repository: &Repository) -> Option<PathBuf> {
    env::var_os("GIT_SHALLOW_FILE").map(|file| match file.is_empty() {
        true => PathBuf::new(),
        false => repository.git_dir.join(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_does_not_start_with_an_id_is_an_error() {
        let parse = |content: &[u8]| Shallow::parse(content, gix::hash::Kind::Sha1);
        let id = [b'a'; 40];
        assert_eq!(parse(&[&id[..], b"\n"].concat()).unwrap().roots().len(), 1);
        assert_eq!(parse(&[&id[..], b" and more"].concat()).unwrap().roots().len(), 1);
        assert_eq!(parse(b"abc\n").unwrap_err().to_string(), "bad shallow line: abc\n");
        assert!(parse(&[&id[..], b"\n\n"].concat()).is_err(), "an empty line");
        assert!(Shallow::parse(&id, gix::hash::Kind::Sha256).is_err(), "an id of another hash");
    }
}
