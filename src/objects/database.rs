//! Reading objects: the repository's own, those of its alternates, and those in quarantine, in files or in memory.
//!
//! An object is looked for in every pack first, then among the loose ones. One that is nowhere costs a stat(2) of each
//! pack directory, to see whether somebody repacked meanwhile; the directory is read again only if it changed.

use std::{
    cell::RefCell,
    iter,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, anyhow};
use gix::{
    objs::Kind,
    zlib::{Decompress, Inflate},
};
use gix_pack::{
    cache::lru::MemoryCappedHashmap,
    data::decode::{entry::ResolvedBase, header},
};

use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};

use crate::{
    objects::{
        alternates,
        held::Held,
        known::Known,
        loose::Loose,
        packs::{Location, Packs},
        quarantine::Quarantine,
        recent::Recent,
    },
    repository::Repository,
};

/// How much of what delta chains were built from is kept, in bytes, for each clone of a database that reads.
const CACHE_BYTES: usize = 32 << 20;

/// All objects that a push may count on. Clone it for another thread: each clone has a cache of its own.
pub struct Database {
    stores: Vec<Arc<Store>>,
    /// The objects of a quarantine that are in memory.
    held: Option<Arc<Held>>,
    /// What need not be read again.
    recent: Option<Arc<Recent>>,
    /// True if the first store is the directory of a quarantine.
    quarantined: bool,
    /// Set up when it is first needed.
    cache: RefCell<Option<MemoryCappedHashmap>>,
}

/// One object directory.
pub(super) struct Store {
    pub(super) dir: PathBuf,
    pub(super) packs: Packs,
    loose: Loose,
}

