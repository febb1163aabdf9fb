//! The second pass over a pack: every delta becomes an object, on all cores.
//!
//! Each thread takes a whole object that others are based on and goes depth-first through what is based on it, so that a
//! base is at hand when it is needed and gone when it is not. Bases on the way down beyond a budget are dropped and made again
//! on the way up. Beside that budget a thread holds one base, one delta and one result, none larger than the limit for objects
//! that take part in deltas.

use std::{
    os::unix::fs::FileExt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, anyhow};
use gix::{ObjectId, objs::Kind, oid};

use super::{
    bases::{Bases, Frame},
    delta,
    entries::Entries,
    plan::Plan,
    progress::Progress,
    rows::{Base, Ids, Rows},
    visit::Visit,
};

/// How many bytes of bases all threads together keep for later.
const BUDGET: usize = 48 << 20;
/// The largest buffer that is kept for the next object, in bytes.
const REUSED: usize = 1 << 20;

/// Finds what the reference deltas of a thin pack are based on: reads object `id` into the buffer, if it is to be had.
pub type Borrow<'a> = dyn FnMut(&oid, &mut Vec<u8>) -> Result<Option<Kind>> + 'a;

/// How the deltas are resolved.
pub struct Settings {
    /// The number of threads, at least one.
    pub threads: usize,
    /// The largest object, in bytes, that may be a delta's base or result.
    pub limit: u64,
}

/// Resolve all deltas of the pack in `file`, show the objects to `visit` and put their ids into `rows`. Bases that are not in the
/// pack come from `borrow`. Returns how many deltas are left that have no base, and the progress to be finished.
pub fn resolve<'p, V: Visit>(
    file: &(dyn FileExt + Sync),
    rows: &mut Rows,
    visit: V,
    settings: &Settings,
    progress: Progress<'p>,
    borrow: &mut Borrow<'_>,
) -> Result<(usize, Progress<'p>)> {
    let ids = rows.take_ids();
    let plan = Plan::new(rows, &ids);
    let found = Mutex::new(Found { ids, resolved: 0, progress });
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let worker = |visit: V| Worker {
        plan: &plan,
        rows,
        found: &found,
        stop: &stop,
        limit: settings.limit,
        budget: BUDGET / settings.threads.max(1),
        visit,
        entries: Entries::new(file, rows),
        delta: Vec::new(),
        spare: Vec::new(),
        named: Vec::new(),
    };
    // A few roots are not worth a thread.
    let threads = settings.threads.min(plan.roots.len() / 16).max(1);
    thread::scope(|scope| -> Result<()> {
        let mut others = Vec::new();
        for _ in 1..threads {
            let (mut worker, next) = (worker(visit.clone()), &next);
            // Where no more can be had, those that there are do it all.
            let Ok(other) = thread::Builder::new().spawn_scoped(scope, move || worker.run(next)) else { break };
            others.push(other);
        }
        let mut mine = worker(visit);
        let mut outcome = mine.run(&next);
        for other in others {
            outcome = outcome.and(other.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))));
        }
        outcome?;
        mine.run_borrowed(borrow)
    })?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let unresolved = rows.deltas() - found.resolved;
    rows.put_ids(found.ids);
    Ok((unresolved, found.progress))
}

/// What the threads found together.
struct Found<'p> {
    ids: Ids,
    resolved: usize,
    progress: Progress<'p>,
}

struct Worker<'a, 'p, V> {
    plan: &'a Plan,
    rows: &'a Rows,
    found: &'a Mutex<Found<'p>>,
    stop: &'a AtomicBool,
    limit: u64,
    budget: usize,
    visit: V,
    entries: Entries<'a>,
    delta: Vec<u8>,
    spare: Vec<Vec<u8>>,
    /// Resolved, and not yet told.
    named: Vec<(u32, ObjectId, Kind)>,
}

impl<V: Visit> Worker<'_, '_, V> {
    /// Resolve what is based on whole objects, until there are none left or another thread failed.
    fn run(&mut self, next: &AtomicUsize) -> Result<()> {
        let outcome = self.run_roots(next);
        if outcome.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        outcome
    }

