//! What the edits of a session are about, read under git's locks: which refs change, from which values.

use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;

use super::{
    super::{
        Aborted, Edit, Failure,
        announced::push_line,
        conflicts,
        guard::{Ours, guard},
    },
    Session, locks,
};
use crate::{
    balanced::claims,
    refs::{
        snapshot::Snapshot,
        symbolic::{Symbolic, SymbolicRefs},
    },
    repository::RefFormat,
};

/// The ref that an edit changes in the end.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: BString,
    pub(super) old: Option<ObjectId>,
}

impl Session<'_> {
    /// Read, under git's locks, what somebody will want to know: the hook, or who votes. And see that no vote has a claim
    /// on one of the refs.
    pub(super) fn look(&mut self) -> Result<(), Aborted> {
        self.found = self.edits.iter().map(|edit| Found { name: edit.name.clone(), old: edit.old }).collect();
        let repository = self.site.repository;
        let claims = claims::of_others(repository, self.vote.as_ref().map(|vote| vote.journal.id()));
        if self.announced.hook.is_none() && self.vote.is_none() && claims.is_empty() {
            return Ok(());
        }
        let mut read = || {
            let names: Vec<&BStr> = self.edits.iter().map(|edit| edit.name.as_ref()).collect();
            let mut symbolic = SymbolicRefs::of(repository, &names)?;
            let snapshot = Snapshot::read(repository)?;
            for found in &mut self.found {
                if let Symbolic::LeadsTo(target) = symbolic.follow(found.name.as_ref())? {
                    found.name = target;
                }
                found.old = snapshot.find(found.name.as_ref());
            }
            anyhow::Ok(())
        };
        let read = read().and_then(|()| self.deletes_packed());
        self.unpacks = read.map_err(|err| Aborted::new(self.mode, format!("{err:#}")))?;
        if let (Some(vote), Some(git)) = (&mut self.vote, &mut self.git) {
            let edits = self.edits.iter().zip(self.found.iter().map(|found| found.name.as_ref()));
            let noted = git.note_locks(self.site, edits, &mut vote.journal);
            noted.map_err(|err| Aborted::new(self.mode, format!("{err:#}")))?;
        }
        for index in 0..self.found.len() {
            let Found { name, old } = &self.found[index];
            if let Some(claim) = claims.iter().find(|claim| claim.holds(name.as_ref(), *old)) {
                let why = format!("push {} has not come to its end", claim.transaction);
                let why = words!("cannot lock ref '", name, "': ", why);
                self.fail(index, Failure::general(why))?;
                self.withdrawn = true;
            }
        }
        Ok(())
    }

    /// While a ref waits for the end of a vote, plain git is not to create another below or above it.
    pub(super) fn guard(&mut self) -> Result<(), Aborted> {
        let Some(vote) = self.vote.as_mut().filter(|_| self.site.repository.ref_format == RefFormat::Files) else {
            return Ok(());
        };
        let locked = self.found.iter().map(|found| found.name.clone()).collect();
        let mut ours = Ours::of(locked);
        let created =
            self.edits.iter().zip(&self.found).filter(|(edit, found)| edit.is_creation() && found.old.is_none());
        for (edit, Found { name, .. }) in created {
            let held = guard(name.as_ref(), edit, &mut ours, &vote.journal, self.site, &mut vote.made);
            let held = held.and_then(|held| held.ok_or_else(|| conflicts::below(name.as_ref(), edit, self.site)));
            self.guards.push(held.map_err(|failure| Aborted::new(self.mode, failure.message))?);
        }
        Ok(())
    }

    fn deletes_packed(&self) -> anyhow::Result<bool> {
        let deletions = self.edits.iter().zip(&self.found).filter(|(edit, _)| edit.is_deletion());
        let deleted: Vec<&BStr> = deletions.map(|(_, found)| found.name.as_ref()).collect();
        locks::are_packed(self.site, &deleted)
    }

    /// What git tells the hook of packed-refs, where there are any.
    pub(super) fn inner_lines(&self) -> BString {
        let mut lines = BString::default();
        if self.announced.hook.is_some() && self.site.repository.ref_format == RefFormat::Files {
            let null = self.site.repository.hash.null();
            let goes = self.standing().filter(|(_, edit)| edit.is_deletion());
            goes.for_each(|(index, _)| push_line(&mut lines, null, null, self.found[index].name.as_ref()));
        }
        lines
    }

    /// What the hook is told from `prepared` on: the refs that change, those behind symrefs last; old values as asked for.
    pub(super) fn hook_lines(&self) -> BString {
        let mut lines = BString::default();
        if self.announced.hook.is_some() {
            let mut standing: Vec<_> = self.standing().map(|(index, edit)| (&self.found[index].name, edit)).collect();
            standing.sort_by_key(|(name, edit)| **name != edit.name);
            standing
                .into_iter()
                .for_each(|(name, edit)| push_line(&mut lines, edit.expected(), edit.new, name.as_ref()));
        }
        lines
    }

    /// See [`Prepared::updates`](super::super::Prepared::updates).
    pub fn updates(&self) -> Vec<(ObjectId, ObjectId, &BStr)> {
        let null = self.site.repository.hash.null();
        let update = |(index, edit): (usize, &Edit)| {
            let found = &self.found[index];
            (found.old.unwrap_or(null), edit.new, found.name.as_bstr())
        };
        let mut updates: Vec<_> = self.standing().map(update).collect();
        updates.sort_unstable_by_key(|(_, _, name)| *name);
        updates
    }
}
