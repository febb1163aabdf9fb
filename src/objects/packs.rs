//! The packs of one object directory: which there are, and in which of them an object lies.
//!
//! Nothing is listed, opened or mapped before it is asked for. A multi-pack-index answers for the packs it covers.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::SystemTime,
};

use gix_pack::{data, index, multi_index};

/// The most that reading one object from a pack may allocate for what the pack claims, in bytes.
const ALLOCATION_LIMIT: usize = 8 << 30;

/// The packs below `<objects>/pack`.
pub struct Packs {
    dir: PathBuf,
    hash: gix::hash::Kind,
    listing: RwLock<Option<Listing>>,
}

struct Listing {
    /// The directory's time before it was read, `None` if there is none.
    modified: Option<SystemTime>,
    multi: Option<(multi_index::File, Vec<Arc<Pack>>)>,
    /// Those that no multi-pack-index covers, newest first.
    single: Vec<Arc<Pack>>,
}

/// One pack. What cannot be opened holds no objects: it may just have been repacked away.
pub struct Pack {
    /// The path of the `.idx` file.
    index_path: PathBuf,
    hash: gix::hash::Kind,
    index: OnceLock<Option<index::File>>,
    data: OnceLock<Option<data::File>>,
}

/// Where an object lies.
pub struct Location {
    /// The pack.
    pub pack: Arc<Pack>,
    /// The first byte of the object's entry in the pack.
    pub offset: data::Offset,
}

impl Packs {
    /// The packs below `objects_dir`, not looked at yet.
    pub fn new(objects_dir: &Path, hash: gix::hash::Kind) -> Self {
        Packs { dir: objects_dir.join("pack"), hash, listing: RwLock::new(None) }
    }

    /// Where object `id` lies, as of the last look at the directory.
    pub fn locate(&self, id: &gix::oid) -> Option<Location> {
        if self.listing.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.look_again();
        }
        let listing = self.listing.read().unwrap_or_else(PoisonError::into_inner);
        let listing = listing.as_ref()?;
        let covered = listing.multi.as_ref().and_then(|(multi, packs)| {
            let (pack, offset) = multi.pack_id_and_pack_offset_at_index(multi.lookup(id)?).ok()?;
            let pack = packs.get(pack as usize)?;
            pack.data().map(|_| Location { pack: pack.clone(), offset })
        });
        covered.or_else(|| {
            listing.single.iter().find_map(|pack| Some(Location { pack: pack.clone(), offset: pack.offset_of(id)? }))
        })
    }

    /// Look at the directory, if it changed since the last look; true if it did. Packs known already stay open.
    pub fn look_again(&self) -> bool {
        let modified = fs::metadata(&self.dir).and_then(|meta| meta.modified()).ok();
        let mut slot = self.listing.write().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|listing| listing.modified == modified) {
            return false;
        }
        *slot = Some(self.list(modified, slot.take()));
        true
    }

    fn list(&self, modified: Option<SystemTime>, old: Option<Listing>) -> Listing {
        let mut known = old.map(|old| old.single).unwrap_or_default();
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "idx") {
                let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
                found.push((modified, path));
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        let mut pack_at = |path: PathBuf| match known.iter().position(|pack| pack.index_path == path) {
            Some(at) => known.swap_remove(at),
            None => Arc::new(Pack::new(path, self.hash)),
        };

        let multi_path = self.dir.join("multi-pack-index");
        let multi = multi_index::File::at(&multi_path, Some(ALLOCATION_LIMIT)).ok();
        let multi = multi.filter(|multi| multi.object_hash() == self.hash).map(|multi| {
            let packs = multi.index_names().iter().map(|name| pack_at(self.dir.join(name))).collect::<Vec<_>>();
            (multi, packs)
        });
        let covered = |path: &PathBuf| multi.as_ref().is_some_and(|(multi, _)| is_named(multi, path));
        let single = found.into_iter().map(|(_, path)| path).filter(|path| !covered(path)).map(pack_at).collect();
        Listing { modified, multi, single }
    }
}

fn is_named(multi: &multi_index::File, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    multi.index_names().iter().any(|named| named.as_os_str() == name)
}

impl Pack {
    fn new(index_path: PathBuf, hash: gix::hash::Kind) -> Self {
        Pack { index_path, hash, index: OnceLock::new(), data: OnceLock::new() }
    }

    /// The path of the `.pack` file.
    pub fn path(&self) -> PathBuf {
        self.index_path.with_extension("pack")
    }

    /// The mapped pack.
    pub fn data(&self) -> Option<&data::File> {
        let open = || Some(data::File::at(self.path(), self.hash).ok()?.with_alloc_limit_bytes(Some(ALLOCATION_LIMIT)));
        self.data.get_or_init(open).as_ref()
    }

    /// Where the entry of object `id` begins.
    pub fn offset_of(&self, id: &gix::oid) -> Option<data::Offset> {
        let index = self.index.get_or_init(|| index::File::at(&self.index_path, self.hash).ok()).as_ref()?;
        index.lookup(id).map(|at| index.pack_offset_at_index(at))
    }
}
