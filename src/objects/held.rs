//! The objects of a small push, as long as nobody but this process has to see them: held in memory, where they cost no files
//! that are made only to be moved, and go with the process whatever ends it.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use gix::{ObjectId, objs::Kind, oid};

/// How much memory they may take together, in bytes.
const MOST: usize = 1 << 20;

/// How much of that each takes beside its content and its file, in bytes.
const EACH: usize = 128;

/// How much is behind the content in a file that has it as it is: the checksum, in bytes.
const CHECKSUM: usize = 4;

/// Objects in memory.
#[derive(Debug, Default)]
pub struct Held(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    /// In the order of their names, which is that of the directories they go to.
    by_id: BTreeMap<ObjectId, Object>,
    /// Where they are: in one piece, since many small ones would take a system call each in a thread.
    bytes: Vec<u8>,
    /// Whoever adds one now has to write it as well.
    written: bool,
}

#[derive(Debug)]
struct Object {
    kind: Kind,
    content: Range<usize>,
    /// The same as a loose object has it (gitformat-loose); the content may be a part of it.
    file: Range<usize>,
}

impl Held {
    /// Hold object `id`, whose loose object is to be `file`; false if there is no room for it, or the others were written already.
    pub fn add(&self, id: ObjectId, kind: Kind, content: &[u8], file: &[u8]) -> bool {
        let mut objects = self.lock();
        if objects.by_id.contains_key(&id) {
            // Twice in the pack.
            return true;
        }
        let stored = file.len().checked_sub(CHECKSUM).filter(|end| file[..*end].ends_with(content));
        let beside = if stored.is_some() { &[] } else { content };
        let start = objects.bytes.len();
        let size = start + (objects.by_id.len() + 1) * EACH;
        if objects.written || size.saturating_add(beside.len() + file.len()) > MOST {
            return false;
        }
        objects.bytes.extend_from_slice(file);
        objects.bytes.extend_from_slice(beside);
        let file = start..start + file.len();
        let end = stored.map_or(objects.bytes.len(), |end| start + end);
        objects.by_id.insert(id, Object { kind, content: end - content.len()..end, file });
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
        content.extend_from_slice(&objects.bytes[object.content.clone()]);
        Some(object.kind)
    }

    /// Have all written: each id and its file, in the order of the ids. No more are taken: another thread may be about to add one.
    pub fn write(&self, mut write: impl FnMut(&oid, &[u8]) -> Result<()>) -> Result<()> {
        let mut objects = self.lock();
        objects.written = true;
        objects.by_id.iter().try_for_each(|(id, object)| write(id, &objects.bytes[object.file.clone()]))
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_found_in_its_file_and_beside_it() {
        let held = Held::default();
        let id = |n: u8| ObjectId::from_bytes_or_panic(&[n; 20]);
        let held_as: [(&[u8], &[u8]); 5] = [
            (b"as it is", b"header as it is1234"),
            (b"packed", b"x"),
            (b"", b"empty1234"),
            (b"", b""),
            (b"34", b"1234"),
        ];
        for (n, (content, file)) in held_as.iter().enumerate() {
            assert!(held.add(id(n as u8), Kind::Blob, content, file));
        }
        let mut found = Vec::new();
        for (n, (content, _)) in held_as.iter().enumerate() {
            assert_eq!(held.find(&id(n as u8), &mut found), Some(Kind::Blob));
            assert_eq!(&found, content);
            assert_eq!(held.header(&id(n as u8)), Some((Kind::Blob, content.len() as u64)));
        }
        let mut written = Vec::new();
        held.write(|_, file| {
            written.push(file.to_vec());
            Ok(())
        })
        .unwrap();
        assert!(written.iter().eq(held_as.iter().map(|(_, file)| *file)));
        assert!(!held.add(id(9), Kind::Blob, b"", b""), "they were written");
    }
}
