//! Taking up a decided transaction where a dead process left it, from what its journal says.

use bstr::{BStr, BString};
use gix::ObjectId;

use super::{Announced, Change, Decided, How, LogLine, Mode, Prepared, Site, Slot, stage::staged_paths};
use crate::{
    balanced::{
        intent::{CommitsBy, Intent, Update},
        journal::Journal,
    },
    config::Config,
    interrupt::Interrupts,
    objects::database::Database,
    refs::{
        lock::{Held, Locksmith, MadeDirectories, is_marked},
        loose::{self, Loose},
        packed::Packed,
        packed_write::{self, Value, peel},
        paths::Paths,
        reflog::Log,
    },
    repository::Repository,
};

impl<'a> Decided<'a> {
    /// Take up what `intent` says. The journal and its lock are ours by now, and the new objects in place.
    ///
    /// Fails, and leaves everything as it is, if a ref is locked by somebody else.
    pub fn resume(
        repository: &'a Repository,
        config: &'a Config,
        interrupts: &'a Interrupts,
        database: &'a Database,
        journal: Journal,
        intent: &Intent,
    ) -> Result<Self, BString> {
        let locksmith = Locksmith { interrupts, shared: config.shared_repository };
        let site = Site { repository, config, paths: Paths::from(repository), locksmith };
        let prepared = Prepared {
            slots: Vec::new(),
            fences: Vec::new(),
            room: None,
            journal: Some(journal),
            made: MadeDirectories::default(),
            announced: Announced { hook: None, aborted: Vec::new() },
            site,
            database,
            mode: Mode::AllOrNone,
            edits: Vec::new(),
            failures: Vec::new(),
            lines: Vec::new(),
            again: true,
            date: None,
            identity: intent.identity.clone(),
        };
        let mut decided = Decided::adopted(prepared);
        if let Some(prepared) = &mut decided.prepared {
            prepared.take_up(intent)?;
        }
        Ok(decided)
    }
}

impl Prepared<'_> {
    fn take_up(&mut self, intent: &Intent) -> Result<(), BString> {
        for update in intent.updates.iter().filter(|update| update.how != CommitsBy::Nothing) {
            if let Some(slot) = self.take_up_ref(update)? {
                self.slots.push(slot);
            }
        }
        let packed = Packed::open(self.site.paths.packed_refs(), self.site.repository.hash);
        let packed = packed.map_err(|err| BString::from(format!("{err:#}")))?;
        for slot in &mut self.slots {
            let entry =
                packed_write::find(packed.as_ref(), slot.name()).map_err(|err| BString::from(format!("{err:#}")))?;
            let null = self.site.repository.hash.null();
            let now = slot.loose.map(|value| value.id).or(entry).unwrap_or(null);
            if slot.is_together() && now == slot.change.value(null) && !slot.broken {
                // packed-refs was renamed: all that is left is the loose file, if it is to have one.
                match slot.how {
                    How::Together { packed_only: true } => slot.change = Change::Nothing,
                    _ => slot.how = How::Staged,
                }
            }
        }
        for slot in &mut self.slots {
            let needs_file = !matches!(slot.how, How::Together { packed_only: true }) && !slot.is_in_place();
            if needs_file && slot.staged.is_none() {
                slot.stage(self.journal.as_mut(), self.site)?;
            }
        }
        self.sync_staged()?;
        let changed = |name: &BStr| self.slots.iter().any(|slot| slot.name() == name);
        self.lines = intent
            .logs
            .iter()
            // The line of a ref that somebody else has changed meanwhile would come too late.
            .filter(|line| changed(line.name.as_ref()) || intent.updates.iter().all(|update| update.name != line.name))
            .map(|line| LogLine {
                edit: 0,
                log: Log::at(line.name.as_ref(), self.site.paths, line.make),
                name: line.name.clone(),
                old: line.old,
                new: line.new,
            })
            .collect();
        Ok(())
    }

    /// `None` if the ref is not ours any more, and has neither value.
    fn take_up_ref(&mut self, update: &Update) -> Result<Option<Slot>, BString> {
        let Site { repository, config, paths, locksmith } = self.site;
        let Some(journal) = &mut self.journal else { return Ok(None) };
        let text = journal.id().link_text();
        let name: &BStr = update.name.as_ref();
        let (path, lock_path) = (paths.loose(name), paths.lock(name));
        let failed = |err: std::io::Error| BString::from(format!("cannot lock ref '{name}': {err}"));
        let still_locked = is_marked(&lock_path, &text).map_err(failed)?;
        let lock = match still_locked {
            true => locksmith.adopt(&lock_path),
            false => locksmith.mark(&lock_path, journal.mark(), config.ref_lock_timeout, &mut self.made),
        };
        let mut held = vec![lock.map_err(failed)?];
        let found = (|| {
            let guard = is_marked(&path, &text)?.then(|| locksmith.adopt(&path)).transpose()?;
            let paths = staged_paths(&path, update.number, journal, self.site)?;
            let staged = paths.iter().find(|path| path.exists()).map(|path| locksmith.adopt(path));
            Ok((guard, staged.transpose()?))
        })();
        let (guard, staged) = found.map_err(|err| {
            // What is decided stays locked.
            held.iter_mut().for_each(Held::leave);
            failed(err)
        })?;
        let (loose, broken) = match loose::read_ref(repository, name) {
            Loose::Id(id) => (Some(Value { id, peeled: peel(self.database, id).unwrap_or_default() }), false),
            Loose::Absent => (None, false),
            Loose::Broken | Loose::Symbolic(_) => (None, true),
        };
        let slot = Slot {
            guard,
            fenced: false,
            staged,
            locks: held,
            edit: update.number,
            names: vec![update.name.clone()],
            how: match update.how {
                CommitsBy::PackedRefsOnly => How::Together { packed_only: true },
                CommitsBy::PackedRefs => How::Together { packed_only: false },
                CommitsBy::LooseFile | CommitsBy::Git | CommitsBy::Nothing => How::Staged,
            },
            change: match update.new.is_null() {
                true => Change::Delete,
                false => Change::Write(Value { id: update.new, peeled: update.peeled }),
            },
            loose,
            broken,
            packed: false,
            old: Some(update.old).filter(|old| !old.is_null()),
        };
        let given_up = !still_locked && !has_either(&slot, update, repository, paths)?;
        Ok((!given_up).then_some(slot))
    }
}

/// True if a ref whose lock was lost still has the value before, or has the one after already.
fn has_either(slot: &Slot, update: &Update, repository: &Repository, paths: Paths<'_>) -> Result<bool, BString> {
    let failed = |err: anyhow::Error| BString::from(format!("{err:#}"));
    let now: Option<ObjectId> = match slot.loose {
        Some(value) => Some(value.id),
        None => {
            let packed = Packed::open(paths.packed_refs(), repository.hash).map_err(failed)?;
            packed_write::find(packed.as_ref(), slot.name()).map_err(failed)?
        }
    };
    let now = now.unwrap_or(repository.hash.null());
    Ok(now == update.old || now == update.new)
}

impl Slot {
    /// True if the loose file has the new value already.
    fn is_in_place(&self) -> bool {
        matches!((self.change, self.loose), (Change::Write(new), Some(loose)) if new.id == loose.id)
    }
}
