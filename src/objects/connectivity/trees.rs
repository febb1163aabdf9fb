//! The trees and blobs of new commits: all that is not known to be there is looked for.
//!
//! A tree is compared with the trees at the same path in the commit's parents, and only what differs is entered. There is
//! no recursion: what is to be entered waits in a list, so that neither depth nor width needs more than that list.

use std::cmp::Ordering;

use gix::{ObjectId, hashtable::HashMap, objs::Kind};

use super::{
    Check,
    commits::{Effort, Place},
    hole::Hole,
};
use crate::objects::{
    met::Met,
    tree_entries::{Entry, entries},
};

/// The objects below commits.
///
/// An object is in `sound` if it is known to be there with all that it reaches, or waits to be looked at: since one hole
/// fails the whole walk, a walk that comes to its end has shown it for all of them. The commits that were met are not
/// among them, since they may be very many: whoever looks for trees and blobs has them at hand.
pub struct Trees<'c, 'a> {
    check: &'c Check<'a>,
    sound: HashMap<ObjectId, Kind>,
    /// Trees to be read.
    waiting: Vec<Waiting>,
    effort: Effort,
}

/// A tree to be read.
struct Waiting {
    id: ObjectId,
    /// Those that it is to be compared with.
    bases: Vec<ObjectId>,
    /// How many trees were entered on the way to it.
    depth: i64,
}

impl<'c, 'a> Trees<'c, 'a> {
    /// Nothing is known to be there yet.
    pub fn new(check: &'c Check<'a>, effort: Effort) -> Self {
        Trees { check, sound: HashMap::default(), waiting: Vec::new(), effort }
    }

    /// Object `id`, a `kind`, is there with all that it reaches.
    pub fn assume(&mut self, id: ObjectId, kind: Kind) {
        self.sound.entry(id).or_insert(kind);
    }

    /// What cannot be read on the way is passed over.
    fn assume_below(&mut self, id: ObjectId) {
        let mut waiting = vec![id];
        let mut buffer = Vec::new();
        self.assume(id, Kind::Tree);
        while let Some(id) = waiting.pop() {
            if !matches!(self.check.database.find(&id, &mut buffer), Ok(Some(Kind::Tree))) {
                continue;
            }
            for entry in entries(&buffer, self.check.hash).map_while(Result::ok) {
                let Some(kind) = entry.kind() else { continue };
                if self.sound.insert(entry.id.to_owned(), kind).is_none() && kind == Kind::Tree {
                    waiting.push(entry.id.to_owned());
                }
            }
        }
    }

    /// Tree `id` is there with all that it reaches; a thorough walk takes note of each object below it.
    pub fn assume_tree(&mut self, id: ObjectId) {
        match self.effort {
            Effort::Frugal => self.assume(id, Kind::Tree),
            Effort::Thorough => self.assume_below(id),
        }
    }

    /// What object `id` is taken for.
    pub fn kind(&self, id: &gix::oid) -> Option<Kind> {
        self.sound.get(id).copied()
    }

    /// True if object `id` needs no look any more.
    pub fn knows(&self, id: &gix::oid) -> bool {
        self.sound.contains_key(id)
    }

    /// Object `id` must be there, and if it is a tree all that it reaches. `bases` are trees at the same path elsewhere,
    /// the sound ones of which spare looking at what they hold. It must be none of the commits that were `met`.
    pub fn require(&mut self, id: ObjectId, kind: Kind, bases: Vec<ObjectId>, met: &Met<Place>) -> Result<(), Hole> {
        self.require_at(0, id, kind, bases, met)
    }

