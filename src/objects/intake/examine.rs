//! What is looked at in each object of a pack that stays one, in the moment when its content is at hand.

use std::fs::File;

use anyhow::{Result, anyhow, bail, ensure};
use gix::{ObjectId, objs::Kind, oid};

use super::{
    decode::BATCH,
    entries::Entries,
    links::Links,
    rows::{Base, Rows},
    visit::Visit,
};
use crate::objects::{database::Database, fsck::stream::Inspector, known::Known};

/// Refuses an object that has the name of another one, or is not sound, and notes what it names itself.
pub struct Examine<'a> {
    pub known: Known,
    pub database: Database,
    pub existing: Vec<u8>,
    pub links: Links,
    pub fsck: Option<Inspector<'a>>,
    /// The largest object that is held in memory, in bytes.
    pub largest: u64,
    /// From which size on a blob is not checked whatever it is called, in bytes (`core.bigFileThreshold`).
    pub big_blob: u64,
}

impl Clone for Examine<'_> {
    fn clone(&self) -> Self {
        Examine {
            known: self.known.clone(),
            database: self.database.clone(),
            existing: Vec::new(),
            links: self.links.clone(),
            fsck: self.fsck.clone(),
            ..*self
        }
    }
}

impl Visit for Examine<'_> {
    fn visit(&mut self, id: &ObjectId, kind: Kind, data: &[u8]) -> Result<()> {
        self.links.note(id, kind, data);
        if self.known.contains(id) {
            let found = self.database.find(id, &mut self.existing)?;
            ensure!(found.is_none_or(|found| found == kind && self.existing == data), collision(id));
        }
        match &mut self.fsck {
            Some(fsck) => fsck.inspect(id, kind, data),
            None => Ok(()),
        }
    }

    fn passes_by(&self, kind: Kind, size: u64) -> bool {
        match (&self.fsck, kind) {
            (None, _) => size > BATCH as u64,
            (Some(_), Kind::Blob) => size > self.big_blob.min(BATCH as u64),
            (Some(_), _) => size > self.largest,
        }
    }
}

impl Examine<'_> {
    /// The same for those that were passed by while they came in. Content is compared up to a size.
    pub fn visit_large(&mut self, file: &File, rows: &Rows, large: &[u32]) -> Result<()> {
        for &row in large {
            let Base::None(kind) = rows.get(row).base else { continue };
            self.compare_large(file, rows, row, kind)?;
            self.inspect_large(file, rows, row, kind)?;
        }
        Ok(())
    }

    fn compare_large(&mut self, file: &File, rows: &Rows, row: u32, kind: Kind) -> Result<()> {
        let id = rows.id(row);
        if !self.known.contains(id) {
            return Ok(());
        }
        let Some(found) = self.database.header(id)? else { return Ok(()) };
        let mut entries = Entries::new(file, rows);
        ensure!(found == (kind, entries.size(row)?), collision(id));
        if found.1 > self.largest {
            return Ok(());
        }
        self.database.find(id, &mut self.existing)?;
        let mut left = &self.existing[..];
        entries.stream(row, &mut |bytes| {
            left = left.strip_prefix(bytes).ok_or_else(|| anyhow!("{}", collision(id)))?;
            Ok(())
        })
    }

    fn inspect_large(&mut self, file: &File, rows: &Rows, row: u32, kind: Kind) -> Result<()> {
        let (Some(fsck), id) = (&mut self.fsck, rows.id(row)) else { return Ok(()) };
        if kind != Kind::Blob {
            bail!("{kind} {id} is too large to be checked");
        }
        let Some(roles) = fsck.blob(id)? else { return Ok(()) };
        let mut entries = Entries::new(file, rows);
        let mut data = Vec::new();
        let is_big = entries.size(row)? > self.big_blob;
        if !is_big {
            entries.read(row, self.big_blob, &mut data)?;
        }
        fsck.check_blob(id, roles, (!is_big).then_some(&data))
    }
}

fn collision(id: &oid) -> String {
    format!("SHA1 COLLISION FOUND WITH {id} !")
}
