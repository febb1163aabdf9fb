//! How deep the trees of a pack lie in each other, as far as that can be told without a walk through them.
//!
//! Each tree inside another is noted as an edge between some bits of their ids. Most trees are a version of one that was met
//! shortly before, and hold mostly the same: such a tree is noted as if that one were inside it, and held the rest as well. Then
//! the innermost trees are taken off, layer by layer: an edge goes whose inner tree has nothing inside. All this can make trees
//! look deeper than they are, never less deep.

/// So many layers are taken off, which no repository of people has; what is left then is for a walk.
const LAYERS: i64 = 128;

/// So many edges are kept at most: 128 MiB.
const EDGES: usize = 1 << 23;

/// How many bits of a set are there for each edge, so that few inner trees are taken for outer ones; and all of them at most.
const BITS_EACH: usize = 16;
const BITS: usize = 1 << 26;

/// A tree, by some bits of its id, and one inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    pub outer: u64,
    pub inner: u64,
}

/// Of how many trees it is known what they were met in last.
const MET: usize = 1 << 15;

/// What one thread meets.
pub struct Meetings {
    /// Trees, by their last bits, and what holds them: for each there is an edge.
    met: Vec<Edge>,
    edges: Vec<Edge>,
}

impl Meetings {
    /// None so far.
    pub fn new() -> Self {
        // No tree's last bits lead to where this one is.
        let none = |place: usize| Edge { outer: 0, inner: !(place as u64) };
        Meetings { met: (0..MET).map(none).collect(), edges: Vec::new() }
    }

    /// In the tree `outer` are these.
    pub fn note(&mut self, outer: u64, inside: &[u64]) {
        let version = inside.iter().find_map(|tree| self.holder(*tree));
        let shared = inside.iter().filter(|tree| self.holder(**tree) == version).count();
        let holder = version.filter(|_| shared * 2 > inside.len()).unwrap_or(outer);
        if holder != outer {
            self.edges.push(Edge { outer, inner: holder });
        }
        for &inner in inside {
            if self.holder(inner) != Some(holder) {
                let edge = Edge { outer: holder, inner };
                self.edges.push(edge);
                self.met[inner as usize % MET] = edge;
            }
        }
    }

    fn holder(&self, tree: u64) -> Option<u64> {
        let met = self.met[tree as usize % MET];
        (met.inner == tree).then_some(met.outer)
    }

    /// The edges since they were cleared last.
    pub fn edges(&mut self) -> &mut Vec<Edge> {
        &mut self.edges
    }
}

/// The edges of a pack.
#[derive(Debug, Default)]
pub struct Nesting {
    edges: Vec<Edge>,
    overflowed: bool,
}

impl Nesting {
    /// Take these over.
    pub fn append(&mut self, edges: &mut Vec<Edge>) {
        self.overflowed |= self.edges.len() + edges.len() > EDGES;
        match self.overflowed {
            true => edges.clear(),
            false => self.edges.append(edges),
        }
    }

    /// True if there may be a tree inside of `limit` others.
    pub fn may_reach(&mut self, limit: i64) -> bool {
        if self.overflowed || limit <= 0 {
            return true;
        }
        let mut edges = std::mem::take(&mut self.edges);
        for _ in 1..limit.min(LAYERS) {
            let outer = Bits::of(&edges);
            edges.retain(|edge| outer.contains(edge.inner));
            if edges.is_empty() {
                return false;
            }
        }
        true
    }
}

/// The outer trees of some edges, and hardly any other: a Bloom filter.
struct Bits {
    words: Vec<u64>,
    mask: u64,
}

impl Bits {
    fn of(edges: &[Edge]) -> Self {
        let bits = (edges.len() * BITS_EACH).clamp(64, BITS).next_power_of_two();
        let mut set = Bits { words: vec![0; bits / 64], mask: bits as u64 - 1 };
        for edge in edges {
            for (word, bit) in set.places(edge.outer) {
                set.words[word] |= bit;
            }
        }
        set
    }

    fn contains(&self, tree: u64) -> bool {
        self.places(tree).into_iter().all(|(word, bit)| self.words[word] & bit != 0)
    }

    fn places(&self, tree: u64) -> [(usize, u64); 3] {
        [0, 21, 38].map(|shift| {
            let number = (tree >> shift) & self.mask;
            (number as usize / 64, 1 << (number % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trees that are called by random numbers, each inside the one before.
    fn chain(len: u64) -> Vec<Edge> {
        let name = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (1..len).map(|number| Edge { outer: name(number - 1), inner: name(number) }).collect()
    }

    fn reach(mut edges: Vec<Edge>, limit: i64) -> bool {
        let mut nesting = Nesting::default();
        nesting.append(&mut edges);
        nesting.may_reach(limit)
    }

    #[test]
    fn trees_that_lie_deep_enough_in_each_other_are_found() {
        for (trees, limit) in [(11, 10), (12, 10), (65, 64), (129, 2048), (10_000, 2048), (2, 1), (1, 0)] {
            assert!(reach(chain(trees), limit), "{trees} {limit}");
        }
    }

    #[test]
    fn a_pack_that_is_wide_and_flat_has_none() {
        for (trees, limit) in [(10, 10), (9, 2048), (2, 2), (1, 2)] {
            assert!(!reach(chain(trees), limit), "{trees} {limit}");
        }
        let name = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let wide = (0..100_000).map(|number| Edge { outer: name(number), inner: name(number % 100 + 100_000) });
        assert!(!reach(wide.collect(), 2048));
    }

    #[test]
    fn versions_of_a_tree_are_noted_by_what_is_new_in_them() {
        let name = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut meetings = Meetings::new();
        let mut inside: Vec<u64> = (0..1000).map(name).collect();
        for version in 0..1000 {
            inside[version as usize] = name(10_000 + version);
            meetings.note(name(100_000 + version), &inside);
        }
        assert!(meetings.edges().len() < 3000, "{}", meetings.edges().len());
        assert!(!reach(std::mem::take(meetings.edges()), 2048));
        // A chain that begins in one of them is as long as it was.
        for outer in 0..2100 {
            meetings.note(name(100_999 + outer), &[name(101_000 + outer)]);
        }
        meetings.note(name(5), &inside);
        inside[7] = name(100_999);
        meetings.note(name(6), &inside);
        assert!(reach(std::mem::take(meetings.edges()), 2048));
    }

    #[test]
    fn what_goes_round_in_circles_is_taken_for_deep() {
        assert!(reach(vec![Edge { outer: 1, inner: 2 }, Edge { outer: 2, inner: 1 }], 2048));
    }
}
