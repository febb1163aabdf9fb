//! The commits that a walk has met, each under a number: a queue or a list of them takes a few bytes for each, and only the
//! numbers are moved when the table of ids grows.

use std::{
    hash::BuildHasher,
    ops::{Index, IndexMut},
};

use gix::{
    ObjectId,
    hashtable::{hash::Builder, hash_table::HashTable},
};

/// Commits in the order in which they were met, numbered from 0, and what is known of each.
pub struct Met<T> {
    commits: Vec<(ObjectId, T)>,
    numbers: HashTable<usize>,
}

impl<T> Default for Met<T> {
    fn default() -> Self {
        Met { commits: Vec::new(), numbers: HashTable::new() }
    }
}

impl<T> Met<T> {
    /// The number of commit `id`, `None` if it was not met.
    pub fn number(&self, id: &gix::oid) -> Option<usize> {
        self.numbers.find(Builder.hash_one(id), |number| *self.commits[*number].0 == *id).copied()
    }

    /// True if commit `id` was met.
    pub fn contains(&self, id: &gix::oid) -> bool {
        self.number(id).is_some()
    }

    /// What is known of commit `id`.
    pub fn get(&self, id: &gix::oid) -> Option<&T> {
        self.number(id).map(|number| &self[number])
    }

    /// Number commit `id`, which was not met before.
    pub fn add(&mut self, id: ObjectId, known: T) -> usize {
        let number = self.commits.len();
        self.commits.push((id, known));
        self.numbers.insert_unique(Builder.hash_one(id), number, |number| Builder.hash_one(self.commits[*number].0));
        number
    }

    /// The id of commit `number`.
    pub fn id(&self, number: usize) -> ObjectId {
        self.commits[number].0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &(ObjectId, T)> {
        self.commits.iter()
    }
}

impl<T> Index<usize> for Met<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        &self.commits[number].1
    }
}

impl<T> IndexMut<usize> for Met<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        &mut self.commits[number].1
    }
}
