//! A change of refs, in steps that each consume the one before: `Queued`, `Prepared`, `Committed`.
//!
//! A `Prepared` has every ref locked, its old value verified under the lock, and all that could refuse it checked; dropping
//! it undoes whatever it did. What is made on disk and in which order, and why that is safe beside git, is in `commit`.
//! All this is about loose files and packed-refs; refs that are stored in other ways git changes for us (`update_ref`).

mod adopt;
mod announced;
mod check;
mod commit;
mod conflicts;
mod fence;
mod guard;
mod plan;
mod prepare;
mod put;
mod stage;
pub mod update_ref;
mod vote;

pub use announced::{Hook, Phase};
pub use vote::{Decided, Settled, Undone, Unfinished, Voting};

use std::{io::ErrorKind, path::Path};

use anyhow::Result;
use bstr::{BStr, BString};
use gix::ObjectId;

use self::{announced::Announced, fence::Fence, plan::How};
use super::{
    date,
    lock::{Held, Locksmith, MadeDirectories},
    packed_write::{Room, Value},
    paths::Paths,
    reflog::Log,
};
use crate::{
    balanced::journal::Journal,
    command::Refusal,
    config::{Config, LogRefs},
    interrupt::Interrupts,
    objects::database::Database,
    repository::{RefFormat, Repository},
    system_error,
};

/// One ref that is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The full name; a symref is followed, and what it names changes.
    pub name: BString,
    /// The value that the ref must have, null if it must not exist. `None`, in deletions only: whatever it has.
    pub old: Option<ObjectId>,
    /// The value that it gets; null to delete it.
    pub new: ObjectId,
}

impl Edit {
    fn is_deletion(&self) -> bool {
        self.new.is_null()
    }

    /// True if the ref must not exist yet.
    fn is_creation(&self) -> bool {
        self.old.is_some_and(|old| old.is_null()) && !self.is_deletion()
    }

    fn is_update(&self) -> bool {
        !self.is_creation() && !self.is_deletion()
    }

    /// The old value as the hook is told it: as asked for, null where any will do.
    fn expected(&self) -> ObjectId {
        self.old.unwrap_or(self.new.kind().null())
    }

    /// True if the ref must exist.
    fn must_exist(&self) -> bool {
        self.old.is_some_and(|old| !old.is_null())
    }
}

/// Why a push from within a hook's quarantine changes no ref.
const INSIDE_QUARANTINE: &str = "ref updates forbidden inside quarantine environment";

/// What a bad edit means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: each is refused alone, the rest is carried out.
    EachAlone,
    /// None of them is carried out.
    AllOrNone,
}

/// Why an edit was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The word in the report.
    pub refusal: Refusal,
    /// What to tell the person who pushes, without `error: `; empty if that was done.
    pub message: BString,
}

impl Failure {
    fn new(reason: &str, message: impl Into<BString>) -> Self {
        Failure { refusal: Refusal::other(reason), message: message.into() }
    }

    /// A failure that has no word of its own.
    fn general(message: impl Into<BString>) -> Self {
        Failure::new("failed to update ref", message)
    }

    fn conflict(message: impl Into<BString>) -> Self {
        Failure::new("refname conflict", message)
    }
}

/// Why a whole transaction was not carried out; what there was of it is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aborted {
    /// The word in the report for each of its refs.
    pub refusal: Refusal,
    /// What to tell the person who pushes, once, without `error: `.
    pub message: BString,
}

impl Aborted {
    fn new(mode: Mode, message: impl Into<BString>) -> Self {
        let refusal = match mode {
            Mode::EachAlone => Refusal::other("failed to update ref"),
            Mode::AllOrNone => Refusal::AtomicTransactionFailed,
        };
        Aborted { refusal, message: message.into() }
    }

    /// The journal cannot be begun.
    fn without_journal(mode: Mode, err: &std::io::Error) -> Self {
        match err.kind() {
            ErrorKind::Unsupported => {
                Aborted::new(mode, "a balanced push needs a file system with symbolic links and locks (flock)")
            }
            _ => Aborted::new(mode, format!("cannot write the journal of this push: {}", system_error::words(err))),
        }
    }
}

/// Edits that nothing was done about yet.
pub struct Queued<'a> {
    site: Site<'a>,
    edits: Vec<Edit>,
    /// What the environment gives for one.
    date: Option<String>,
}

/// A transaction whose locks are held and that nothing speaks against. Dropping it undoes it.
pub struct Prepared<'a> {
    // Dropped in this order: what stands in the place of refs first, then their locks, then the journal that names them,
    // then directories; and the hook is told at last.
    slots: Vec<Slot>,
    fences: Vec<Fence>,
    /// Disk space for packed-refs.
    room: Option<Room>,
    journal: Option<Journal>,
    made: MadeDirectories,
    announced: Announced<'a>,
    site: Site<'a>,
    database: &'a Database,
    mode: Mode,
    edits: Vec<Edit>,
    /// In the order of the edits.
    failures: Vec<Option<Failure>>,
    lines: Vec<LogLine>,
    /// Some of the lines may be in their logs already.
    again: bool,
    date: Option<String>,
    /// The names and the date of the reflog's lines; empty where no ref has a log.
    identity: BString,
}

