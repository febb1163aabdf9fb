//! Which commits a push brings: walked from the new values, until each line of history meets what a ref reaches.
//!
//! "Sound" is a commit, or any other object, that a ref or an alternate's ref reaches: it and all below it are taken to be
//! there. That a commit is in the database shows nothing: it may be what an interrupted push or a prune has left over.

use std::{collections::BinaryHeap, mem::take};

use gix::{
    ObjectId,
    hashtable::{HashMap, HashSet},
    objs::Kind,
};

use super::{Check, hole::Hole, trees::Trees};
use crate::objects::{
    history::{Age, Commit, Parent, target},
    met::Met,
};

/// How far to go for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Look at what the push brings, and at no more of the rest than it takes to show that it is reached. Finds a hole where
    /// there is none if a ref reaches objects that are not all there.
    Frugal,
    /// As git's own walk does: start from all refs, and take for sound every object below the commits that are met.
    Thorough,
}

/// The walk through commits. Trees, blobs and tags are handed on to [`Trees`] as they are met.
pub struct Commits<'c, 'a> {
    check: &'c Check<'a>,
    pub(super) met: Met<Place>,
    /// The youngest first; those of one age by their ids, whichever way led to them.
    queue: BinaryHeap<(Age, ObjectId, usize)>,
    /// How many in the queue are not known to be sound.
    open: usize,
    all_tips_queued: bool,
    beside_history: bool,
}

pub(super) struct Place {
    pub(super) commit: Commit,
    pub(super) is_sound: bool,
    /// In the queue: its parents are still to be met.
    waits: bool,
}

impl<'c, 'a> Commits<'c, 'a> {
    /// Find out what is new below `values`, and look for all that hangs on it.
    pub fn walk(
        check: &'c Check<'a>,
        values: &[ObjectId],
        effort: Effort,
        trees: &mut Trees<'_, '_>,
    ) -> Result<(), Hole> {
        let mut this = Self::new(check);
        this.settle(values, effort, trees)?;
        this.require_trees(trees)
    }

    /// The commits below `value`, itself included, that no ref reaches; their trees are not looked for.
    pub fn new_below(
        check: &'c Check<'a>,
        value: ObjectId,
        trees: &mut Trees<'_, '_>,
    ) -> Result<HashSet<ObjectId>, Hole> {
        let mut this = Self::new(check);
        this.settle(&[value], Effort::Frugal, trees)?;
        Ok(this.met.iter().filter(|(_, place)| !place.is_sound).map(|(id, _)| *id).collect())
    }

    fn new(check: &'c Check<'a>) -> Self {
        Commits {
            check,
            met: Met::default(),
            queue: BinaryHeap::new(),
            open: 0,
            all_tips_queued: false,
            beside_history: false,
        }
    }

    fn settle(&mut self, values: &[ObjectId], effort: Effort, trees: &mut Trees<'_, '_>) -> Result<(), Hole> {
        let left = match effort {
            Effort::Frugal => {
                let old = self.expand(values)?;
                self.drop_tips(old, trees)
            }
            Effort::Thorough => {
                self.queue_all_tips(trees);
                values.to_vec()
            }
        };
        for id in left {
            self.open(id, trees)?;
        }
        if self.open > 0 {
            // The values that this push is about to replace are the likeliest to reach what it builds on.
            for id in self.check.current.iter().copied() {
                self.queue_tip(id, trees);
            }
        }
        self.meet_history(trees)
    }

    /// Walk the commits that the push brought, and return what ends it: values that are no commits, and what was there before.
    fn expand(&mut self, values: &[ObjectId]) -> Result<Vec<ObjectId>, Hole> {
        let check = self.check;
        let mut ends: HashMap<ObjectId, Option<ObjectId>> = HashMap::default();
        let mut waiting: Vec<(ObjectId, Option<ObjectId>)> = values.iter().map(|id| (*id, None)).collect();
        while let Some((id, child)) = waiting.pop() {
            // What a commit names as its parent has to be one.
            let is_met = ends.get(&id).is_some_and(|first| first.is_some() || child.is_none());
            if is_met || self.met.contains(&id) {
                continue;
            }
            if check.database.is_quarantined(&id)
                && let Some(commit) = check.history.read(&id)
            {
                check.progress.tick();
                waiting.extend(commit.parents.iter().map(|parent| (parent.id, Some(id))));
                self.met.add(id, Place { commit, is_sound: false, waits: false });
                continue;
            }
            if let Some(child) = child {
                match check.database.header(&id) {
                    Ok(Some((Kind::Commit, _))) => {}
                    Ok(None) if check.is_owed(&id) => continue,
                    _ => return Err(self.lost_parent(id, child)),
                }
            }
            ends.insert(id, child);
        }
        Ok(ends.into_keys().collect())
    }

