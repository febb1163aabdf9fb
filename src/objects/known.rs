//! Which objects are there, for very many questions: each directory is read once, and never looked at again.

use std::{
    fs,
    sync::{Arc, OnceLock},
};

use gix::ObjectId;

use super::database::Store;

/// Which objects a database has, as of the first question.
#[derive(Clone)]
pub struct Known(Vec<Arc<Listed>>);

/// Those of one object directory.
struct Listed {
    store: Arc<Store>,
    /// The loose ones, by the first byte of the id.
    loose: [OnceLock<Vec<ObjectId>>; 256],
}

impl Known {
    /// Those of `stores`.
    pub(super) fn new(stores: &[Arc<Store>]) -> Self {
        let listed = |store: &Arc<Store>| Listed { store: store.clone(), loose: [const { OnceLock::new() }; 256] };
        Known(stores.iter().map(listed).map(Arc::new).collect())
    }

    /// True if object `id` is known.
    pub fn contains(&self, id: &gix::oid) -> bool {
        self.0.iter().any(|listed| listed.store.packs.locate(id).is_some() || listed.is_loose(id))
    }
}

impl Listed {
    /// True if object `id` was loose when its directory was first asked for.
    fn is_loose(&self, id: &gix::oid) -> bool {
        let first = id.first_byte();
        let list = || {
            let mut ids = Vec::new();
            let directory = self.store.dir.join(format!("{first:02x}"));
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let mut hex = format!("{first:02x}").into_bytes();
                hex.extend_from_slice(entry.file_name().as_encoded_bytes());
                ids.extend(ObjectId::from_hex(&hex));
            }
            ids.sort_unstable();
            ids
        };
        let ids = self.loose[usize::from(first)].get_or_init(list);
        ids.binary_search_by(|listed| listed.as_ref().cmp(id)).is_ok()
    }
}