    fn run_roots(&mut self, next: &AtomicUsize) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(&row) = self.plan.roots.get(at) else { break };
            let Base::None(kind) = self.rows.get(row).base else { continue };
            let mut data = self.spare.pop().unwrap_or_default();
            self.entries.read(row, self.limit, &mut data)?;
            let (children, refs) = (self.plan.based_on(row), self.plan.root_refs[at].clone());
            self.tree(kind, Frame { row: Some(row), data: Some(data), children, refs })?;
        }
        self.tell();
        Ok(())
    }

    /// Resolve what is based on objects outside of the pack.
    fn run_borrowed(&mut self, borrow: &mut Borrow<'_>) -> Result<()> {
        for number in 0..self.rows.refs() {
            if self.plan.claimed[number as usize].load(Ordering::Relaxed) {
                continue;
            }
            let id = self.rows.ref_base(number);
            let mut data = self.spare.pop().unwrap_or_default();
            if let Some(kind) = borrow(id, &mut data)? {
                let refs = self.plan.refs_to(self.rows, id);
                self.tree(kind, Frame { row: None, data: Some(data), children: 0..0, refs })?;
            }
        }
        self.tell();
        Ok(())
    }

    /// Resolve everything that is based on `root`, an object of kind `kind`, directly or not.
    fn tree(&mut self, kind: Kind, root: Frame) -> Result<()> {
        let mut bases = Bases::new(root, self.budget);
        while let Some(top) = bases.top() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let Some(row) = self.plan.next(&mut top.children, &mut top.refs) else {
                let data = bases.pop();
                self.keep(data);
                continue;
            };
            self.make_again(&mut bases)?;
            let mut data = self.spare.pop().unwrap_or_default();
            self.apply(row, bases.content(), &mut data)?;
            let mut hasher = gix::hash::hasher(self.rows.hash);
            hasher.update(&gix::objs::encode::loose_header(kind, data.len() as u64));
            hasher.update(&data);
            let id = hasher.try_finalize().map_err(|err| anyhow!("{err}"))?;
            self.visit.visit(&id, kind, &data)?;
            self.named.push((row, id, kind));
            if self.named.len() * 128 >= self.rows.deltas().min(1 << 15) {
                self.tell();
            }
            let (children, refs) = (self.plan.based_on(row), self.plan.refs_to(self.rows, &id));
            let unneeded = if children.is_empty() && refs.is_empty() {
                Some(data)
            } else {
                bases.push(Frame { row: Some(row), data: Some(data), children, refs })
            };
            self.keep(unneeded);
        }
        Ok(())
    }

    /// Apply the delta in `row` to `base`.
    fn apply(&mut self, row: u32, base: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.entries.read(row, self.limit, &mut self.delta)?;
        delta::apply(base, &self.delta, self.limit, out)
            .with_context(|| format!("pack has bad object at offset {}", self.rows.get(row).offset))
    }

    /// Have the content of the topmost base again if it was dropped. What is made on the way is kept as the budget allows.
    fn make_again(&mut self, bases: &mut Bases) -> Result<()> {
        while let Some((row, base)) = bases.lowest_missing() {
            let mut data = Vec::new();
            match base {
                Some(base) => self.apply(row, base, &mut data)?,
                None => self.entries.read(row, self.limit, &mut data)?,
            }
            bases.put_back(data);
        }
        Ok(())
    }

    /// Keep a buffer for the next object.
    fn keep(&mut self, data: Option<Vec<u8>>) {
        if let Some(data) = data.filter(|data| data.capacity() <= REUSED && self.spare.len() < 4) {
            self.spare.push(data);
        }
    }

    /// Tell the others what was resolved.
    fn tell(&mut self) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.resolved += self.named.len();
        found.progress.advance(self.named.len() as u64);
        for (row, id, kind) in self.named.drain(..) {
            found.ids.set(row, &id, kind);
        }
    }
}