    /// Those of `old` that are no ref's value; the others are sound, provided that they are there.
    fn drop_tips(&mut self, old: Vec<ObjectId>, trees: &mut Trees<'_, '_>) -> Vec<ObjectId> {
        let mut left: HashSet<ObjectId> = old.iter().copied().collect();
        let mut tips = HashSet::default();
        for id in &self.check.current {
            if left.remove(id) {
                tips.insert(*id);
            }
        }
        if !left.is_empty() {
            for id in self.check.tips.all() {
                if left.remove(&id) {
                    tips.insert(id);
                    if left.is_empty() {
                        break;
                    }
                }
            }
        }
        for id in tips {
            if !self.note_tip(id, trees) {
                left.insert(id);
            }
        }
        old.into_iter().filter(|id| left.contains(id)).collect()
    }

    /// Take the value of a ref for sound without walking on from it. False if it is not there.
    fn note_tip(&mut self, id: ObjectId, trees: &mut Trees<'_, '_>) -> bool {
        let check = self.check;
        // The commit-graph does not show that it is there.
        let recorded = check.history.recorded(&id).filter(|_| check.database.contains(&id));
        if let Some(commit) = recorded.or_else(|| check.history.read(&id)) {
            // It waits, so that the walk can go on from it where the rest of history turns out to be needed.
            self.add(id, commit, true);
            return true;
        }
        match check.database.header(&id) {
            Ok(Some((kind, _))) => trees.assume(id, kind),
            _ => return check.is_delivered(&id),
        }
        true
    }

    /// A value, or what a tag names, that is not known to be sound: open tags up to what they lead to.
    fn open(&mut self, mut id: ObjectId, trees: &mut Trees<'_, '_>) -> Result<(), Hole> {
        let check = self.check;
        let mut named_as = None;
        let mut buffer = Vec::new();
        loop {
            // What is vouched for may still be a hole of the repository's; a value has to be there.
            let may_be_hole = named_as.is_none() && !check.database.contains(&id);
            if !may_be_hole && let Some(kind) = self.kind(&id, trees) {
                return if named_as.is_none_or(|name| name == kind) { Ok(()) } else { Err(Hole::Object(id)) };
            }
            if check.is_delivered(&id) {
                return Ok(());
            }
            let kind = match check.database.find(&id, &mut buffer) {
                Ok(Some(kind)) if named_as.is_none_or(|name| name == kind) => kind,
                Ok(None) if check.is_owed(&id) => return Ok(()),
                _ => return Err(Hole::Object(id)),
            };
            check.progress.tick();
            match kind {
                Kind::Commit => {
                    let commit = check.history.parse(&id, &buffer).ok_or(Hole::Object(id))?;
                    self.add(id, commit, false);
                    return Ok(());
                }
                Kind::Tag => {
                    trees.assume(id, Kind::Tag);
                    let (target, kind) = target(&buffer, check.hash).ok_or(Hole::Object(id))?;
                    (id, named_as) = (target, Some(kind));
                }
                kind => return trees.require(id, kind, Vec::new(), &self.met),
            }
        }
    }

    /// Walk on, the youngest first, until everything that is left is sound.
    fn meet_history(&mut self, trees: &mut Trees<'_, '_>) -> Result<(), Hole> {
        while self.open > 0 {
            let Some((age, id, number)) = self.queue.pop() else { break };
            let place = &mut self.met[number];
            if !place.is_sound && !self.all_tips_queued {
                // Unless clocks were wrong, nothing that waits can reach it any more: other refs are needed.
                self.queue.push((age, id, number));
                self.queue_all_tips(trees);
                continue;
            }
            place.waits = false;
            let is_sound = place.is_sound;
            self.open -= usize::from(!is_sound);
            // Nobody asks for those of a sound one again.
            let parents = if is_sound { take(&mut place.commit.parents) } else { place.commit.parents.clone() };
            for parent in &parents {
                self.meet(parent, is_sound, number)?;
            }
        }
        Ok(())
    }

