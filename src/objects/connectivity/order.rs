//! The trees of new commits, in an order in which each is compared with what is known by then.

use gix::{ObjectId, hashtable::HashSet, objs::Kind};

use super::{commits::Commits, hole::Hole, trees::Trees};

impl Commits<'_, '_> {
    /// Ask for the tree of each new commit, parents first, so that each can be compared with what is known by then.
    pub(super) fn require_trees(&self, trees: &mut Trees<'_, '_>) -> Result<(), Hole> {
        for (id, place) in &self.places {
            trees.assume(*id, Kind::Commit);
            if place.is_sound {
                continue;
            }
            for parent in
                place.commit.parents.iter().filter_map(|id| self.places.get(id)).filter(|place| place.is_sound)
            {
                trees.assume_tree(parent.commit.tree);
            }
        }
        for id in self.parents_first() {
            let Some(place) = self.places.get(&id) else { continue };
            let parents = place.commit.parents.iter().filter_map(|id| self.places.get(id));
            let bases = parents.map(|parent| parent.commit.tree).collect();
            trees.require(place.commit.tree, Kind::Tree, bases)?;
            trees.walk()?;
        }
        trees.walk()
    }

    fn parents_first(&self) -> Vec<ObjectId> {
        let mut ordered = Vec::new();
        let mut entered = HashSet::default();
        let new = |id: &ObjectId| self.places.get(id).filter(|place| !place.is_sound);
        for start in self.places.keys() {
            // Each with how many of its parents were gone into.
            let mut path: Vec<(ObjectId, usize)> = Vec::new();
            if new(start).is_some() && entered.insert(*start) {
                path.push((*start, 0));
            }
            while let Some((id, gone_into)) = path.last_mut() {
                match new(id).and_then(|place| place.commit.parents.get(*gone_into)) {
                    Some(parent) => {
                        *gone_into += 1;
                        if new(parent).is_some() && entered.insert(*parent) {
                            path.push((*parent, 0));
                        }
                    }
                    None => {
                        ordered.push(*id);
                        path.pop();
                    }
                }
            }
        }
        ordered
    }
}
