//! Which deltas of a pack are based on which objects.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use gix::oid;

use super::{
    by_id::ById,
    rows::{Base, Ids, Rows},
};

/// Who is based on whom.
pub struct Plan {
    /// The rows based on row `n` by offset are `children[starts[n]..starts[n + 1]]`.
    starts: Vec<u32>,
    children: Vec<u32>,
    /// The reference deltas in the order of their bases' ids, and the row of each.
    by_base: ById,
    ref_rows: Vec<u32>,
    /// The reference deltas that somebody resolves: an object may be twice in a pack.
    pub claimed: Vec<AtomicBool>,
    /// The whole objects that something is based on.
    pub roots: Vec<u32>,
    /// The reference deltas of each root, if there are any at all.
    pub root_refs: Vec<Range<u32>>,
}

impl Plan {
    /// The plan for `rows`, of which `ids` has the ids of whole objects.
    pub fn new(rows: &Rows, ids: &Ids) -> Self {
        let mut starts = vec![0u32; rows.count() as usize + 1];
        let mut ref_rows = vec![0; rows.refs() as usize];
        for (row, entry) in (0..).zip(rows.iter()) {
            match entry.base {
                Base::None(_) => {}
                Base::Row(base) => starts[base as usize + 1] += 1,
                Base::Ref(number) => ref_rows[number as usize] = row,
            }
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut free = starts.clone();
        let mut children = vec![0; starts.last().copied().unwrap_or(0) as usize];
        for (row, entry) in (0..).zip(rows.iter()) {
            if let Base::Row(base) = entry.base {
                children[free[base as usize] as usize] = row;
                free[base as usize] += 1;
            }
        }
        let by_base = ById::new(rows.refs(), |number| rows.ref_base(number));
        let claimed = ref_rows.iter().map(|_| AtomicBool::new(false)).collect();
        let mut plan = Plan { starts, children, by_base, ref_rows, claimed, roots: Vec::new(), root_refs: Vec::new() };
        for (row, entry) in (0..).zip(rows.iter()) {
            if matches!(entry.base, Base::None(_)) {
                let refs = plan.refs_to(rows, ids.get(row));
                if !refs.is_empty() || !plan.based_on(row).is_empty() {
                    plan.roots.push(row);
                    plan.root_refs.push(refs);
                }
            }
        }
        plan
    }

    /// Which of `children` are based on `row`.
    pub fn based_on(&self, row: u32) -> Range<u32> {
        self.starts[row as usize]..self.starts[row as usize + 1]
    }

    /// Which of `by_base` are based on object `id`.
    pub fn refs_to(&self, rows: &Rows, id: &oid) -> Range<u32> {
        self.by_base.find(id, |number| rows.ref_base(number))
    }

    /// The next row among those `children` and `refs`, which is then the caller's to resolve.
    pub fn next(&self, children: &mut Range<u32>, refs: &mut Range<u32>) -> Option<u32> {
        if let Some(at) = children.next() {
            return Some(self.children[at as usize]);
        }
        refs.map(|at| self.by_base.numbers[at as usize]).find_map(|number| {
            let claimed = self.claimed[number as usize].swap(true, Ordering::Relaxed);
            (!claimed).then(|| self.ref_rows[number as usize])
        })
    }
}
