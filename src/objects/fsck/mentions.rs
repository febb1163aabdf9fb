//! The objects that a push speaks of: of what kind they are said to be, whether they arrived, whether something needs them.

use std::sync::{Mutex, PoisonError};

use gix::{
    ObjectId,
    hashtable::{HashMap, hash_map::Entry},
    objs::Kind,
    oid,
};

/// All of them, for every thread that decodes: some forty bytes for each.
pub struct Mentions([Mutex<HashMap<ObjectId, Mention>>; 256]);

/// What was heard of an object.
#[derive(Clone, Copy)]
struct Mention {
    kind: Kind,
    arrived: bool,
    needed: bool,
}

impl Mentions {
    /// None yet.
    pub fn new() -> Self {
        Mentions([const { Mutex::new(HashMap::with_hasher(gix::hashtable::hash::Builder)) }; 256])
    }

    /// Object `id` was received, or found; it is of kind `kind`. Fails with the kind that it was said to have if that is another.
    pub fn arrived(&self, kind: Kind, id: &oid) -> Result<(), Kind> {
        self.note(kind, id, |mention| mention.arrived = true)
    }

    /// Something needs object `id` to be there and of kind `kind`. True if it arrived; fails with its kind if that is known to be another.
    pub fn needed(&self, kind: Kind, id: &oid) -> Result<bool, Kind> {
        self.note(kind, id, |mention| {
            mention.needed = true;
            mention.arrived
        })
    }

    /// The objects that something needs and that did not arrive, in the order in which git looks for them.
    pub fn awaited(&self) -> Vec<(Kind, ObjectId)> {
        let mut count = 0;
        let mut awaited = Vec::new();
        for shard in &self.0 {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            count += shard.len();
            let open = shard.iter().filter(|(_, mention)| mention.needed && !mention.arrived);
            awaited.extend(open.map(|(id, mention)| (mention.kind, *id)));
        }
        // git goes through a hash table, which doubles when it is half full.
        let size = (2 * count).max(32).next_power_of_two() as u32;
        awaited.sort_unstable_by_key(|(_, id)| (bucket(id, size), *id));
        awaited
    }

    fn note<T>(&self, kind: Kind, id: &oid, set: impl FnOnce(&mut Mention) -> T) -> Result<T, Kind> {
        let mut shard = self.0[usize::from(id.first_byte())].lock().unwrap_or_else(PoisonError::into_inner);
        let mention = match shard.entry(id.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Mention { kind, arrived: false, needed: false }),
        };
        if mention.kind != kind {
            return Err(mention.kind);
        }
        Ok(set(mention))
    }
}

/// Where in a hash table of `size` places, a power of two, git looks first for object `id`. It tells things in that order.
pub fn bucket(id: &oid, size: u32) -> u32 {
    let first = id.as_bytes().first_chunk().copied().unwrap_or_default();
    u32::from_le_bytes(first) & (size - 1)
}
