//! The objects of a small push, as long as nobody but this process has to see them: held in memory, where they cost no files
//! that are made only to be moved, and go with the process whatever ends it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gix::{ObjectId, objs::Kind, oid};

/// How much memory they may take together, in bytes.
const MOST: usize = 1 << 20;

/// How much of that each takes beside its content and its file, in bytes.
const EACH: usize = 128;

/// Objects in memory.
#[derive(Debug, Default)]
pub struct Held(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    /// In the order of their names, which is that of the directories they go to.
    by_id: BTreeMap<ObjectId, Object>,
    size: usize,
    /// Whoever adds one now has to write it as well.
    written: bool,
}

#[derive(Debug)]
struct Object {
    kind: Kind,
    content: Vec<u8>,
    /// The same as a loose object has it (gitformat-loose).
    file: Vec<u8>,
}

impl Held {
    /// Hold object `id`, whose loose object is to be `file`; false if there is no room for it, or the others were written already.
    pub fn add(&self, id: ObjectId, kind: Kind, content: &[u8], file: &[u8]) -> bool {
        let mut objects = self.lock();
        if objects.by_id.contains_key(&id) {
            // Twice in the pack.
            return true;
        }
        let size = objects.size.saturating_add(content.len() + file.len() + EACH);
        if objects.written || size > MOST {
            return false;
        }
        objects.size = size;
        objects.by_id.insert(id, Object { kind, content: content.to_vec(), file: file.to_vec() });
        true
    }

    /// True if object `id` is held.
    pub fn contains(&self, id: &oid) -> bool {
        self.lock().by_id.contains_key(id)
    }

    /// The kind and size of object `id`, `None` if it is not held.
    pub fn header(&self, id: &oid) -> Option<(Kind, u64)> {
        self.lock().by_id.get(id).map(|object| (object.kind, object.content.len() as u64))
    }

    /// The kind of object `id`, its content in `content`; `None` if it is not held.
    pub fn find(&self, id: &oid, content: &mut Vec<u8>) -> Option<Kind> {
        let objects = self.lock();
        let object = objects.by_id.get(id)?;
        content.clear();
        content.extend_from_slice(&object.content);
        Some(object.kind)
    }

    /// Have all written: each id and its file, in the order of the ids. No more are taken: another thread may be about to add one.
    pub fn write<T>(&self, write: impl FnOnce(&[(&oid, &[u8])]) -> T) -> T {
        let mut objects = self.lock();
        objects.written = true;
        let files: Vec<_> = objects.by_id.iter().map(|(id, object)| (id.as_ref(), &object.file[..])).collect();
        write(&files)
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