/// What came of a transaction.
#[derive(Debug, Default)]
pub struct Committed {
    /// In the order of the edits. With [`Mode::AllOrNone`] none is a failure.
    pub outcomes: Vec<Result<(), Failure>>,
    /// What went wrong afterwards and changes nothing: lines of a reflog, say. For the server's own eyes.
    pub complaints: Vec<String>,
}

/// Where all of it happens.
#[derive(Clone, Copy)]
struct Site<'a> {
    repository: &'a Repository,
    config: &'a Config,
    paths: Paths<'a>,
    locksmith: Locksmith<'a>,
}

impl Site<'_> {
    /// True if some ref may have a log, or is to get one.
    fn may_have_logs(self) -> bool {
        let Repository { common_dir, git_dir, ref_format, .. } = self.repository;
        let is_absent = |dir: &Path| {
            let found = dir.join("logs").symlink_metadata();
            found.is_err_and(|err| err.kind() == ErrorKind::NotFound)
        };
        self.config.log_all_ref_updates != LogRefs::Existing
            || *ref_format != RefFormat::Files
            || !is_absent(common_dir)
            || common_dir != git_dir && !is_absent(git_dir)
    }
}

/// One edit with its locks.
struct Slot {
    /// Stands at the path of a ref that is to be created, so that nobody creates another below it.
    guard: Option<Held>,
    /// True if the ref, which is to be created, is kept by a fence, and has no guard and no lock.
    fenced: bool,
    /// The file to be renamed into the ref's place, where that is not the lock itself.
    staged: Option<Held>,
    /// One a name.
    locks: Vec<Held>,
    /// Which edit.
    edit: usize,
    /// The ref as named by the edit, and what that leads to through symrefs; the last is the one that changes.
    names: Vec<BString>,
    how: How,
    change: Change,
    /// What the loose file holds.
    loose: Option<Value>,
    /// True if there is a loose file that is no ref.
    broken: bool,
    /// True if packed-refs has an entry for it.
    packed: bool,
    /// The value before.
    old: Option<ObjectId>,
}

/// A line that a reflog gets.
struct LogLine {
    edit: usize,
    /// The ref whose log it is.
    name: BString,
    log: Log,
    /// Null for none, both.
    old: ObjectId,
    new: ObjectId,
}

/// What happens to a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It has the value already.
    Nothing,
    Write(Value),
    Delete,
}

impl Slot {
    /// The ref that changes.
    fn name(&self) -> &BStr {
        self.names.last().map(|name| name.as_ref()).unwrap_or_default()
    }

    fn is_together(&self) -> bool {
        matches!(self.how, How::Together { .. })
    }
}

impl<'a> Queued<'a> {
    /// Take up `edits`. Fails if `GIT_COMMITTER_DATE` cannot be understood, where there may be a log to write it to.
    pub fn new(
        repository: &'a Repository,
        config: &'a Config,
        interrupts: &'a Interrupts,
        edits: Vec<Edit>,
    ) -> Result<Self> {
        let locksmith = Locksmith { interrupts, shared: config.shared_repository };
        let site = Site { repository, config, paths: repository.into(), locksmith };
        Ok(Queued { site, edits, date: date::configured(|| site.may_have_logs())? })
    }
}

impl Prepared<'_> {
    /// The updates as verified: the value before (null if there is no such ref), the value after (null if it goes), the
    /// full name of the ref that changes; in byte order of the name, without those that failed.
    pub fn updates(&self) -> Vec<(ObjectId, ObjectId, &BStr)> {
        let null = self.site.repository.hash.null();
        let new = |slot: &Slot| match slot.change {
            Change::Nothing => slot.old.unwrap_or(null),
            change => change.value(null),
        };
        let mut updates: Vec<_> =
            self.slots.iter().map(|slot| (slot.old.unwrap_or(null), new(slot), slot.name())).collect();
        updates.sort_unstable_by_key(|(_, _, name)| *name);
        updates
    }

    /// True if nothing speaks against edit `index`.
    pub fn stands(&self, index: usize) -> bool {
        self.failures.get(index).is_some_and(Option::is_none)
    }

    /// Leave out edit `index` for a reason that lies outside of refs, and that was told.
    pub fn withdraw(&mut self, index: usize, refusal: Refusal) {
        if let Some(failure) = self.failures.get_mut(index) {
            failure.get_or_insert(Failure { refusal, message: BString::default() });
        }
        self.drop_failed();
    }

    /// Let go of everything that is held for edits that failed.
    fn drop_failed(&mut self) {
        // What a recovery has taken up has no verdicts, and fails as a whole.
        let stands = |edit: usize| self.failures.get(edit).is_none_or(Option::is_none);
        self.slots.retain(|slot| stands(slot.edit));
        self.lines.retain(|line| stands(line.edit));
    }
}
