//! The trees of new commits, in an order in which each is compared with what is known by then.

use std::mem::replace;

use gix::objs::Kind;

use super::{commits::Commits, hole::Hole, trees::Trees};

impl Commits<'_, '_> {
    /// Ask for the tree of each new commit, parents first, so that each can be compared with what is known by then.
    pub(super) fn require_trees(&self, trees: &mut Trees<'_, '_>) -> Result<(), Hole> {
        for (_, place) in self.met.iter().filter(|(_, place)| !place.is_sound) {
            let parents = place.commit.parents.iter().filter_map(|parent| self.met.get(&parent.id));
            for parent in parents.filter(|parent| parent.is_sound) {
                trees.assume_tree(parent.commit.tree);
            }
        }
        for number in self.parents_first() {
            let commit = &self.met[number].commit;
            let parents = commit.parents.iter().filter_map(|parent| self.met.get(&parent.id));
            let bases = parents.map(|parent| parent.commit.tree).collect();
            trees.require(commit.tree, Kind::Tree, bases, &self.met)?;
            trees.walk(&self.met)?;
        }
        trees.walk(&self.met)
    }

    fn parents_first(&self) -> Vec<usize> {
        let mut ordered = Vec::new();
        let mut entered = vec![false; self.met.len()];
        for start in (0..self.met.len()).filter(|start| !self.met[*start].is_sound) {
            if replace(&mut entered[start], true) {
                continue;
            }
            // Each with how many of its parents were gone into.
            let mut path = vec![(start, 0)];
            while let Some((number, gone_into)) = path.last_mut() {
                match self.met[*number].commit.parents.get(*gone_into) {
                    Some(parent) => {
                        *gone_into += 1;
                        let new = self.met.number(&parent.id).filter(|parent| !self.met[*parent].is_sound);
                        if let Some(parent) = new
                            && !replace(&mut entered[parent], true)
                        {
                            path.push((parent, 0));
                        }
                    }
                    None => {
                        ordered.push(*number);
                        path.pop();
                    }
                }
            }
        }
        ordered
    }
}