    fn meet(&mut self, parent: &Parent, is_sound: bool, child: usize) -> Result<(), Hole> {
        let (check, id) = (self.check, parent.id);
        if let Some(number) = self.met.number(&id) {
            if is_sound {
                self.vouch_for(number);
            }
            return Ok(());
        }
        if is_sound {
            // A hole behind what a ref reaches is none of this push's.
            if let Some(commit) = check.history.recall_parent(parent) {
                self.put(id, commit, true);
            }
            return Ok(());
        }
        if check.is_delivered(&id) {
            return Ok(());
        }
        check.progress.tick();
        match check.history.read(&id) {
            Some(commit) => self.put(id, commit, false),
            None if !check.database.contains(&id) && check.is_owed(&id) => {}
            None => return Err(self.lost_parent(id, self.met.id(child))),
        }
        Ok(())
    }

    /// Everything that is known to be behind commit `number` is sound, and so is it.
    fn vouch_for(&mut self, number: usize) {
        let mut waiting = vec![number];
        while let Some(number) = waiting.pop() {
            let place = &mut self.met[number];
            if place.is_sound {
                continue;
            }
            place.is_sound = true;
            if place.waits {
                self.open -= 1;
            } else {
                let parents = &self.met[number].commit.parents;
                waiting.extend(parents.iter().filter_map(|parent| self.met.number(&parent.id)));
            }
        }
    }

    fn add(&mut self, id: ObjectId, commit: Commit, is_sound: bool) {
        match self.met.number(&id) {
            Some(number) if is_sound => self.vouch_for(number),
            Some(_) => {}
            None => self.put(id, commit, is_sound),
        }
    }

    /// [Add](Self::add) one that was not met before.
    fn put(&mut self, id: ObjectId, commit: Commit, is_sound: bool) {
        self.open += usize::from(!is_sound);
        let age = commit.age;
        let number = self.met.add(id, Place { commit, is_sound, waits: true });
        self.queue.push((age, id, number));
    }

    fn queue_all_tips(&mut self, trees: &mut Trees<'_, '_>) {
        self.all_tips_queued = true;
        let check = self.check;
        let mut seen = HashSet::default();
        for id in check.tips.all() {
            if seen.insert(id) {
                self.queue_tip(id, trees);
            }
        }
    }

    /// Take what the value `id` of a ref leads to for sound, as far as it is there.
    fn queue_tip(&mut self, mut id: ObjectId, trees: &mut Trees<'_, '_>) {
        let check = self.check;
        let mut buffer = Vec::new();
        loop {
            if let Some(number) = self.met.number(&id) {
                return self.vouch_for(number);
            }
            if trees.knows(&id) {
                return;
            }
            if let Some(commit) = check.history.recorded(&id).filter(|_| check.database.contains(&id)) {
                self.beside_history = true;
                return self.add(id, commit, true);
            }
            match check.database.find(&id, &mut buffer) {
                Ok(Some(Kind::Commit)) => {
                    if let Some(commit) = check.history.parse(&id, &buffer) {
                        self.beside_history = true;
                        self.add(id, commit, true);
                    }
                    return;
                }
                Ok(Some(Kind::Tag)) => {
                    trees.assume(id, Kind::Tag);
                    let Some((target, _)) = target(&buffer, check.hash) else { return };
                    id = target;
                }
                Ok(Some(Kind::Tree)) => return trees.assume_tree(id),
                Ok(Some(Kind::Blob)) => return trees.assume(id, Kind::Blob),
                _ => return,
            }
        }
    }

    /// What object `id` is taken for, if it needs no look any more.
    fn kind(&self, id: &gix::oid, trees: &Trees<'_, '_>) -> Option<Kind> {
        if self.met.contains(id) { Some(Kind::Commit) } else { trees.kind(id) }
    }

    fn lost_parent(&self, parent: ObjectId, child: ObjectId) -> Hole {
        let is_other = self.check.database.contains(&parent);
        Hole::Parent { parent, child, is_other, beside_history: self.beside_history }
    }
}