/// Where a copy of an object is.
enum Place<'a> {
    Packed(&'a Location),
    Loose(&'a Loose),
}

thread_local! {
    /// One for each thread that reads packs: to set it up takes as long as to inflate a small object.
    static INFLATE: RefCell<Inflate> = RefCell::default();
    /// The same for loose objects, which come in pieces.
    static INFLATE_LOOSE: RefCell<Decompress> = RefCell::default();
}

impl Clone for Database {
    fn clone(&self) -> Self {
        Database {
            stores: self.stores.clone(),
            held: self.held.clone(),
            recent: self.recent.clone(),
            quarantined: self.quarantined,
            cache: RefCell::default(),
        }
    }
}

impl Database {
    /// The repository's objects and those of its alternates, inherited ones included. Alternates that are not there
    /// are no error; the advertisement names them.
    pub fn open(repository: &Repository) -> Result<Self> {
        let alternates = alternates::resolve(&repository.objects_dir, &repository.alternate_dirs, &mut |_| {});
        let dirs = iter::once(repository.objects_dir.clone()).chain(alternates);
        let stores = dirs.map(|dir| Arc::new(Store::new(dir, repository.hash))).collect();
        Ok(Database { stores, held: None, recent: None, quarantined: false, cache: RefCell::default() })
    }

    /// The same with the objects of a quarantine, as far as they are in it by now, in front.
    pub fn with_quarantine(&self, quarantine: &Quarantine, hash: gix::hash::Kind) -> Self {
        let directory = quarantine.made().map(|dir| Arc::new(Store::new(dir.to_owned(), hash)));
        Database {
            quarantined: directory.is_some(),
            stores: directory.into_iter().chain(self.stores.iter().cloned()).collect(),
            held: Some(quarantine.held.clone()),
            recent: quarantine.recent.clone(),
            cache: RefCell::default(),
        }
    }

    /// The same without the objects of the quarantine, for as long as those are taken in.
    pub fn beside_quarantine(&self, quarantine: &Quarantine) -> Self {
        Database { recent: quarantine.recent.clone(), ..self.clone() }
    }

    /// The object directories in the order of search: the quarantine if there is one, the repository's, its alternates'.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.stores.iter().map(|store| store.dir.as_path())
    }

    /// The kind of object `id`, its content in `buffer`; `None` if it is not there.
    ///
    /// A copy that cannot be read is an error only if there is no other. The empty tree is always there, as for git.
    pub fn find(&self, id: &gix::oid, buffer: &mut Vec<u8>) -> Result<Option<Kind>> {
        if let Some(kind) = self.held.as_ref().and_then(|held| held.find(id, buffer)) {
            return Ok(Some(kind));
        }
        if let Some(kind) = self.recent.as_ref().and_then(|recent| recent.find(id, buffer)) {
            return Ok(Some(kind));
        }
        let found = self.search(id, |place| match place {
            Place::Packed(location) => self.decode(location, buffer).map(Some),
            Place::Loose(loose) => {
                let found = INFLATE_LOOSE.with_borrow_mut(|inflate| loose.find(id, inflate, buffer, u64::MAX))?;
                Ok(found.map(|(kind, _)| kind))
            }
        })?;
        if let (Some(kind), Some(recent)) = (found, &self.recent) {
            recent.add(id, kind, buffer);
        }
        if found.is_none() && id.is_empty_tree() {
            buffer.clear();
            return Ok(Some(Kind::Tree));
        }
        Ok(found)
    }

    /// The kind and size of object `id`, without reading its content; `None` if it is not there.
    pub fn header(&self, id: &gix::oid) -> Result<Option<(Kind, u64)>> {
        if let Some(header) = self.held.as_ref().and_then(|held| held.header(id)) {
            return Ok(Some(header));
        }
        if let Some(header) = self.recent.as_ref().and_then(|recent| recent.header(id)) {
            return Ok(Some(header));
        }
        let found = self.search(id, |place| match place {
            Place::Packed(location) => self.decode_header(location).map(Some),
            Place::Loose(loose) => self.loose_header(loose, id),
        })?;
        Ok(found.or(id.is_empty_tree().then_some((Kind::Tree, 0))))
    }

    /// A small object whose header is asked for is likely to be asked for next.
    fn loose_header(&self, loose: &Loose, id: &gix::oid) -> Result<Option<(Kind, u64)>> {
        INFLATE_LOOSE.with_borrow_mut(|inflate| {
            if let Some((recent, room)) = self.recent.as_ref().map(|recent| (recent, recent.room()))
                && room > 0
            {
                let mut content = Vec::new();
                // Of one that is damaged further on the header may still be read.
                if let Ok(found) = loose.find(id, inflate, &mut content, room as u64) {
                    if let Some((kind, size)) = found
                        && content.len() as u64 == size
                    {
                        recent.add(id, kind, &content);
                    }
                    return Ok(found);
                }
            }
            loose.header(id, inflate)
        })
    }

    /// True if there is an object `id`.
    pub fn contains(&self, id: &gix::oid) -> bool {
        self.holds(id)
            || self.recent.as_ref().is_some_and(|recent| recent.header(id).is_some())
            || self.stores.iter().any(|store| store.packs.locate(id).is_some())
            || self.stores.iter().any(|store| store.loose.contains(id))
            || id.is_empty_tree()
            || (self.look_again() && self.stores.iter().any(|store| store.packs.locate(id).is_some()))
    }

    /// True if this push brought object `id`, whether or not it was there before.
    pub fn is_quarantined(&self, id: &gix::oid) -> bool {
        let is_in = |store: &Arc<Store>| store.packs.locate(id).is_some() || store.loose.contains(id);
        self.holds(id) || self.quarantined && self.stores.first().is_some_and(is_in)
    }

    fn holds(&self, id: &gix::oid) -> bool {
        self.held.as_ref().is_some_and(|held| held.contains(id))
    }

    /// True if object `id` was here before this push, as far as the packs that are known by now say.
    pub fn is_outside_quarantine(&self, id: &gix::oid) -> bool {
        let outside = || self.stores.iter().skip(usize::from(self.quarantined));
        outside().any(|store| store.packs.locate(id).is_some() || store.loose.contains(id))
    }

    /// Mark a copy of object `id` as just used, so that no `git prune` takes it while the push goes on. False if there
    /// is none, or none that may be marked: then it is to be written anew.
    pub fn freshen(&self, id: &gix::oid) -> bool {
        self.stores.iter().any(|store| {
            store.packs.locate(id).is_some_and(|location| touch(&location.pack.path())) || touch(&store.loose.path(id))
        })
    }

    /// What is there as of now, for very many questions from any thread.
    pub fn known(&self) -> Known {
        Known::new(&self.stores)
    }

    fn look_again(&self) -> bool {
        // Not `any`: each store is to be looked at.
        self.stores.iter().fold(false, |changed, store| store.packs.look_again() | changed)
    }

    /// The first copy of object `id` that `read` can read.
    fn search<T>(&self, id: &gix::oid, mut read: impl FnMut(Place<'_>) -> Result<Option<T>>) -> Result<Option<T>> {
        let mut failure = None;
        loop {
            for location in self.stores.iter().filter_map(|store| store.packs.locate(id)) {
                match read(Place::Packed(&location)) {
                    Ok(Some(found)) => return Ok(Some(found)),
                    Ok(None) => {}
                    Err(err) => failure = Some(err),
                }
            }
            for store in &self.stores {
                match read(Place::Loose(&store.loose)) {
                    Ok(Some(found)) => return Ok(Some(found)),
                    Ok(None) => {}
                    Err(err) => failure = Some(err),
                }
            }
            // Somebody who repacks makes the new pack before the old one goes.
            if !self.look_again() {
                return failure.map_or(Ok(None), |err| Err(err.context(format!("cannot read object {id}"))));
            }
        }
    }

    fn decode(&self, location: &Location, buffer: &mut Vec<u8>) -> Result<Kind> {
        let Location { pack, offset } = location;
        let data = pack.data().ok_or_else(|| anyhow!("cannot open pack '{}'", pack.path().display()))?;
        let mut cache = self.cache.borrow_mut();
        let cache = cache.get_or_insert_with(|| MemoryCappedHashmap::new(CACHE_BYTES));
        let resolve = |base: &gix::oid, _: &mut Vec<u8>| {
            pack.offset_of(base).map(|offset| data.entry(offset).map(ResolvedBase::InPack)).transpose()
        };
        let decoded = INFLATE.with_borrow_mut(|inflate| {
            data.entry(*offset).and_then(|entry| data.decode_entry(entry, buffer, inflate, &resolve, cache))
        });
        Ok(decoded.map_err(|err| anyhow!("'{}' at offset {offset}: {err}", pack.path().display()))?.kind)
    }

    fn decode_header(&self, location: &Location) -> Result<(Kind, u64)> {
        let Location { pack, offset } = location;
        let data = pack.data().ok_or_else(|| anyhow!("cannot open pack '{}'", pack.path().display()))?;
        let resolve = |base: &gix::oid| {
            pack.offset_of(base).map(|offset| data.entry(offset).map(header::ResolvedBase::InPack)).transpose()
        };
        let decoded = INFLATE.with_borrow_mut(|inflate| {
            data.entry(*offset).and_then(|entry| data.decode_header(entry, inflate, &resolve))
        });
        let header = decoded.map_err(|err| anyhow!("'{}' at offset {offset}: {err}", pack.path().display()))?;
        Ok((header.kind, header.object_size))
    }
}

impl Store {
    fn new(dir: PathBuf, hash: gix::hash::Kind) -> Self {
        Store { packs: Packs::new(&dir, hash), loose: Loose::new(&dir), dir }
    }
}

/// Set the times of the file at `path` to now, without opening it: it may be read-only.
pub(super) fn touch(path: &Path) -> bool {
    let now = TimeSpec::UTIME_NOW;
    utimensat(AT_FDCWD, path, &now, &now, UtimensatFlags::FollowSymlink).is_ok()
}
