//! What the reference-transaction hook is told of a transaction, and when (githooks, "reference-transaction").

use anyhow::Result;
use bstr::{BStr, BString, ByteVec};
use gix::ObjectId;

use super::{Aborted, Change, Edit, Failure, Mode, Prepared};

/// The states that the reference-transaction hook is told (githooks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before any lock is taken; names are as pushed.
    Preparing,
    /// Every ref is locked and checked; a symref's target is named in its place from here on.
    Prepared,
    /// The refs have their new values, and the locks are free.
    Committed,
    /// Nothing was changed.
    Aborted,
}

impl Phase {
    /// The hook's argument.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Preparing => "preparing",
            Phase::Prepared => "prepared",
            Phase::Committed => "committed",
            Phase::Aborted => "aborted",
        }
    }
}

/// Runs the reference-transaction hook: the state, and the hook's standard input, `<old> SP <new> SP <ref> LF` lines. An
/// error is a veto in `preparing` and `prepared`, and ignored in the other states.
pub type Hook<'a> = &'a mut dyn FnMut(Phase, &BStr) -> Result<()>;

/// The reference-transaction hook, and what it was told.
pub(super) struct Announced<'a> {
    pub(super) hook: Option<Hook<'a>>,
    /// What `aborted` is to be told with, if it comes to that: one call each.
    pub(super) aborted: Vec<BString>,
}

impl Announced<'_> {
    /// Tell the hook; an error is its veto, and `aborted` follows when this is dropped.
    fn ask(&mut self, mode: Mode, phase: Phase, lines: &BStr) -> Result<(), Aborted> {
        let Some(hook) = self.hook.as_mut().filter(|_| !lines.is_empty()) else { return Ok(()) };
        if hook(phase, lines).is_ok() {
            return Ok(());
        }
        if self.aborted.iter().all(|told| told != lines) {
            self.aborted.push(lines.to_owned());
        }
        let phase = phase.as_str();
        Err(Aborted::new(mode, format!("in '{phase}' phase, update aborted by the reference-transaction hook")))
    }

    /// Tell the hook of the edits that did not fail already.
    pub(super) fn ask_first(
        &mut self,
        mode: Mode,
        edits: &[Edit],
        failures: &[Option<Failure>],
    ) -> Result<(), Aborted> {
        let mut lines = BString::default();
        if self.hook.is_some() {
            let good = edits.iter().zip(failures).filter(|(_, failure)| failure.is_none());
            good.for_each(|(edit, _)| push_line(&mut lines, edit.expected(), edit.new, edit.name.as_ref()));
        }
        self.ask(mode, Phase::Preparing, lines.as_ref())
    }

    /// Tell the hook that everything is prepared; before that, of the refs that go by `inner` lines, which git takes for a
    /// transaction of packed-refs inside the other, and which comes about only if one of them is packed.
    pub(super) fn ask_prepared(
        &mut self,
        mode: Mode,
        is_packed: bool,
        inner: BString,
        lines: BString,
    ) -> Result<(), Aborted> {
        if is_packed {
            self.ask(mode, Phase::Preparing, inner.as_ref())?;
            self.ask(mode, Phase::Prepared, inner.as_ref())?;
            self.aborted.push(inner);
        } else {
            self.tell(Phase::Aborted, inner.as_ref());
        }
        self.ask(mode, Phase::Prepared, lines.as_ref())?;
        self.aborted.push(lines);
        Ok(())
    }

    /// Tell the hook what it cannot change.
    pub(super) fn tell(&mut self, phase: Phase, lines: &BStr) {
        if let Some(hook) = self.hook.as_mut().filter(|_| !lines.is_empty()) {
            hook(phase, lines).ok();
        }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        for lines in std::mem::take(&mut self.aborted) {
            self.tell(Phase::Aborted, lines.as_ref());
        }
    }
}

/// The hook's line for a change of `name` from `old` to `new`.
pub(super) fn push_line(lines: &mut BString, old: ObjectId, new: ObjectId, name: &BStr) {
    lines.push_str(format!("{old} {new} "));
    lines.push_str(name);
    lines.push(b'\n');
}

impl Prepared<'_> {
    /// What the hook is told from `prepared` on: the refs that change, those behind symrefs last; old values as asked for.
    pub(super) fn hook_lines(&self) -> BString {
        let mut lines = BString::default();
        if self.announced.hook.is_some() {
            let mut slots: Vec<_> = self.slots.iter().collect();
            slots.sort_unstable_by_key(|slot| (slot.names.len() > 1, slot.edit));
            for slot in slots {
                let edit = &self.edits[slot.edit];
                push_line(&mut lines, edit.expected(), edit.new, slot.name());
            }
        }
        lines
    }

    /// True if a ref goes that packed-refs has.
    pub(super) fn unpacks(&self) -> bool {
        self.slots.iter().any(|slot| slot.packed && slot.change == Change::Delete)
    }

    /// What git tells the hook about packed-refs, which is a transaction inside the other for it: the refs that go.
    pub(super) fn inner_lines(&self) -> BString {
        let mut lines = BString::default();
        if self.announced.hook.is_some() {
            let null = self.site.repository.hash.null();
            let mut slots: Vec<_> = self.slots.iter().filter(|slot| self.edits[slot.edit].is_deletion()).collect();
            slots.sort_unstable_by_key(|slot| slot.edit);
            slots.into_iter().for_each(|slot| push_line(&mut lines, null, null, slot.name()));
        }
        lines
    }
}
