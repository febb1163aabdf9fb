//! Taking up a transaction that was voted upon when this or another process of its died: what the journal says is compared
//! with what the refs say now.
//!
//! In a reftable git makes all its changes at one instant, so one ref that has its new value says that all have had it, and
//! what differs from that was changed since. In files it renames one after the other, and what is not done yet is done
//! now. Refs that belong to one worktree are a reftable of their own, of which the same is true.

use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    path::PathBuf,
};

use bstr::{BStr, BString};
use gix::ObjectId;

use super::{
    super::{Edit, Site, vote::Unfinished},
    locks::follows_head,
    process::{UpdateRef, Voted},
};
use crate::{
    balanced::{
        intent::{Intent, Update},
        journal::Journal,
    },
    config::Config,
    durable,
    interrupt::Interrupts,
    refs::{
        lock::{Locksmith, Waiting},
        name::is_per_worktree,
        reflog::{self, Log},
        snapshot::Snapshot,
    },
    repository::{RefFormat, Repository},
};

/// The refs of a transaction, as far as they do not have their new values yet: a new git has them locked.
pub struct Resumed<'a> {
    /// `None` if there is nothing left to do.
    git: Option<UpdateRef>,
    site: Site<'a>,
    intent: &'a Intent,
}

/// Refs have neither the value before nor the one after: somebody has changed them, and the transaction did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLate(pub BString);

impl<'a> Resumed<'a> {
    /// Lock what is left to do of `intent`, whose `journal` is ours. `decided` if that was a yes before: then git may have been
    /// at it already. With the variables by which git finds `objects` that are still in quarantine.
    ///
    /// What is unfinished may come out well at another try.
    pub fn lock(
        (repository, config, interrupts): (&'a Repository, &'a Config, &'a Interrupts),
        (intent, decided): (&'a Intent, bool),
        journal: &mut Journal,
        objects: &[(&'static str, OsString)],
    ) -> Result<Result<Self, TooLate>, Unfinished> {
        let locksmith = Locksmith { interrupts, shared: config.shared_repository };
        let site = Site { repository, config, paths: repository.into(), locksmith };
        Self::take_up(site, (intent, decided), journal, objects)
    }

    pub(super) fn take_up(
        site: Site<'a>,
        (intent, decided): (&'a Intent, bool),
        journal: &mut Journal,
        objects: &[(&'static str, OsString)],
    ) -> Result<Result<Self, TooLate>, Unfinished> {
        let mut waiting = Waiting::new(site.config.ref_lock_timeout);
        loop {
            let left = match left_to_do(intent, decided, site)? {
                Ok(left) => left,
                Err(too_late) => return Ok(Err(too_late)),
            };
            if left.is_empty() {
                return Ok(Ok(Resumed { git: None, site, intent }));
            }
            let voted = Voted { journal, objects, identity: intent.identity.as_ref() };
            let refused = match UpdateRef::prepare(site, left.iter(), Some(voted)) {
                // What others did before it was locked changes what is left.
                Ok(mut git) if left_to_do(intent, decided, site)?.is_ok_and(|now| now == left) => {
                    git.note_locks(site, left.iter().map(|edit| (edit, edit.name.as_ref())), journal)
                        .and_then(|()| retract_logs(&left, intent, site))
                        .map_err(|err| Unfinished(format!("{err:#}").into()))?;
                    return Ok(Ok(Resumed { git: Some(git), site, intent }));
                }
                Ok(_) => BString::from("the refs change all the time"),
                Err(refusal) => refusal.message,
            };
            if !waiting.again() {
                return Err(Unfinished(refused));
            }
        }
    }

    /// Carry it out, and make it last.
    pub fn commit(self) -> Result<(), Unfinished> {
        if let Some(git) = self.git {
            git.commit().map_err(|refusal| Unfinished(refusal.message))?;
        }
        sync(self.site, self.intent).map_err(|err| Unfinished(format!("cannot sync the refs: {err}").into()))
    }
}

/// What is to be done yet so that all refs of `intent` have their new values.
fn left_to_do(intent: &Intent, decided: bool, site: Site<'_>) -> Result<Result<Vec<Edit>, TooLate>, Unfinished> {
    let snapshot = Snapshot::read(site.repository).map_err(|err| Unfinished(format!("{err:#}").into()))?;
    let null = site.repository.hash.null();
    let is = |update: &Update, value: ObjectId| snapshot.find(update.name.as_ref()).unwrap_or(null) == value;
    let changes = intent.updates.iter().filter(|update| update.old != update.new);
    let (done, rest): (Vec<_>, Vec<_>) = changes.partition(|update| is(update, update.new));
    let (left, lost): (Vec<_>, Vec<_>) = rest.into_iter().partition(|update| is(update, update.old));
    let at_one_instant = site.repository.ref_format != RefFormat::Files
        && !intent.updates.iter().any(|update| is_per_worktree(update.name.as_ref()));
    let edit = |update: &Update| Edit { name: update.name.clone(), old: Some(update.old), new: update.new };
    if decided && !done.is_empty() {
        // git was at it.
        return Ok(Ok(if at_one_instant { Vec::new() } else { left.into_iter().map(edit).collect() }));
    }
    let changed = lost.first().or(if left.is_empty() { None } else { done.first() });
    Ok(match changed {
        Some(update) => Err(TooLate(format!("'{}' was changed by somebody else", update.name).into())),
        None => Ok(left.into_iter().map(edit).collect()),
    })
}

/// Take away the log lines that a git has written for refs that it did not come to rename: the next one writes them anew.
fn retract_logs(left: &[Edit], intent: &Intent, site: Site<'_>) -> anyhow::Result<()> {
    if site.repository.ref_format != RefFormat::Files {
        return Ok(());
    }
    for edit in left {
        let line = reflog::line(edit.old.unwrap_or(edit.new), edit.new, intent.identity.as_ref());
        let name: &BStr = edit.name.as_ref();
        Log::at(name, site.paths, false).retract(&line)?;
        if follows_head(site, &[name])? {
            Log::at("HEAD".into(), site.paths, false).retract(&line)?;
        }
    }
    Ok(())
}

/// Make what git has written last: it syncs files, not their directories, and of a reftable not the end.
pub(super) fn sync(site: Site<'_>, intent: &Intent) -> io::Result<()> {
    if site.repository.ref_format == RefFormat::Files {
        let names = intent.updates.iter().map(|update| update.name.as_ref());
        return durable::sync(&directories(names, site));
    }
    for root in [site.paths.common_dir, site.paths.git_dir] {
        let directory = root.join("reftable");
        let mut tries = 0;
        // Whoever compacts tables removes some.
        while directory.is_dir()
            && let Err(err) = durable::everything_below(&directory).and_then(|paths| durable::sync(&paths))
        {
            tries += 1;
            if err.kind() != ErrorKind::NotFound || tries > 100 {
                return Err(err);
            }
        }
    }
    Ok(())
}

/// Where the refs of these names are files, and packed-refs is.
fn directories<'n>(names: impl Iterator<Item = &'n BStr>, site: Site<'_>) -> Vec<PathBuf> {
    let files = names.map(|name| site.paths.loose(name)).chain([site.paths.packed_refs()]);
    let mut directories: Vec<PathBuf> = files
        // Those of a deleted ref may be gone, up to one that says so.
        .filter_map(|path| path.ancestors().skip(1).find(|directory| directory.is_dir()).map(PathBuf::from))
        .collect();
    directories.sort_unstable();
    directories.dedup();
    directories
}
