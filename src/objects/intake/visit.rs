//! What happens to each object of a pack in the one moment when its content is at hand.

use anyhow::Result;
use gix::{ObjectId, objs::Kind};

/// Sees the objects of a pack, each once, in no order. Every thread that decodes has a clone.
pub trait Visit: Clone + Send {
    /// Object `id`, whose hash was computed from `data`.
    fn visit(&mut self, id: &ObjectId, kind: Kind, data: &[u8]) -> Result<()>;

    /// True if an object of `size` bytes is not to be held in memory: then it is not visited, but listed.
    fn passes_by(&self, kind: Kind, size: u64) -> bool;
}
