//! Few objects: each becomes a file of its own, and the pack is forgotten.

use std::io::{Read, Write};

use anyhow::{Context, Result, anyhow, bail};
use gix::{
    ObjectId,
    objs::Kind,
    oid,
    zlib::{
        Compression, Status,
        stream::deflate::{self, Compress, FlushCompress},
    },
};

use super::{
    Intake,
    decode::{BATCH, Decoded, decode},
    entries::Entries,
    progress::Progress,
    resolve::{Settings, resolve},
    rows::Base,
    spool::Spool,
    visit::Visit,
};
use crate::{
    config::Config,
    objects::{
        database::Database,
        fsck::{
            Fsck,
            walk::{Recorder, Records},
        },
        quarantine::Quarantine,
    },
};

/// From so many objects on, threads are worth what they cost.
const THREADED: u32 = 32;

/// Read the pack that begins with `header` and has `count` entries, and write each of its objects, checked by `fsck`, into the
/// quarantine.
pub fn unpack(
    intake: &Intake<'_>,
    input: &mut dyn Read,
    header: ([u8; 12], u32),
    fsck: Option<&Fsck<'_>>,
) -> Result<()> {
    let config = intake.config;
    let file = Spool::new(intake.quarantine);
    let limit = config.max_input_size.map(|limit| (limit, "pack exceeds maximum allowed size".into()));
    let records = Records::default();
    let loosen = Loosen {
        fsck: fsck.map(|fsck| fsck.recorder(&records)),
        largest: intake.delta_limit(),
        ..Loosen::new(intake.quarantine, intake.database, config)
    };
    let Decoded { mut rows, large, mut visit, .. } =
        decode(input, header, limit, intake.repository.hash, (&file, header.1 >= THREADED), loosen)?;
    if intake.quarantine.is_made() {
        intake.quarantine.interrupts.lasts();
    }
    for row in large {
        let Base::None(kind) = rows.get(row).base else { continue };
        let mut entries = Entries::new(&file, &rows);
        let size = entries.size(row)?;
        visit.write_large(rows.id(row), kind, size, &mut |out| {
            entries.stream(row, &mut |bytes| out.write_all(bytes).context("cannot write"))
        })?;
    }
    let settings = Settings { threads: 1, limit: intake.delta_limit() };
    let silent = Progress::new("Resolving deltas", 0, None);
    let (unresolved, _) = resolve(&file, &mut rows, visit, &settings, silent, &mut |id, data| intake.borrow(id, data))?;
    if unresolved > 0 {
        bail!("unresolved deltas left after unpacking");
    }
    if let Some(fsck) = fsck {
        fsck.walk(&records, (0..rows.count()).map(|row| rows.id(row)), intake.database)?;
        fsck.check_dot_files(&intake.everything(), intake.delta_limit(), true)?;
    }
    Ok(())
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

/// Makes loose objects (gitformat-loose).
struct Loosen<'a> {
    fsck: Option<Recorder<'a>>,
    /// The largest object that can be checked, in bytes.
    largest: u64,
    quarantine: &'a Quarantine,
    database: Database,
    level: Compression,
    compress: Compress,
    file: Vec<u8>,
}

impl Clone for Loosen<'_> {
    fn clone(&self) -> Self {
        let (database, fsck) = (self.database.clone(), self.fsck.clone());
        Loosen { database, fsck, compress: Compress::new(self.level), file: Vec::new(), ..*self }
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
        // A fresh one is spared the clearing of its tables.
        if self.compress.total_in() > 0 {
            self.compress.reset();
        }
        self.file.clear();
        let header = gix::objs::encode::loose_header(kind, data.len() as u64);
        self.deflate(&header, FlushCompress::None)?;
        self.deflate(data, FlushCompress::Finish)?;
        self.quarantine.add(id, kind, data, &self.file)
    }

    fn passes_by(&self, kind: Kind, size: u64) -> bool {
        let is_checked = self.fsck.is_some() && kind != Kind::Blob;
        size > if is_checked { self.largest } else { BATCH as u64 }
    }
}

impl<'a> Loosen<'a> {
    /// Nothing is checked.
    fn new(quarantine: &'a Quarantine, database: &Database, config: &Config) -> Self {
        let level = Compression::new(config.loose_compression).unwrap_or(Compression::BEST_SPEED);
        Loosen {
            fsck: None,
            largest: u64::MAX,
            quarantine,
            database: database.clone(),
            level,
            compress: Compress::new(level),
            file: Vec::new(),
        }
    }

    /// Write an object that need not fit into memory: `fill` gives its content.
    fn write_large(
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
        let mut out = deflate::Write::new(&file, self.level);
        let context = || format!("cannot write '{}'", path.display());
        out.write_all(&gix::objs::encode::loose_header(kind, size)).with_context(context)?;
        fill(&mut out).with_context(context)?;
        out.flush().with_context(context)?;
        self.quarantine.seal(&path, &file)
    }

    /// Add what `input` compresses to.
    fn deflate(&mut self, mut input: &[u8], flush: FlushCompress) -> Result<()> {
        let mut block = [0; 1 << 13];
        loop {
            let (read, wrote) = (self.compress.total_in(), self.compress.total_out());
            let status = self.compress.compress(input, &mut block, flush);
            let status = status.map_err(|err| anyhow!("cannot compress: {err}"))?;
            input = &input[(self.compress.total_in() - read) as usize..];
            let wrote = (self.compress.total_out() - wrote) as usize;
            self.file.extend_from_slice(&block[..wrote]);
            match (status, flush) {
                (Status::StreamEnd, _) => return Ok(()),
                (_, FlushCompress::None) if input.is_empty() => return Ok(()),
                _ => {}
            }
        }
    }
}
