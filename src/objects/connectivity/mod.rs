//! Whether all that the new values reach is there: what git asks `rev-list --objects --stdin --not --all` for.
//!
//! Everything reachable from a new value must be in the database, short of what the repository's own refs and its alternates'
//! refs reach. A pack whose objects name none but each other needs no walk: that was seen while it came in. For others a frugal
//! walk looks at little more than what the push brings. Only if that finds a hole, a thorough one that starts from all refs, as
//! git's does, has the last word: in a repository whose own history has holes they may differ.

mod commits;
mod hole;
pub mod new_roots;
mod order;
mod progress;
mod promised;
mod tips;
mod trees;

use std::{borrow::Cow, cell::RefCell, io::Write};

use gix::{ObjectId, hashtable::HashSet};

use self::{
    commits::{Commits, Effort},
    hole::Hole,
    progress::Progress,
    promised::Promised,
    trees::Trees,
};
pub use tips::Tips;

use super::{database::Database, history::History, shallow::Shallow};
use crate::{
    command::{Command, Refusal},
    config::Config,
    interrupt::Interrupts,
    wire::sideband::Sideband,
};

/// What the verdict on a push rests on.
pub struct Grounds<'a> {
    /// All objects, those in quarantine included.
    pub database: &'a Database,
    /// What the repository vouches for.
    pub tips: &'a Tips<'a>,
    /// Tells whether it is a partial clone.
    pub config: &'a Config,
    /// Where the repository's history is cut off.
    pub shallow: &'a Shallow,
    /// True if the objects in quarantine are known to name none but each other: then what they reach is there.
    pub is_closed: bool,
    /// What is told of a walk that lasts.
    pub interrupts: &'a Interrupts,
}

/// Refuse each command whose new value reaches something that is not there (`missing necessary objects`).
///
/// Of a command that brings roots of a shallow client along, history ends at these too, and the word is `shallow error`. What is
/// missing is told on `sideband`, and once more for each command on stderr; if `is_verbose`, a walk that takes long tells of
/// its progress. Commands that are refused already, and deletions, are left alone.
///
/// Returns how many objects were looked at.
pub fn check(grounds: &Grounds<'_>, sideband: &Sideband, is_verbose: bool, commands: &mut [Command]) -> u64 {
    // A command whose history does not lead to a root of another's does not need it, and so cannot profit by it.
    let boundary = with_new_roots(grounds.shallow, commands);
    let check = Check::new(grounds, &boundary, commands, is_verbose.then_some(sideband));
    let is_open = |id: &ObjectId| !(grounds.is_closed && grounds.database.is_quarantined(id));
    let asked = commands.iter().filter(|command| is_asked(command));
    let values: Vec<_> = asked.map(|command| command.new).filter(is_open).collect();
    let Err(hole) = check.judge(&values) else {
        check.progress.done();
        return check.progress.count();
    };
    sideband.tell(hole.to_string().as_bytes());
    let alone = Check::new(grounds, &boundary, commands, None);
    for command in commands.iter_mut().filter(|command| is_asked(command) && is_open(&command.new)) {
        if let Err(hole) = alone.judge(&[command.new]) {
            // Whether or not anybody listens there.
            write!(std::io::stderr(), "{hole}").ok();
            command.refuse(match command.new_roots.is_empty() {
                true => Refusal::MissingNecessaryObjects,
                false => Refusal::other("shallow error"),
            });
        }
    }
    check.progress.count() + alone.progress.count()
}

/// Where history is cut off once `commands` are carried out.
pub fn with_new_roots<'a>(shallow: &'a Shallow, commands: &[Command]) -> Cow<'a, Shallow> {
    let open = || commands.iter().filter(|command| is_asked(command));
    match open().all(|command| command.new_roots.is_empty()) {
        true => Cow::Borrowed(shallow),
        false => Cow::Owned(shallow.with(open().flat_map(|command| command.new_roots.iter().copied()))),
    }
}

fn is_asked(command: &Command) -> bool {
    !command.is_deletion() && !command.is_refused()
}

/// What a walk needs to know.
struct Check<'a> {
    database: &'a Database,
    history: History<'a>,
    tips: &'a Tips<'a>,
    /// The values that the refs of the push have now: what it builds on, most likely.
    current: HashSet<ObjectId>,
    promised: RefCell<Option<Promised>>,
    progress: Progress<'a>,
    /// How deep a tree may lie in others (`core.maxTreeDepth`).
    max_tree_depth: i64,
    hash: gix::hash::Kind,
}

impl<'a> Check<'a> {
    fn new(grounds: &Grounds<'a>, shallow: &'a Shallow, commands: &[Command], sideband: Option<&'a Sideband>) -> Self {
        let repository = grounds.tips.repository;
        Check {
            database: grounds.database,
            history: History::new(repository, grounds.database, shallow),
            tips: grounds.tips,
            current: commands.iter().filter_map(|command| grounds.tips.current(command)).collect(),
            promised: RefCell::new(Promised::open(repository, grounds.config, grounds.database)),
            progress: Progress::new(sideband, grounds.interrupts),
            max_tree_depth: grounds.config.max_tree_depth.into(),
            hash: repository.hash,
        }
    }

    fn judge(&self, values: &[ObjectId]) -> Result<(), Hole> {
        self.walk(values, Effort::Frugal).or_else(|_| self.walk(values, Effort::Thorough))
    }

    fn walk(&self, values: &[ObjectId], effort: Effort) -> Result<(), Hole> {
        Commits::walk(self, values, effort, &mut Trees::new(self, effort))
    }

    /// True if object `id` came from the promisor of a partial clone.
    fn is_delivered(&self, id: &gix::oid) -> bool {
        self.promised.borrow().as_ref().is_some_and(|promised| promised.delivered(id))
    }

    /// True if the promisor of a partial clone owes object `id`, which is not there.
    fn is_owed(&self, id: &gix::oid) -> bool {
        let mut promised = self.promised.borrow_mut();
        promised.as_mut().is_some_and(|promised| promised.is_owed(id, self.database, &self.history))
    }
}
