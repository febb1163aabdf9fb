//! Whether one commit is an ancestor of another: what makes a branch's update a fast-forward.

use std::{collections::BinaryHeap, mem::take};

use anyhow::{Context, Result};
use gix::ObjectId;

use super::{
    history::{Age, Commit, History},
    met::Met,
};

/// Reached from the descendant.
const BELOW: u8 = 1;
/// Reached from the ancestor.
const BEHIND: u8 = 2;

/// True if `ancestor` can be reached from `descendant`, or is the same commit.
///
/// Both histories are walked side by side, youngest first, until they are one; so it costs what lies between them, not
/// what lies behind. Generation numbers end it earlier. An end that is no commit, or a missing commit in between, is an error.
pub fn is_ancestor(history: &History<'_>, ancestor: ObjectId, descendant: ObjectId) -> Result<bool> {
    let mut walk = Walk { met: Met::default(), queue: BinaryHeap::new(), undecided: 0 };
    let goal = walk.meet(ancestor, || history.recall(&ancestor))?;
    walk.mark(goal, BEHIND);
    let start = walk.meet(descendant, || history.recall(&descendant))?;
    walk.mark(start, BELOW);
    let oldest = walk.met[goal].commit.age;
    while walk.undecided > 0 && !walk.is_below(goal) {
        let Some((age, _, number)) = walk.queue.pop() else { break };
        let place = &mut walk.met[number];
        place.waiting = false;
        let mark = place.mark;
        if mark == BELOW {
            walk.undecided -= 1;
            if age.cannot_reach(oldest) {
                continue;
            }
        }
        // It may have to pass on another mark later.
        let parents = take(&mut place.commit.parents);
        for parent in &parents {
            let number = walk.meet(parent.id, || history.recall_parent(parent))?;
            walk.mark(number, mark);
        }
        walk.met[number].commit.parents = parents;
    }
    Ok(walk.is_below(goal))
}

struct Walk {
    met: Met<Place>,
    /// The youngest first; those of one age by their ids, whichever way led to them.
    queue: BinaryHeap<(Age, ObjectId, usize)>,
    /// How many in the queue are reached from the descendant alone: without one there is nothing left to find.
    undecided: usize,
}

struct Place {
    commit: Commit,
    mark: u8,
    waiting: bool,
}

impl Walk {
    fn is_below(&self, number: usize) -> bool {
        self.met[number].mark & BELOW != 0
    }

    /// The number of commit `id`, which `recall` gets if it was not met yet.
    fn meet(&mut self, id: ObjectId, recall: impl FnOnce() -> Option<Commit>) -> Result<usize> {
        if let Some(number) = self.met.number(&id) {
            return Ok(number);
        }
        let commit = recall().with_context(|| format!("cannot read commit {id}"))?;
        Ok(self.met.add(id, Place { commit, mark: 0, waiting: false }))
    }

    fn mark(&mut self, number: usize, mark: u8) {
        let place = &mut self.met[number];
        let before = place.mark;
        place.mark |= mark;
        if place.mark == before {
            return;
        }
        // The queue holds a commit once; it counts as undecided while nothing but the descendant reaches it.
        self.undecided -= usize::from(place.waiting && before == BELOW);
        self.undecided += usize::from(place.mark == BELOW);
        if !place.waiting {
            place.waiting = true;
            self.queue.push((place.commit.age, self.met.id(number), number));
        }
    }
}
