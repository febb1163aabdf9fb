//! The objects of a pack that stays one, checked as they come, and what they need looked for at the end.

use std::ops::ControlFlow;

use anyhow::{Result, bail, ensure};
use gix::{objs::Kind, oid};

use super::{
    Examiner, Fsck,
    dot_files::{self, Roles},
};
use crate::objects::database::Database;

/// Checks one object after the other. Every thread that decodes has a clone.
pub struct Inspector<'a>(Examiner<'a>);

impl Clone for Inspector<'_> {
    fn clone(&self) -> Self {
        self.0.fsck.inspector()
    }
}

impl Fsck<'_> {
    /// Something to show the objects of the pack to.
    pub fn inspector(&self) -> Inspector<'_> {
        Inspector(Examiner::new(self))
    }

    /// All objects were seen: what they need and did not bring must be in `database`.
    pub fn find_missing(&self, database: &Database) -> Result<()> {
        for (kind, id) in self.mentions.awaited() {
            match database.header(&id)? {
                None => bail!("did not receive expected object {id}"),
                Some((found, _)) if found != kind => bail!("object {id}: expected type {kind}, found {found}"),
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl Inspector<'_> {
    /// Look at object `id`. Fails if it is not to be taken, having told why.
    pub fn inspect(&mut self, id: &oid, kind: Kind, data: &[u8]) -> Result<()> {
        if kind == Kind::Blob {
            return match self.blob(id)? {
                Some(roles) => self.check_blob(id, roles, Some(data)),
                None => Ok(()),
            };
        }
        let fsck = self.0.fsck;
        let verdict = self.0.examine(id, kind, data)?;
        self.judge(verdict)?;
        let report = &self.0.report;
        fsck.dot_files.add(&report.dot_files);
        // A commit's and a tag's were noted when they were read.
        let links = if kind == Kind::Tree { &report.links[..] } else { &[] };
        for (target_kind, target) in links {
            if let Err(known) = fsck.mentions.needed(*target_kind, target) {
                fsck.tell_mismatch(target, known, *target_kind);
                bail!("Not all child objects of {id} are reachable");
            }
        }
        if let Some(torn) = report.torn {
            fsck.messages.error(torn.why);
            ensure!(!torn.at_start, "Not all child objects of {id} are reachable");
        }
        Ok(())
    }

    /// Blob `id` arrived. Returns how its content is to be checked, if that matters.
    pub fn blob(&mut self, id: &oid) -> Result<Option<Roles>> {
        let fsck = self.0.fsck;
        if let Err(known) = fsck.mentions.arrived(Kind::Blob, id) {
            fsck.tell_mismatch(id, known, Kind::Blob);
            bail!("invalid blob object {id}");
        }
        Ok(fsck.dot_files.take(id))
    }

    /// Check a blob's content; `None` stands for one that is too large.
    pub fn check_blob(&mut self, id: &oid, roles: Roles, data: Option<&[u8]>) -> Result<()> {
        let report = &mut self.0.report;
        report.begin(id);
        let verdict = dot_files::check(roles, data, report);
        self.judge(verdict)
    }

    /// Tell what was found.
    fn judge(&self, verdict: ControlFlow<()>) -> Result<()> {
        self.0.fsck.tell(&self.0.report.lines);
        match verdict {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => bail!("fsck error in packed object"),
        }
    }
}
