//! Few objects: each becomes a file of its own, and the pack is forgotten.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use gix::{
    ObjectId,
    objs::Kind,
    oid,
    zlib::{Compression, stream::deflate},
};

use super::{
    database::Database,
    decode::{Decoded, decode},
    entries::Entries,
    intake::Intake,
    progress::Progress,
    resolve::{Settings, resolve},
    rows::Base,
    visit::Visit,
};
use crate::{
    config::{Fsync, SharedRepository},
    shared_mode::create_dir,
};

/// Read the pack that begins with `header` and has `count` entries, and write each of its objects into the quarantine.
pub fn unpack(intake: &Intake<'_>, input: &mut dyn Read, header: ([u8; 12], u32)) -> Result<()> {
    let config = intake.config;
    // It has no name from the start.
    let file =
        tempfile::tempfile_in(intake.quarantine.dir()).context("cannot create a temporary file in quarantine")?;
    let limit = config.max_input_size.map(|limit| (limit, "pack exceeds maximum allowed size".into()));
    let loosen = Loosen {
        dir: intake.quarantine.dir().to_owned(),
        database: intake.database.clone(),
        level: Compression::new(config.loose_compression).unwrap_or(Compression::BEST_SPEED),
        shared: config.shared_repository,
        fsync: config.fsync,
    };
    let Decoded { mut rows, large, visit, .. } =
        decode(input, header, limit, intake.repository.hash, (&file, false), loosen)?;
    for row in large {
        let Base::None(kind) = rows.get(row).base else { continue };
        let mut entries = Entries::new(&file, &rows);
        let size = entries.size(row)?;
        visit.write(rows.id(row), kind, size, &mut |out| {
            entries.stream(row, &mut |bytes| out.write_all(bytes).context("cannot write"))
        })?;
    }
    let settings = Settings { threads: 1, limit: intake.delta_limit() };
    let silent = Progress::new("Resolving deltas", 0, None);
    let (unresolved, _) =
        resolve(&file, &mut rows, &visit, &settings, silent, &mut |id, data| intake.borrow(id, data))?;
    if unresolved > 0 {
        bail!("unresolved deltas left after unpacking");
    }
    Ok(())
}

/// Writes loose objects (gitformat-loose, gitrepository-layout).
#[derive(Clone)]
struct Loosen {
    dir: PathBuf,
    database: Database,
    level: Compression,
    shared: SharedRepository,
    fsync: Fsync,
}

impl Visit for Loosen {
    fn visit(&mut self, id: &ObjectId, kind: Kind, data: &[u8]) -> Result<()> {
        self.write(id, kind, data.len() as u64, &mut |out| out.write_all(data).context("cannot write"))
    }
}

impl Loosen {
    /// Write object `id`, whose content `fill` writes, unless it is there already.
    fn write(&self, id: &oid, kind: Kind, size: u64, fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
        if self.database.freshen(id) {
            return Ok(());
        }
        let path = gix::odb::loose::Store::at(&self.dir, id.kind()).object_path(id);
        let file = match self.create(&path) {
            Ok(file) => file,
            // Twice in the pack. Nobody else writes here.
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            Err(err) => return Err(err).with_context(|| format!("cannot create '{}'", path.display())),
        };
        let mut write = || -> Result<()> {
            let mut out = deflate::Write::new(&file, self.level);
            out.write_all(&gix::objs::encode::loose_header(kind, size))?;
            fill(&mut out)?;
            out.flush()?;
            self.shared.adjust(&path)?;
            if self.fsync.loose_objects {
                file.sync_all()?;
            }
            Ok(())
        };
        write().with_context(|| format!("cannot write '{}'", path.display()))
    }

    fn create(&self, path: &Path) -> std::io::Result<File> {
        let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o444).to_owned();
        match options.open(path) {
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            other => return other,
        }
        if let Some(dir) = path.parent() {
            create_dir(dir, self.shared)?;
        }
        options.open(path)
    }
}
