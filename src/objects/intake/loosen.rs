//! Few objects: each of them becomes a loose one, in the quarantine, unless it is there already.

use std::io::Write;

use anyhow::{Context, Result, anyhow, bail};
use gix::{ObjectId, objs::Kind, oid, zlib::stream::deflate};

use super::{decode::BATCH, loose_file::LooseFile, visit::Visit};
use crate::{
    config::Config,
    objects::{database::Database, fsck::walk::Recorder, quarantine::Quarantine},
};

/// Makes loose objects.
pub struct Loosen<'a> {
    fsck: Option<Recorder<'a>>,
    /// The largest object that can be checked, in bytes.
    largest: u64,
    quarantine: &'a Quarantine,
    database: Database,
    file: LooseFile,
}

impl Clone for Loosen<'_> {
    fn clone(&self) -> Self {
        let (database, fsck) = (self.database.clone(), self.fsck.clone());
        Loosen { database, fsck, file: self.file.clone(), ..*self }
    }
}

impl Visit for Loosen<'_> {
    fn visit(&mut self, id: &ObjectId, kind: Kind, data: &[u8]) -> Result<()> {
        if let Some(fsck) = &mut self.fsck {
            fsck.record(id, kind, data)?;
        }
        if self.database.freshen(id) {
            return Ok(());
        }
        self.quarantine.add(id, kind, data, self.file.of(kind, data)?)
    }

    fn passes_by(&self, kind: Kind, size: u64) -> bool {
        let is_checked = self.fsck.is_some() && kind != Kind::Blob;
        size > if is_checked { self.largest } else { BATCH as u64 }
    }
}

impl<'a> Loosen<'a> {
    /// Nothing is checked.
    pub fn new(quarantine: &'a Quarantine, database: &Database, config: &Config) -> Self {
        let file = LooseFile::new(config.loose_compression);
        Loosen { fsck: None, largest: u64::MAX, quarantine, database: database.clone(), file }
    }

    /// Each object is checked by `fsck`, and none but a blob may have more than `largest` bytes.
    pub fn checked(self, fsck: Recorder<'a>, largest: u64) -> Self {
        Loosen { fsck: Some(fsck), largest, ..self }
    }

    /// Write an object that need not fit into memory: `fill` gives its content.
    pub fn write_large(
        &mut self,
        id: &oid,
        kind: Kind,
        size: u64,
        fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        match &mut self.fsck {
            Some(fsck) if kind == Kind::Blob => fsck.blob(id)?,
            Some(_) => bail!("{kind} {id} is too large to be checked"),
            None => {}
        }
        if self.database.freshen(id) {
            return Ok(());
        }
        let Some((path, file)) = self.quarantine.create_file(id)? else { return Ok(()) };
        let mut out = deflate::Write::new(&file, self.file.level());
        let context = || format!("cannot write '{}'", path.display());
        out.write_all(&gix::objs::encode::loose_header(kind, size)).with_context(context)?;
        fill(&mut out).with_context(context)?;
        out.flush().with_context(context)?;
        self.quarantine.seal(&path, &file)
    }
}

/// Write `data`, which came outside of any pack, as a blob into the quarantine, unless it is in the `database` already; its id,
/// of the given `hash`.
pub fn store_blob(
    data: &[u8],
    hash: gix::hash::Kind,
    quarantine: &Quarantine,
    database: &Database,
    config: &Config,
) -> Result<ObjectId> {
    let id = gix::objs::compute_hash(hash, Kind::Blob, data).map_err(|err| anyhow!("{err}"))?;
    Loosen::new(quarantine, database, config).visit(&id, Kind::Blob, data)?;
    Ok(id)
}
