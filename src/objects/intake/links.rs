//! Whether a pack is closed: whether everything that its objects name came with them.
//!
//! If it is, all that they reach is there, and nobody needs to walk through them again to see that, which takes longer than
//! to index them. What is named is noted while an object's content is at hand. Most of a tree was named by the trees before
//! it: so little is noted twice that sorting deals with the rest.
//!
//! Whatever is out of the ordinary makes a pack count as not closed, and a walk has the word: it also knows what to say.

use std::sync::{Arc, Mutex, PoisonError};

use gix::{ObjectId, objs::Kind, oid};

use super::{
    by_id::ById,
    nesting::{Edge, Meetings, Nesting},
    rows::Rows,
};
use crate::objects::{history, tree_entries::entries};

/// How many of the names noted last are at hand.
const RECENT: usize = 1 << 12;
/// How many names are gathered before they are handed over.
const GATHERED: usize = 1 << 13;
/// How many names are added before they are sorted and each kept once.
const UNSORTED: usize = 1 << 18;
/// So many objects may be named, and so many more for each object that came: a few bytes can name thousands.
const NAMES: usize = 1 << 20;
const NAMES_EACH: usize = 4;

/// An object that is named, as an object of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    id: ObjectId,
    kind: Kind,
}

/// Notes what objects name. Each thread has a clone; what that has noted counts when it is dropped.
pub struct Links {
    hash: gix::hash::Kind,
    /// By the last bits of their ids.
    recent: Vec<Option<Link>>,
    gathered: Vec<Link>,
    meetings: Meetings,
    /// The trees inside the one that is looked at.
    inside: Vec<u64>,
    /// How many objects were seen since names were handed over.
    seen: usize,
    all: Arc<Mutex<All>>,
}

/// What the clones of [`Links`] found together.
#[derive(Default)]
pub struct All {
    /// Sorted, and each once, up to `distinct`.
    links: Vec<Link>,
    distinct: usize,
    seen: usize,
    given_up: bool,
    nesting: Nesting,
}

impl Links {
    /// Nothing noted yet; what is found will be in the second value.
    pub fn new(hash: gix::hash::Kind) -> (Self, Arc<Mutex<All>>) {
        let all = Arc::default();
        (Links::to(hash, &all), all)
    }

    fn to(hash: gix::hash::Kind, all: &Arc<Mutex<All>>) -> Self {
        Links {
            hash,
            recent: vec![None; RECENT],
            gathered: Vec::new(),
            meetings: Meetings::new(),
            inside: Vec::new(),
            seen: 0,
            all: all.clone(),
        }
    }

    /// Note what object `id`, of this kind and content, names.
    pub fn note(&mut self, id: &oid, kind: Kind, content: &[u8]) {
        self.seen += 1;
        let whole = match kind {
            Kind::Blob => Some(()),
            Kind::Tree => self.note_tree(id, content),
            Kind::Commit => self.note_commit(content),
            Kind::Tag => history::target(content, self.hash).map(|(id, kind)| self.add(Link { id, kind })),
        };
        if whole.is_none() {
            self.give_up();
        }
    }

    /// There is an object that was not noted: the pack does not count as closed.
    pub fn give_up(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        *all = All { given_up: true, ..All::default() };
    }

    fn note_tree(&mut self, id: &oid, content: &[u8]) -> Option<()> {
        self.inside.clear();
        for entry in entries(content, self.hash) {
            let entry = entry.ok()?;
            if let Some(kind) = entry.kind() {
                self.add(Link { id: entry.id.to_owned(), kind });
                if kind == Kind::Tree {
                    self.inside.push(first_bits(entry.id));
                }
            }
        }
        self.meetings.note(first_bits(id), &self.inside);
        if self.meetings.edges().len() >= GATHERED {
            self.hand_over();
        }
        Some(())
    }

    fn note_commit(&mut self, content: &[u8]) -> Option<()> {
        let (tree, parents, _) = history::names(content, self.hash)?;
        self.add(Link { id: tree, kind: Kind::Tree });
        parents.into_iter().for_each(|id| self.add(Link { id, kind: Kind::Commit }));
        Some(())
    }

    fn add(&mut self, link: Link) {
        let last = link.id.as_bytes().last_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let recent = &mut self.recent[usize::from(last) % RECENT];
        if recent.replace(link) != Some(link) {
            self.gathered.push(link);
            if self.gathered.len() == GATHERED {
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.seen += std::mem::take(&mut self.seen);
        all.take(&mut self.gathered, self.meetings.edges());
    }
}

impl Clone for Links {
    fn clone(&self) -> Self {
        Links::to(self.hash, &self.all)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl All {
    fn take(&mut self, links: &mut Vec<Link>, edges: &mut Vec<Edge>) {
        if self.given_up {
            links.clear();
            edges.clear();
            return;
        }
        self.nesting.append(edges);
        self.links.append(links);
        if self.links.len() > 2 * self.distinct + UNSORTED {
            self.links.sort_unstable();
            self.links.dedup();
            self.distinct = self.links.len();
            if self.distinct > NAMES + NAMES_EACH * self.seen {
                *self = All { given_up: true, ..All::default() };
            }
        }
    }

    /// True if all that was named is among `rows`, which are in `order`, and is of the kind that it was named as.
    pub fn are_among(&self, rows: &Rows, order: &ById) -> bool {
        !self.given_up
            && self.links.iter().all(|link| {
                let mut places = order.find(&link.id, |row| rows.id(row));
                places.next().is_some_and(|place| rows.kind(order.numbers[place as usize]) == Some(link.kind))
            })
    }

    /// True if a tree may lie in so many others that no git walks through it (`limit`: core.maxTreeDepth).
    pub fn may_be_too_deep(&mut self, limit: i64) -> bool {
        self.nesting.may_reach(limit)
    }
}

/// What a tree is called in an [`Edge`].
fn first_bits(id: &oid) -> u64 {
    id.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
