//! Which roots of a shallow client the repository has to take over, for each ref that it pushes (git-push from a clone with
//! `--depth`; `receive.shallowUpdate`).
//!
//! A ref needs a root if the way down from its new value meets it before it meets history that the repository's refs reach:
//! what those reach is whole, and is not to be cut off because a client has less of it.

use gix::{
    ObjectId,
    hashtable::{HashMap, HashSet},
    objs::{Kind, TagRefIter},
};

use super::{Check, Commits, Effort, Grounds, Tips, Trees, is_asked};
use crate::{
    command::{Command, Refusal},
    refs::visibility::HiddenRefs,
};

/// Note in each command which of the `client`'s roots it needs; where the repository takes none over, such a command is
/// `shallow update not allowed`. Returns whether there is any root among them that is here now and was none of the
/// repository's before.
///
/// Every ref of the repository counts, hidden ones too: their history would be cut off as well. Those of alternates do not,
/// since the repository would be shallow without them.
pub fn assign(grounds: &Grounds<'_>, client: &[ObjectId], commands: &mut [Command]) -> bool {
    let is_new = |id: &&ObjectId| !grounds.shallow.is_root(id) && grounds.database.contains(id);
    let roots: HashSet<ObjectId> = client.iter().filter(is_new).copied().collect();
    if roots.is_empty() {
        return false;
    }
    let Tips { repository, snapshot, .. } = *grounds.tips;
    let tips = &Tips { repository, snapshot, hidden: &HiddenRefs::default(), alternates: &[] };
    let check = Check::new(&Grounds { tips, ..*grounds }, grounds.shallow, commands, None);
    let mut search = Search { check: &check, roots: &roots, reached: HashMap::default() };
    for command in commands.iter_mut().filter(|command| is_asked(command)) {
        // In the order that the client gave, each once.
        let mut needed = search.below(command.new);
        command.new_roots = client.iter().filter(|id| needed.remove(*id)).copied().collect();
        if !command.new_roots.is_empty() && !grounds.config.shallow_update {
            command.refuse(Refusal::other("shallow update not allowed"));
        }
    }
    true
}

struct Search<'c, 'a> {
    check: &'c Check<'a>,
    roots: &'c HashSet<ObjectId>,
    /// Whether a ref reaches it, of commits that were asked about.
    reached: HashMap<ObjectId, bool>,
}

impl Search<'_, '_> {
    /// The roots that are met on the way down from `value`.
    fn below(&mut self, value: ObjectId) -> HashSet<ObjectId> {
        let (mut seen, mut needed) = (HashSet::default(), HashSet::default());
        let mut waiting: Vec<ObjectId> = self.peel(value).into_iter().collect();
        while let Some(id) = waiting.pop() {
            if !seen.insert(id) {
                continue;
            }
            let was_there = self.check.database.is_outside_quarantine(&id);
            if was_there && self.is_reached(id) {
                continue;
            }
            if self.roots.contains(&id) {
                needed.insert(id);
                continue;
            }
            // A hole on the way is for the check itself to find.
            waiting.extend(self.check.history.read(&id).into_iter().flat_map(|commit| commit.parents));
        }
        needed
    }

    fn is_reached(&mut self, id: ObjectId) -> bool {
        if let Some(known) = self.reached.get(&id) {
            return *known;
        }
        // A history with a hole below it is whole for nobody.
        let trees = &mut Trees::new(self.check, Effort::Frugal);
        let new = Commits::new_below(self.check, id, trees).unwrap_or_else(|_| HashSet::from_iter([id]));
        let is_reached = !new.contains(&id);
        self.reached.extend(new.into_iter().map(|id| (id, false)));
        self.reached.insert(id, is_reached);
        is_reached
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
