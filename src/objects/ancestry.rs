//! Whether one commit is an ancestor of another: what makes a branch's update a fast-forward.

use std::collections::BinaryHeap;

use anyhow::{Context, Result};
use gix::{ObjectId, hashtable::HashMap};

use super::history::{Age, Commit, History};

/// Reached from the descendant.
const BELOW: u8 = 1;
/// Reached from the ancestor.
const BEHIND: u8 = 2;

/// True if `ancestor` can be reached from `descendant`, or is the same commit.
///
/// Both histories are walked side by side, youngest first, until they are one; so it costs what lies between them, not
/// what lies behind. Generation numbers end it earlier. An end that is no commit, or a missing commit in between, is an error.
pub fn is_ancestor(history: &History<'_>, ancestor: ObjectId, descendant: ObjectId) -> Result<bool> {
    let mut walk = Walk { history, marks: HashMap::default(), queue: BinaryHeap::new(), undecided: 0 };
    let goal = walk.commit(ancestor)?.age;
    walk.mark(ancestor, BEHIND)?;
    walk.mark(descendant, BELOW)?;
    while walk.undecided > 0 {
        let Some((age, id)) = walk.queue.pop() else { break };
        let Some(place) = walk.marks.get_mut(&id) else { continue };
        place.waiting = false;
        let (mark, parents) = (place.mark, place.commit.parents.clone());
        if mark == BELOW {
            walk.undecided -= 1;
            if age.cannot_reach(goal) {
                continue;
            }
        }
        for parent in parents {
            walk.mark(parent, mark)?;
        }
        if walk.is_below(&ancestor) {
            break;
        }
    }
    Ok(walk.is_below(&ancestor))
}

struct Walk<'a, 'h> {
    history: &'a History<'h>,
    marks: HashMap<ObjectId, Place>,
    queue: BinaryHeap<(Age, ObjectId)>,
    /// How many in the queue are reached from the descendant alone: without one there is nothing left to find.
    undecided: usize,
}

struct Place {
    commit: Commit,
    mark: u8,
    waiting: bool,
}

impl Walk<'_, '_> {
    fn is_below(&self, id: &ObjectId) -> bool {
        self.marks.get(id).is_some_and(|place| place.mark & BELOW != 0)
    }

    fn commit(&self, id: ObjectId) -> Result<Commit> {
        self.history.recall(&id).with_context(|| format!("cannot read commit {id}"))
    }

    fn mark(&mut self, id: ObjectId, mark: u8) -> Result<()> {
        if !self.marks.contains_key(&id) {
            let commit = self.commit(id)?;
            self.marks.insert(id, Place { commit, mark: 0, waiting: false });
        }
        let Some(place) = self.marks.get_mut(&id) else { return Ok(()) };
        let before = place.mark;
        place.mark |= mark;
        if place.mark == before {
            return Ok(());
        }
        // The queue holds a commit once; it counts as undecided while nothing but the descendant reaches it.
        self.undecided -= usize::from(place.waiting && before == BELOW);
        self.undecided += usize::from(place.mark == BELOW);
        if !place.waiting {
            place.waiting = true;
            self.queue.push((place.commit.age, id));
        }
        Ok(())
    }
}
