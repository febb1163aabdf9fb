//! Reading objects: the repository's own, those of its alternates, and those in quarantine.

use std::path::Path;

use anyhow::{Context, Result};
use gix::{
    ObjectId,
    objs::{Exists, Find, FindHeader, Kind},
};

use crate::repository::Repository;

/// All objects that a push may count on.
#[derive(Clone)]
pub struct Database {
    stores: Vec<gix::odb::HandleArc>,
}

impl Database {
    /// The repository's objects and those of its alternates, inherited ones included.
    pub fn open(repository: &Repository) -> Result<Self> {
        let mut stores = vec![open_store(&repository.objects_dir, repository.hash)?];
        for dir in &repository.alternate_dirs {
            // A stale entry in the environment is no reason to refuse: git ignores it as well.
            if dir.is_dir() {
                stores.push(open_store(dir, repository.hash)?);
            }
        }
        Ok(Database { stores })
    }

    /// The same with the objects of a quarantine directory in front.
    pub fn with_quarantine(&self, dir: &Path, hash: gix::hash::Kind) -> Result<Self> {
        let mut stores = Vec::with_capacity(self.stores.len() + 1);
        stores.push(open_store(dir, hash)?);
        stores.extend(self.stores.iter().cloned());
        Ok(Database { stores })
    }

    /// The kind of object `id`, its content in `buffer`; `None` if it is not there.
    pub fn find(&self, id: &gix::oid, buffer: &mut Vec<u8>) -> Result<Option<Kind>> {
        for store in &self.stores {
            let found = store.try_find(id, buffer).map_err(|err| anyhow::anyhow!("cannot read object {id}: {err}"))?;
            if let Some(data) = found {
                return Ok(Some(data.kind));
            }
        }
        Ok(None)
    }

    /// The kind and size of object `id`, without reading its content; `None` if it is not there.
    pub fn header(&self, id: &gix::oid) -> Result<Option<(Kind, u64)>> {
        for store in &self.stores {
            let found = FindHeader::try_header(store, id)
                .map_err(|err| anyhow::anyhow!("cannot read the header of object {id}: {err}"))?;
            if let Some(header) = found {
                return Ok(Some((header.kind, header.size)));
            }
        }
        Ok(None)
    }

    /// True if there is an object `id`.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.stores.iter().any(|store| store.exists(id))
    }
}

fn open_store(dir: &Path, hash: gix::hash::Kind) -> Result<gix::odb::HandleArc> {
    Ok(gix::odb::at(dir, hash)
        .with_context(|| format!("cannot open the object directory '{}'", dir.display()))?
        .into_arc()?)
}
