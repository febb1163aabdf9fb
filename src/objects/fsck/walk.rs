//! The objects of a pack that is unpacked: each is looked at as it comes, and what was found is told at the end, on a walk from
//! each of them, in the order of the pack, to all that it names.

use std::{
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Result, bail};
use bstr::BString;
use gix::{
    ObjectId,
    hashtable::{HashMap, hash_map::Entry},
    objs::Kind,
    oid,
};

use super::{
    Examiner, Fsck,
    report::{DotFile, Torn},
};
use crate::objects::database::Database;

/// Looks at one object after the other. Every thread that decodes has a clone.
pub struct Recorder<'a> {
    examiner: Examiner<'a>,
    records: &'a Records,
}

/// What was found in the commits, trees and tags so far.
#[derive(Default)]
pub struct Records(Mutex<HashMap<ObjectId, Record>>);

/// What was found in one.
struct Record {
    verdict: ControlFlow<()>,
    lines: BString,
    links: Vec<(Kind, ObjectId)>,
    torn: Option<Torn>,
    dot_files: Vec<(DotFile, ObjectId)>,
    is_told: bool,
}

impl Clone for Recorder<'_> {
    fn clone(&self) -> Self {
        self.examiner.fsck.recorder(self.records)
    }
}

impl Fsck<'_> {
    /// Something to show the objects of the pack to; it puts what it finds into `records`.
    pub fn recorder<'a>(&'a self, records: &'a Records) -> Recorder<'a> {
        Recorder { examiner: Examiner::new(self), records }
    }

    /// All objects were seen: tell what was found in those of `order`, and what they name. What they did not bring must be in
    /// `database`.
    pub fn walk<'i>(&self, records: &Records, order: impl Iterator<Item = &'i oid>, database: &Database) -> Result<()> {
        let mut records = records.lock();
        for id in order {
            let mut path = Vec::new();
            path.extend(self.enter(&mut records, id)?);
            while let Some(step) = path.last_mut() {
                let Some((kind, target)) = step.links.next() else {
                    if let Some(torn) = step.torn {
                        self.messages.error(torn.why);
                    }
                    if step.is_flawed || step.torn.is_some_and(|torn| torn.at_start) {
                        bail!("Error on reachable objects of {}", step.id);
                    }
                    path.pop();
                    continue;
                };
                match self.mentions.needed(kind, &target) {
                    Err(known) => {
                        self.tell_mismatch(&target, known, kind);
                        step.is_flawed = true;
                    }
                    Ok(true) => path.extend(self.enter(&mut records, &target)?),
                    Ok(false) if database.header(&target)?.is_some_and(|(found, _)| found == kind) => {
                        // Once is enough.
                        self.mentions.arrived(kind, &target).ok();
                    }
                    Ok(false) => bail!("object of unexpected type"),
                }
            }
        }
        Ok(())
    }

    /// Tell what was found in object `id`, if that was not done yet; returns the way on from there.
    fn enter(&self, records: &mut HashMap<ObjectId, Record>, id: &oid) -> Result<Option<Step>> {
        let Some(record) = records.get_mut(id).filter(|record| !record.is_told) else { return Ok(None) };
        record.is_told = true;
        self.tell(&record.lines);
        if record.verdict.is_break() {
            bail!("fsck error in packed object");
        }
        self.dot_files.add(&record.dot_files);
        let links = std::mem::take(&mut record.links).into_iter();
        Ok(Some(Step { id: id.to_owned(), links, torn: record.torn, is_flawed: false }))
    }
}

/// An object on the path of the walk.
struct Step {
    id: ObjectId,
    /// Those it names that were not visited yet.
    links: std::vec::IntoIter<(Kind, ObjectId)>,
    torn: Option<Torn>,
    /// It takes one of them for what that is not.
    is_flawed: bool,
}

impl Recorder<'_> {
    /// Look at object `id`. Fails if it is not to be taken, having told why.
    pub fn record(&mut self, id: &oid, kind: Kind, data: &[u8]) -> Result<()> {
        if kind == Kind::Blob {
            return self.blob(id);
        }
        let verdict = self.examiner.examine(id, kind, data)?;
        let report = &self.examiner.report;
        let record = Record {
            verdict,
            lines: report.lines.clone(),
            links: report.links.clone(),
            torn: report.torn,
            dot_files: report.dot_files.clone(),
            is_told: false,
        };
        match self.records.lock().entry(id.to_owned()) {
            Entry::Vacant(new) => new.insert(record),
            Entry::Occupied(_) => bail!("object {id} tried to add buffer twice!"),
        };
        Ok(())
    }

    /// Blob `id` arrived.
    pub fn blob(&mut self, id: &oid) -> Result<()> {
        let fsck = self.examiner.fsck;
        fsck.mentions.arrived(Kind::Blob, id).or_else(|known| {
            fsck.tell_mismatch(id, known, Kind::Blob);
            bail!("invalid blob object")
        })
    }
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectId, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
