//! What was read of the repository while a push was taken in and looked at: the few objects that it builds on are asked for
//! again and again, and each is a file to be opened.
//!
//! It is forgotten before hooks run and refs change: others may tidy up meanwhile.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gix::{ObjectId, objs::Kind, oid};

/// How much memory they may take together, in bytes. Those that come first stay: they are what the push builds on.
const MOST: usize = 1 << 18;
/// The largest object that is kept, in bytes.
const LARGEST: usize = 1 << 15;

/// Objects in memory.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    by_id: HashMap<ObjectId, (Kind, Vec<u8>)>,
    size: usize,
}

impl Recent {
    /// How large an object may be to be kept, in bytes.
    pub fn room(&self) -> usize {
        self.lock().room()
    }

    /// Keep object `id`, if there is room for it.
    pub fn add(&self, id: &oid, kind: Kind, content: &[u8]) {
        let mut objects = self.lock();
        if content.len() <= objects.room() && !objects.by_id.contains_key(id) {
            objects.size += content.len();
            objects.by_id.insert(id.to_owned(), (kind, content.to_vec()));
        }
    }

    /// The kind and size of object `id`, `None` if it is not kept.
    pub fn header(&self, id: &oid) -> Option<(Kind, u64)> {
        self.lock().by_id.get(id).map(|(kind, content)| (*kind, content.len() as u64))
    }

    /// The kind of object `id`, its content in `buffer`; `None` if it is not kept.
    pub fn find(&self, id: &oid, buffer: &mut Vec<u8>) -> Option<Kind> {
        let objects = self.lock();
        let (kind, content) = objects.by_id.get(id)?;
        buffer.clear();
        buffer.extend_from_slice(content);
        Some(*kind)
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects {
    fn room(&self) -> usize {
        LARGEST.min(MOST - self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_came_first() {
        let (recent, mut found) = (Recent::default(), Vec::new());
        let id = |n: u8| ObjectId::from_bytes_or_panic(&[n; 20]);
        recent.add(&id(255), Kind::Blob, &[0; LARGEST + 1]);
        assert_eq!(recent.header(&id(255)), None);
        for n in 0..100 {
            recent.add(&id(n), Kind::Tree, &[n; LARGEST]);
        }
        let kept = (0..100).filter(|n| recent.find(&id(*n), &mut found).is_some()).collect::<Vec<_>>();
        assert!(kept.iter().copied().eq(0..(MOST / LARGEST) as u8), "{kept:?}");
        assert_eq!(recent.header(&id(0)), Some((Kind::Tree, LARGEST as u64)));
        assert_eq!(recent.room(), 0);
    }
}
