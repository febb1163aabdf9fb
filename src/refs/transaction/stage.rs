//! Writing down what is renamed into place at the end, and finding the logs: the last steps that can fail.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bstr::{BStr, BString};
use gix::ObjectId;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::{Aborted, Change, Edit, Failure, How, LogLine, Prepared, Site, Slot};
use crate::{
    balanced::journal::Journal,
    durable,
    refs::{
        absent::AbsentDirectories,
        identity,
        lock::{Held, MadeDirectories},
        loose::{self, Loose},
        packed_write::Value,
        reflog::{Log, gets_log},
    },
};

impl Prepared<'_> {
    /// Find the logs, and write down what is to be renamed into place.
    pub(super) fn stage_all(&mut self, edits: &[Edit]) -> Result<(), Aborted> {
        let has_logs = self.site.may_have_logs();
        let head = match has_logs.then(|| loose::read_ref(self.site.repository, "HEAD".into())) {
            Some(Loose::Symbolic(target)) => target,
            _ => BString::default(),
        };
        let mut absent = AbsentDirectories::default();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let edit = slot.edit;
            let lines = match has_logs {
                true => find_logs(slot, &head, self.site, &mut absent, &mut self.made),
                false => Ok(Vec::new()),
            };
            let staged = lines.and_then(|lines| {
                self.lines.extend(lines);
                slot.stage(self.journal.as_mut(), self.site)
            });
            if let Err(why) = staged {
                let message = words!("cannot update the ref '", edits[edit].name, "': ", why);
                self.fail(edit, Failure::general(message))?;
            }
        }
        self.drop_failed();
        self.sync_staged().map_err(|why| Aborted::new(self.mode, why))?;
        if !self.lines.is_empty() {
            self.identity = identity::committer(self.site.config);
            self.identity.push(b' ');
            self.identity.extend_from_slice(self.date.take().unwrap_or_else(identity::now).as_bytes());
        }
        Ok(())
    }

    /// Make what is staged last, all at once.
    pub(super) fn sync_staged(&self) -> Result<(), String> {
        if !self.is_durable() && !self.site.config.fsync.references {
            return Ok(());
        }
        let staged = self.slots.iter().filter_map(|slot| slot.staged.as_ref()).map(|staged| staged.path().to_owned());
        // Those beside their refs lie on other devices.
        let is_beside = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
        let (beside, with_journal): (Vec<_>, Vec<_>) = staged.partition(is_beside);
        let synced = durable::sync(&with_journal).and_then(|()| beside.chunks(1).try_for_each(durable::sync));
        synced.map_err(|err| format!("cannot sync the staged values: {err}"))
    }
}

fn find_logs(
    slot: &Slot,
    head: &BString,
    site: Site<'_>,
    absent: &mut AbsentDirectories,
    made: &mut MadeDirectories,
) -> Result<Vec<LogLine>, String> {
    let null = site.repository.hash.null();
    let old = slot.old.unwrap_or(null);
    let is_to_stay = slot.change == Change::Nothing;
    let new = if is_to_stay { old } else { slot.change.value(null) };
    let mut lines = Vec::new();
    let mut find = |name: &BStr| {
        let policy = site.config.log_all_ref_updates;
        if !gets_log(name, policy) && absent.would_hold(name, |directory| site.paths.log(directory)) {
            return Ok(());
        }
        let log = Log::prepare(name, site.paths, policy, site.locksmith, made);
        let log = log.map_err(|barred| barred.0)?;
        lines.extend(log.map(|log| LogLine { edit: slot.edit, name: name.to_owned(), log, old, new }));
        Ok::<(), String>(())
    };
    let targets = slot.names.len() - 1;
    for (index, name) in slot.names.iter().enumerate() {
        // The log of a deleted ref goes; and one that stays as it is has nothing to log, other than those that lead to it.
        if index < targets || matches!(slot.change, Change::Write(_)) {
            find(name.as_ref())?;
        }
    }
    if slot.names.contains(head) {
        find("HEAD".into())?;
    }
    Ok(lines)
}

impl Slot {
    /// Write the file that is to be renamed into the ref's place at the end, where that is not the lock.
    pub(super) fn stage(&mut self, journal: Option<&mut Journal>, site: Site<'_>) -> Result<(), String> {
        let (How::Staged | How::Together { packed_only: false }, Change::Write(value), Some(journal)) =
            (self.how, self.change, journal)
        else {
            return Ok(());
        };
        let failed = |err: io::Error| format!("cannot stage its value: {err}");
        let (file, staged) =
            write_staged(&site.paths.loose(self.name()), self.edit, value, journal, site).map_err(failed)?;
        self.staged = Some(staged);
        if self.loose.is_some() && !journal.is_durable() && !site.config.fsync.references {
            // Nobody will wait for it. But where blocks are found late for what is written, a sudden end must not leave an empty
            // file in the ref's place: file systems look to that themselves if the old file is replaced, as git does it.
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).ok();
        }
        Ok(())
    }
}

fn write_staged(
    path: &Path,
    number: usize,
    value: Value,
    journal: &mut Journal,
    site: Site<'_>,
) -> io::Result<(File, Held)> {
    let [with_journal, beside] = staged_paths(path, number, journal, site)?;
    let staged = if device(&with_journal)? == device(&beside)? { with_journal } else { beside };
    let (mut file, held) = site.locksmith.create(&staged)?;
    writeln!(file, "{}", value.id)?;
    Ok((file, held))
}

/// Where the value of the ref at `path` may be staged: with the journal, or beside the ref, where that is another device.
pub(super) fn staged_paths(
    path: &Path,
    number: usize,
    journal: &mut Journal,
    site: Site<'_>,
) -> io::Result<[PathBuf; 2]> {
    let with_journal = journal.staging(site.locksmith)?.join(number.to_string());
    Ok([with_journal, path.with_file_name(format!("{}-{number}.lock", journal.id().link_text()))])
}

fn device(path: &Path) -> io::Result<Option<u64>> {
    path.parent().map(|directory| Ok(directory.metadata()?.dev())).transpose()
}

impl Change {
    /// The value afterwards of a ref that changes, `null` if it goes.
    pub(super) fn value(self, null: ObjectId) -> ObjectId {
        match self {
            Change::Write(value) => value.id,
            Change::Nothing | Change::Delete => null,
        }
    }
}
