//! What a partial clone need not have: objects that somebody promised to deliver (git's "partial clone" design).
//!
//! What lies in a `.promisor` pack came from the promisor, and so can all that it names. Nothing is ever fetched here.

use std::{fs, path::PathBuf};

use bstr::ByteSlice;
use gix::{
    ObjectId,
    hashtable::HashSet,
    objs::{Kind, TagRefIter},
};
use gix_pack::index;

use crate::{
    config::{Config, Settings},
    objects::{database::Database, history::History, tree_entries::entries},
    repository::Repository,
};

/// The promisor's packs.
pub struct Promised {
    packs: Vec<index::File>,
    hash: gix::hash::Kind,
    /// All objects that those in the packs name; listed when the first is asked for, since it takes reading them all.
    named: Option<HashSet<ObjectId>>,
}

impl Promised {
    /// The promisor's packs among the objects in `database`; `None` if the repository is no partial clone.
    pub fn open(repository: &Repository, config: &Config, database: &Database) -> Option<Self> {
        if !is_partial_clone(&config.values) {
            return None;
        }
        let packs = database.directories().flat_map(|dir| indices(dir.join("pack")));
        let packs = packs.filter_map(|path| index::File::at(path, repository.hash).ok()).collect();
        Some(Promised { packs, hash: repository.hash, named: None })
    }

    /// True if object `id` came from the promisor.
    pub fn delivered(&self, id: &gix::oid) -> bool {
        self.packs.iter().any(|pack| pack.lookup(id).is_some())
    }

    /// True if object `id`, which is not there, is promised.
    pub fn is_owed(&mut self, id: &gix::oid, database: &Database, history: &History<'_>) -> bool {
        if self.named.is_none() {
            self.named = Some(self.list(database, history));
        }
        self.named.as_ref().is_some_and(|named| named.contains(id)) || self.delivered(id)
    }

    fn list(&self, database: &Database, history: &History<'_>) -> HashSet<ObjectId> {
        let mut named = HashSet::default();
        let mut buffer = Vec::new();
        for entry in self.packs.iter().flat_map(index::File::iter) {
            match database.find(&entry.oid, &mut buffer) {
                Ok(Some(Kind::Commit)) => {
                    let Some(commit) = history.parse(&entry.oid, &buffer) else { continue };
                    named.insert(commit.tree);
                    named.extend(commit.parents.iter().map(|parent| parent.id));
                }
                Ok(Some(Kind::Tree)) => {
                    named.extend(entries(&buffer, self.hash).map_while(Result::ok).map(|entry| entry.id.to_owned()));
                }
                Ok(Some(Kind::Tag)) => named.extend(TagRefIter::from_bytes(&buffer, self.hash).target_id().ok()),
                _ => {}
            }
        }
        named
    }
}

/// The indices of the `.promisor` packs in `dir`.
fn indices(dir: PathBuf) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "promisor")).map(|path| path.with_extension("idx"))
}

/// True if some `remote.<name>.promisor` is true, or another setting says that one is to be asked for what is missing.
fn is_partial_clone(config: &Settings) -> bool {
    config.within("remote").any(|(_, key, setting)| match key.as_bytes() {
        b"promisor" => setting.boolean().unwrap_or(false),
        b"partialclonefilter" => true,
        _ => false,
    }) || config.string("extensions.partialclone").is_some()
}
