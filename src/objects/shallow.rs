//! Where history is cut off: the `shallow` file of the repository, and what to do about a client whose own is cut elsewhere.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, bail};
use gix::{ObjectId, hashtable::HashSet};

use crate::repository::Repository;

/// The commits whose parents are not there and are not missed (git-fetch, `--depth`).
#[derive(Debug, Clone, Default)]
pub struct Shallow {
    roots: HashSet<ObjectId>,
    listed: Vec<ObjectId>,
}

impl Shallow {
    /// Read the repository's `shallow` file: one id in hex a line. No file means that no history is cut off.
    pub fn read(repository: &Repository) -> Result<Self> {
        let path = repository.common_dir.join("shallow");
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Shallow::default()),
            Err(err) => return Err(err).with_context(|| format!("cannot read '{}'", path.display())),
        };
        Self::parse(&content, repository.hash, &path)
    }

    fn parse(content: &[u8], hash: gix::hash::Kind, path: &Path) -> Result<Self> {
        let mut this = Shallow::default();
        for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match ObjectId::from_hex(line) {
                Ok(id) if id.kind() == hash => this.add(id),
                _ => bail!("bad shallow line in '{}': {}", path.display(), line.escape_ascii()),
            }
        }
        Ok(this)
    }

    /// The same with the roots of a client as well.
    pub fn with(&self, roots: &[ObjectId]) -> Self {
        let mut this = self.clone();
        roots.iter().for_each(|id| this.add(*id));
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

    /// The roots in the order of the file, for the advertisement.
    pub fn roots(&self) -> &[ObjectId] {
        &self.listed
    }

    fn add(&mut self, id: ObjectId) {
        if self.roots.insert(id) {
            self.listed.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_id_is_an_error() {
        let parse = |content: &[u8]| Shallow::parse(content, gix::hash::Kind::Sha1, Path::new("shallow"));
        let id = [b'a'; 40];
        assert_eq!(parse(&[&id[..], b"\n"].concat()).unwrap().roots().len(), 1);
        assert!(parse(b"abc\n").is_err());
        assert!(parse(&[&id[..], b" \n"].concat()).is_err());
        assert!(parse(&[b'a'; 64]).is_err(), "an id of another hash");
    }
}