    fn require_at(
        &mut self,
        depth: i64,
        id: ObjectId,
        kind: Kind,
        mut bases: Vec<ObjectId>,
        met: &Met<Place>,
    ) -> Result<(), Hole> {
        match self.sound.insert(id, kind) {
            None if met.contains(&id) => return Err(Hole::Ambiguous { id, first: Kind::Commit, then: kind }),
            None => {}
            Some(first) if first == kind => return Ok(()),
            Some(first) => return Err(Hole::Ambiguous { id, first, then: kind }),
        }
        if self.check.is_delivered(&id) {
            return Ok(());
        }
        if kind == Kind::Tree {
            bases.sort_unstable();
            bases.dedup();
            if depth > self.check.max_tree_depth {
                return Err(Hole::TooDeep);
            }
            self.waiting.push(Waiting { id, bases, depth });
            return Ok(());
        }
        self.check.progress.tick();
        let database = self.check.database;
        if database.is_quarantined(&id) {
            return Ok(());
        }
        if !database.contains(&id) {
            return if self.check.is_owed(&id) { Ok(()) } else { Err(Hole::Blob(id)) };
        }
        match database.header(&id) {
            // git minds only if it met the object as what it is, which is for the thorough walk to see.
            Ok(Some((first, _))) if first != Kind::Blob && self.effort == Effort::Frugal => {
                Err(Hole::Ambiguous { id, first, then: kind })
            }
            _ => Ok(()),
        }
    }

    /// Read all trees that wait, and what they lead to.
    pub fn walk(&mut self, met: &Met<Place>) -> Result<(), Hole> {
        let mut content = Vec::new();
        let mut buffer = Vec::new();
        while let Some(Waiting { id, bases, depth }) = self.waiting.pop() {
            self.check.progress.tick();
            match self.check.database.find(&id, &mut content) {
                Ok(Some(Kind::Tree)) => {}
                Ok(Some(_)) => return Err(Hole::NoTree(id)),
                _ if self.check.is_owed(&id) => continue,
                _ => return Err(Hole::Tree(id)),
            }
            let mut open = Vec::new();
            for entry in entries(&content, self.check.hash) {
                let entry = entry.map_err(|_| Hole::MalformedTree(id))?;
                if let Some(kind) = entry.kind() {
                    open.push(Open { kind, entry, bases: Vec::new() });
                }
            }
            for base in bases {
                if !open.is_empty() && self.sound.get(&base) == Some(&Kind::Tree) {
                    self.compare(&mut open, base, &mut buffer, met);
                }
            }
            for Open { kind, entry, bases } in open {
                self.require_at(depth + 1, entry.id.to_owned(), kind, bases, met)?;
            }
        }
        Ok(())
    }

    /// Take out of `open` what the sound tree `base` holds too, under the same name.
    fn compare(&mut self, open: &mut Vec<Open<'_>>, base: ObjectId, buffer: &mut Vec<u8>, met: &Met<Place>) {
        if !matches!(self.check.database.find(&base, buffer), Ok(Some(Kind::Tree))) {
            return;
        }
        self.check.progress.tick();
        // Both are in order, or else fewer are found to be the same.
        let mut held = entries(buffer, self.check.hash).map_while(Result::ok).peekable();
        open.retain_mut(|new| {
            while held.next_if(|old| order(old, &new.entry) == Ordering::Less).is_some() {}
            let Some(old) = held.peek().filter(|old| old.name == new.entry.name && old.kind() == Some(new.kind)) else {
                return true;
            };
            if old.id == new.entry.id {
                return false;
            }
            if new.kind == Kind::Tree
                && !met.contains(old.id)
                && *self.sound.entry(old.id.to_owned()).or_insert(Kind::Tree) == Kind::Tree
            {
                new.bases.push(old.id.to_owned());
            }
            true
        });
    }
}

/// An entry that nothing is known of yet.
struct Open<'a> {
    kind: Kind,
    entry: Entry<'a>,
    bases: Vec<ObjectId>,
}

/// The order of entries in a tree: by name, that of a tree ending in a slash.
fn order(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    let end = |entry: &Entry<'_>| if entry.kind() == Some(Kind::Tree) { b'/' } else { 0 };
    let both = a.name.len().min(b.name.len());
    let rest = |entry: &Entry<'_>| entry.name.get(both).copied().unwrap_or(end(entry));
    a.name[..both].cmp(&b.name[..both]).then_with(|| rest(a).cmp(&rest(b)))
}
