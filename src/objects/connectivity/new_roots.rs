//! Which roots of a shallow client the repository has to take over, for each ref that it pushes (git-push from a clone with
//! `--depth`; `receive.shallowUpdate`).
//!
//! A ref needs a root if the way down from its new value meets it before it meets history that the repository's refs reach:
//! what those reach is whole, and is not to be cut off because a client has less of it.

use std::collections::BinaryHeap;

use gix::{
    ObjectId,
    hashtable::{HashMap, HashSet},
    objs::{Kind, TagRefIter},
};

use super::{Check, Commits, Effort, Grounds, Tips, Trees, is_asked};
use crate::{
    command::{Command, Refusal},
    objects::history::Age,
    refs::visibility::HiddenRefs,
};

/// Note in each command which of the `client`'s roots it needs; where the repository takes none over, such a command is
/// `shallow update not allowed`. Returns whether there is any root among them that is here now and was none of the
/// repository's before.
///
/// Every ref of the repository counts, hidden ones too: their history would be cut off as well. Those of alternates do not,
/// since the repository would be shallow without them.
pub fn assign(grounds: &Grounds<'_>, client: &[ObjectId], commands: &mut [Command]) -> bool {
    let is_new = |(_, id): &(usize, &ObjectId)| !grounds.shallow.is_root(id) && grounds.database.contains(id);
    let roots: HashMap<ObjectId, usize> =
        client.iter().enumerate().filter(is_new).map(|(position, id)| (*id, position)).collect();
    if roots.is_empty() {
        return false;
    }
    let Tips { repository, snapshot, .. } = *grounds.tips;
    let tips = &Tips { repository, snapshot, hidden: &HiddenRefs::default(), alternates: &[] };
    let check = Check::new(&Grounds { tips, ..*grounds }, grounds.shallow, commands, None);
    let mut search = Search { check: &check, roots: &roots, walk: None, ways: HashMap::default() };
    for command in commands.iter_mut().filter(|command| is_asked(command)) {
        command.new_roots = search.below(command.new);
        if !command.new_roots.is_empty() && !grounds.config.shallow_update {
            command.refuse(Refusal::other("shallow update not allowed"));
        }
    }
    true
}

struct Search<'c, 'a> {
    check: &'c Check<'a>,
    /// The client's new roots, with their places in its list.
    roots: &'c HashMap<ObjectId, usize>,
    /// Begun when a commit is met that cannot be shown to be reached with less.
    walk: Option<FromRefs>,
    /// Where the way goes on from a commit; a commit that several refs lead to is read once.
    ways: HashMap<ObjectId, Way>,
}

/// A walk through all that refs reach, as far as it has come.
#[derive(Default)]
struct FromRefs {
    met: HashSet<ObjectId>,
    /// The parents of those whose own are still to be met.
    queue: BinaryHeap<(Age, Vec<ObjectId>)>,
}

impl FromRefs {
    fn meet(&mut self, check: &Check<'_>, id: ObjectId) {
        if self.met.insert(id)
            && let Some(commit) = check.history.recall(&id)
        {
            check.progress.tick();
            self.queue.push((commit.age, commit.parents.iter().map(|parent| parent.id).collect()));
        }
    }
}

/// Where the way down goes on from a commit.
#[derive(Clone)]
enum Way {
    /// To these.
    Parents(Vec<ObjectId>),
    /// Nowhere: the repository's refs reach it.
    Known,
    /// Nowhere: the client has no more.
    Root(usize),
}

impl Search<'_, '_> {
    /// The roots that are met on the way down from `value`, in the order that the client gave.
    fn below(&mut self, value: ObjectId) -> Vec<ObjectId> {
        let (mut seen, mut needed) = (HashSet::default(), Vec::new());
        let mut waiting: Vec<ObjectId> = self.peel(value).into_iter().collect();
        while let Some(id) = waiting.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.way(id) {
                Way::Parents(parents) => waiting.extend(parents),
                Way::Known => {}
                Way::Root(position) => needed.push((position, id)),
            }
        }
        needed.sort_unstable();
        needed.into_iter().map(|(_, id)| id).collect()
    }

    fn way(&mut self, id: ObjectId) -> Way {
        if let Some(way) = self.ways.get(&id) {
            return way.clone();
        }
        let was_there = self.check.database.is_outside_quarantine(&id);
        let way = if was_there && self.is_reached(id) {
            Way::Known
        } else if let Some(position) = self.roots.get(&id) {
            Way::Root(*position)
        } else {
            // A hole is for the check itself to find.
            let parents = self.check.history.read(&id).map(|commit| commit.parents).unwrap_or_default();
            Way::Parents(parents.iter().map(|parent| parent.id).collect())
        };
        self.ways.insert(id, way.clone());
        way
    }

    fn is_reached(&mut self, id: ObjectId) -> bool {
        if self.walk.is_none() {
            let trees = &mut Trees::new(self.check, Effort::Frugal);
            if Commits::new_below(self.check, id, trees).is_ok_and(|new| !new.contains(&id)) {
                return true;
            }
        }
        // That shows nothing where commits are of one second, clocks were wrong, or the push brings once more what is here.
        self.is_met_from_refs(id)
    }

    /// Walk from all refs, the youngest first, until `id` is met.
    fn is_met_from_refs(&mut self, id: ObjectId) -> bool {
        let mut walk = self.walk.take().unwrap_or_else(|| {
            let mut walk = FromRefs::default();
            let tips: HashSet<ObjectId> = self.check.tips.all().collect();
            tips.into_iter().filter_map(|tip| self.peel(tip)).for_each(|tip| walk.meet(self.check, tip));
            walk
        });
        while !walk.met.contains(&id) {
            let Some((_, parents)) = walk.queue.pop() else { break };
            parents.into_iter().for_each(|parent| walk.meet(self.check, parent));
        }
        let is_met = walk.met.contains(&id);
        self.walk = Some(walk);
        is_met
    }

    /// What `value` leads to, if that is a commit in the end.
    fn peel(&self, mut value: ObjectId) -> Option<ObjectId> {
        let mut buffer = Vec::new();
        loop {
            match self.check.database.find(&value, &mut buffer) {
                Ok(Some(Kind::Commit)) => return Some(value),
                Ok(Some(Kind::Tag)) => value = TagRefIter::from_bytes(&buffer, self.check.hash).target_id().ok()?,
                _ => return None,
            }
        }
    }
}
