//! Things sorted by the ids that they go by, to be found in a step or two.
//!
//! Whoever sends a pack chooses the ids in it, so that a hash table of them could be made slow; nothing makes this slower than
//! a binary search.

use std::ops::Range;

use gix::oid;

/// The most bits of an id that lead directly to its neighbourhood.
const BITS: u32 = 16;

/// The order of things that are numbered, by their ids; the things themselves are elsewhere.
pub struct ById {
    /// The number of each thing, in that order; equal ids in the order of numbers.
    pub numbers: Vec<u32>,
    /// The first eight bytes of each id, in that order: they decide nearly always.
    prefixes: Vec<u64>,
    /// At `n` the place of the first id whose leading bits are `n` or more.
    starts: Vec<u32>,
    bits: u32,
}

impl ById {
    /// Sort the things from 0 to `count`; `id` tells the id of each.
    pub fn new<'a>(count: u32, id: impl Fn(u32) -> &'a oid) -> Self {
        let mut order = (0..count).map(|number| (prefix(id(number)), number)).collect::<Vec<_>>();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| id(a.1).cmp(id(b.1))).then(a.1.cmp(&b.1)));
        let bits = count.max(2).ilog2().min(BITS);
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (place, (prefix, _)) in (0..).zip(&order) {
            starts.resize(starts.len().max((prefix >> (u64::BITS - bits)) as usize + 1), place);
        }
        starts.resize((1 << bits) + 1, count);
        let (prefixes, numbers) = order.into_iter().unzip();
        ById { numbers, prefixes, starts, bits }
    }

    /// The places in the order of those whose id is `wanted`.
    pub fn find<'a>(&self, wanted: &oid, id: impl Fn(u32) -> &'a oid) -> Range<u32> {
        let first = prefix(wanted);
        let leading = (first >> (u64::BITS - self.bits)) as usize;
        let (from, to) = (self.starts[leading] as usize, self.starts[leading + 1] as usize);
        let near = &self.prefixes[from..to];
        let start = from + near.partition_point(|prefix| *prefix < first);
        if near.get(start - from) != Some(&first) {
            return 0..0;
        }
        let same = &self.numbers[start..start + near[start - from..].partition_point(|prefix| *prefix == first)];
        let before = same.partition_point(|&number| id(number) < wanted);
        let len = same[before..].partition_point(|&number| id(number) == wanted);
        (start + before) as u32..(start + before + len) as u32
    }
}

fn prefix(id: &oid) -> u64 {
    id.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use gix::ObjectId;

    use super::*;

    #[test]
    fn what_is_found_is_what_is_there() {
        let id = |bytes: [u8; 3]| {
            let mut id = ObjectId::null(gix::hash::Kind::Sha1);
            (id.as_mut_slice()[0], id.as_mut_slice()[1], id.as_mut_slice()[19]) = (bytes[0], bytes[1], bytes[2]);
            id
        };
        for count in [0, 1, 2, 3, 500] {
            let mut ids =
                (0..count).map(|n: u32| id([(n * 151) as u8, (n / 7) as u8, (n % 3) as u8])).collect::<Vec<_>>();
            ids.extend_from_within(0..ids.len() / 2);
            let by_id = ById::new(ids.len() as u32, |number| &ids[number as usize]);
            let in_order = by_id.numbers.iter().map(|&number| ids[number as usize]).collect::<Vec<_>>();
            assert!(in_order.is_sorted());
            for wanted in ids.iter().copied().chain([[0; 3], [255; 3], [151, 0, 2]].map(id)) {
                let places = by_id.find(&wanted, |number| &ids[number as usize]);
                let found = places.map(|place| by_id.numbers[place as usize]).collect::<Vec<_>>();
                let there = (0..).zip(&ids).filter(|(_, id)| **id == wanted).map(|(number, _)| number);
                assert_eq!(found, there.collect::<Vec<u32>>(), "{wanted} among {count}");
            }
        }
    }
}
