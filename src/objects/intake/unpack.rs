//! Few objects: each becomes a file of its own, and the pack is forgotten.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

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
    decode::{Decoded, decode},
    entries::Entries,
    progress::Progress,
    resolve::{Settings, resolve},
    rows::Base,
    visit::Visit,
};
use crate::{
    config::{Config, Fsync, SharedRepository},
    objects::{database::Database, quarantine::Quarantine},
    shared_mode::create_dir,
};

/// Read the pack that begins with `header` and has `count` entries, and write each of its objects into the quarantine.
pub fn unpack(intake: &Intake<'_>, input: &mut dyn Read, header: ([u8; 12], u32)) -> Result<()> {
    let config = intake.config;
    // It has no name from the start.
    let file =
        tempfile::tempfile_in(intake.quarantine.dir()).context("cannot create a temporary file in quarantine")?;
    let limit = config.max_input_size.map(|limit| (limit, "pack exceeds maximum allowed size".into()));
    let loosen = Loosen::new(intake.quarantine, intake.database, config);
    let Decoded { mut rows, large, mut visit, .. } =
        decode(input, header, limit, intake.repository.hash, (&file, false), loosen)?;
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

/// Writes loose objects (gitformat-loose, gitrepository-layout).
struct Loosen {
    dir: PathBuf,
    database: Database,
    level: Compression,
    shared: SharedRepository,
    fsync: Fsync,
    /// The directories that were made for objects whose ids begin with this byte.
    made: [bool; 256],
    compress: Compress,
    file: Vec<u8>,
}

impl Clone for Loosen {
    fn clone(&self) -> Self {
        let (dir, database) = (self.dir.clone(), self.database.clone());
        Loosen { dir, database, compress: Compress::new(self.level), file: Vec::new(), ..*self }
    }
}

impl Visit for Loosen {
    fn visit(&mut self, id: &ObjectId, kind: Kind, data: &[u8]) -> Result<()> {
        let Some((path, mut file)) = self.create(id)? else { return Ok(()) };
        // A fresh one is spared the clearing of its tables.
        if self.compress.total_in() > 0 {
            self.compress.reset();
        }
        self.file.clear();
        let header = gix::objs::encode::loose_header(kind, data.len() as u64);
        self.deflate(&header, FlushCompress::None)?;
        self.deflate(data, FlushCompress::Finish)?;
        file.write_all(&self.file).with_context(|| format!("cannot write '{}'", path.display()))?;
        self.seal(&path, &file)
    }
}

impl Loosen {
    fn new(quarantine: &Quarantine, database: &Database, config: &Config) -> Self {
        let level = Compression::new(config.loose_compression).unwrap_or(Compression::BEST_SPEED);
        Loosen {
            dir: quarantine.dir().to_owned(),
            database: database.clone(),
            level,
            shared: config.shared_repository,
            fsync: config.fsync,
            made: [false; 256],
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
        let Some((path, file)) = self.create(id)? else { return Ok(()) };
        let mut out = deflate::Write::new(&file, self.level);
        let context = || format!("cannot write '{}'", path.display());
        out.write_all(&gix::objs::encode::loose_header(kind, size)).with_context(context)?;
        fill(&mut out).with_context(context)?;
        out.flush().with_context(context)?;
        self.seal(&path, &file)
    }

    /// The file that object `id` goes to; `None` if it is there already.
    fn create(&mut self, id: &oid) -> Result<Option<(PathBuf, File)>> {
        if self.database.freshen(id) {
            return Ok(None);
        }
        let path = gix::odb::loose::Store::at(&self.dir, id.kind()).object_path(id);
        let made = &mut self.made[usize::from(id.first_byte())];
        if let (Some(dir), false) = (path.parent(), *made) {
            create_dir(dir, self.shared).with_context(|| format!("cannot create '{}'", dir.display()))?;
            *made = true;
        }
        match File::options().write(true).create_new(true).mode(0o444).open(&path) {
            Ok(file) => Ok(Some((path, file))),
            // Twice in the pack: nobody else writes here.
            Err(err) if err.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(err) => Err(err).with_context(|| format!("cannot create '{}'", path.display())),
        }
    }

    /// The file at `path` is complete.
    fn seal(&self, path: &Path, file: &File) -> Result<()> {
        let sealed = self.shared.adjust(path).and_then(|()| match self.fsync.loose_objects {
            true => file.sync_all(),
            false => Ok(()),
        });
        sealed.with_context(|| format!("cannot write '{}'", path.display()))
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
