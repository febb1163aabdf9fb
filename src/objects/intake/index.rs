//! Many objects: the pack stays a pack, gets an index, and is completed where it is thin.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::{
        ffi::OsStringExt,
        fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
    sync::PoisonError,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gix::{
    ObjectId,
    objs::Kind,
    oid,
    zlib::{Compression, stream::deflate},
};

use super::{
    Intake,
    by_id::ById,
    decode::{BATCH, Decoded, decode},
    entries::Entries,
    links::Links,
    pack_index::{write_index, write_reverse_index},
    progress::Progress,
    resolve::{Settings, resolve},
    rows::{Base, Rows},
    visit::Visit,
};
use crate::{
    objects::{
        database::Database,
        fsck::{Fsck, stream::Inspector},
        known::Known,
    },
    shared_mode::create_dir,
};

/// Read the pack that begins with `header` and has `count` entries into the quarantine, its objects checked by `fsck`. True if it is
/// known to be closed.
pub fn index(
    intake: &Intake<'_>,
    input: &mut dyn Read,
    header: ([u8; 12], u32),
    fsck: Option<&Fsck<'_>>,
) -> Result<bool> {
    let (config, hash) = (intake.config, intake.repository.hash);
    let dir = intake.quarantine.dir()?.join("pack");
    create_dir(&dir, config.shared_repository).with_context(|| format!("cannot create '{}'", dir.display()))?;
    let path = dir.join("tmp_pack");
    let file = create(&path)?;

    let limit = config
        .max_input_size
        .map(|limit| (limit, format!("pack exceeds maximum allowed size ({})", human_size(limit))));
    let (links, named) = Links::new(hash);
    let examine = Examine {
        known: intake.database.known(),
        database: intake.database.clone(),
        existing: Vec::new(),
        links,
        fsck: fsck.map(Fsck::inspector),
        largest: intake.delta_limit(),
        big_blob: config.big_file_threshold,
    };
    let Decoded { mut rows, large, mut visit, mut trailer } =
        decode(input, header, limit, hash, (&file, true), examine)?;
    intake.quarantine.interrupts.lasts();
    visit.visit_large(&file, &rows, &large)?;
    if large.iter().any(|&row| rows.kind(row) != Some(Kind::Blob)) {
        visit.links.give_up();
    }

    let mut borrowed = Borrowed { file: &file, at: rows.end, level: config.pack_compression, entries: Vec::new() };
    let messages = intake.progress.then_some(intake.messages);
    let progress = Progress::new("Resolving deltas", rows.deltas() as u64, messages);
    let settings = Settings { threads: intake.threads(), limit: intake.delta_limit() };
    let borrow = &mut |id: &oid, data: &mut Vec<u8>| match intake.borrow(id, data)? {
        Some(kind) => borrowed.append(id, kind, data).map(|()| Some(kind)),
        None => Ok(None),
    };
    let (unresolved, progress) = resolve(&file, &mut rows, visit, &settings, progress, borrow)?;
    progress.finish(&match borrowed.entries.len() {
        0 => "done".into(),
        1 => "completed with 1 local object".into(),
        n => format!("completed with {n} local objects"),
    });
    match unresolved {
        0 => {}
        1 => bail!("pack has 1 unresolved delta"),
        n => bail!("pack has {n} unresolved deltas"),
    }
    let is_thin = !borrowed.entries.is_empty();
    if is_thin {
        trailer = borrowed.complete(&mut rows)?;
    }

    if let Some(fsck) = fsck {
        fsck.find_missing(intake.database)?;
    }

    let name = |extension| dir.join(format!("pack-{trailer}.{extension}"));
    let written = |what, path: &Path, file: &File, sync| seal(intake, path, file, sync).context(what);
    let index = create(&name("idx"))?;
    let order = ById::new(rows.count(), |row| rows.id(row));
    ensure_lone_bases(&rows, &order)?;
    let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
    // What was borrowed was not looked at.
    let is_closed = !is_thin && named.are_among(&rows, &order) && !named.may_be_too_deep(config.max_tree_depth.into());
    write_index(&index, &rows, &order, &trailer).context("cannot write the pack's index")?;
    written("cannot write the pack's index", &name("idx"), &index, config.fsync.pack_metadata)?;
    if config.write_reverse_index {
        let reverse = create(&name("rev"))?;
        write_reverse_index(&reverse, &order, hash, &trailer).context("cannot write the pack's reverse index")?;
        written("cannot write the pack's reverse index", &name("rev"), &reverse, config.fsync.pack_metadata)?;
    }
    let mut keep = create(&name("keep"))?;
    let host = nix::unistd::gethostname().unwrap_or_default().into_vec();
    let message = [format!("receive-pack {} on ", std::process::id()).as_bytes(), &host, b"\n"].concat();
    keep.write_all(&message).context("cannot write the pack's keep file")?;
    written("cannot write the pack's keep file", &name("keep"), &keep, config.fsync.pack_metadata)?;
    written("cannot write the pack", &path, &file, config.fsync.packs)?;
    fs::rename(&path, name("pack")).context("cannot name the pack")?;
    if let Some(fsck) = fsck {
        ensure_unique(&rows, &order)?;
        fsck.check_dot_files(&intake.everything(), intake.delta_limit(), false)?;
    }
    Ok(is_closed)
}

/// What a delta is based on by its id may not be there twice: a reader of the pack could take the one that is made of the delta
/// itself, and go in circles. `order` is that of the ids.
fn ensure_lone_bases(rows: &Rows, order: &ById) -> Result<()> {
    for base in (0..rows.refs()).map(|number| rows.ref_base(number)) {
        ensure!(
            order.find(base, |row| rows.id(row)).len() <= 1,
            "deltas are based on {base}, which is in the pack twice"
        );
    }
    Ok(())
}

/// No object may be there twice, which a check of each alone does not show. `order` is that of the ids.
fn ensure_unique(rows: &Rows, order: &ById) -> Result<()> {
    for pair in order.numbers.windows(2) {
        let id = rows.id(pair[0]);
        ensure!(id != rows.id(pair[1]), "The same object {id} appears twice in the pack");
    }
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    // Read-only for all but this descriptor; and it is the umask that says for whom.
    let options = File::options().read(true).write(true).create_new(true).mode(0o444).to_owned();
    options.open(path).with_context(|| format!("cannot create '{}'", path.display()))
}

/// The file at `path` is complete: nobody writes to it any more, and it is on disk if asked for.
fn seal(intake: &Intake<'_>, path: &Path, file: &File, sync: bool) -> Result<()> {
    intake.config.shared_repository.adjust(path)?;
    if sync {
        file.sync_all()?;
    }
    Ok(())
}

/// Objects that a thin pack is based on, put behind its own.
struct Borrowed<'a> {
    file: &'a File,
    at: u64,
    level: i32,
    entries: Vec<(u64, u32, Kind, ObjectId)>,
}

impl Borrowed<'_> {
    fn append(&mut self, id: &oid, kind: Kind, data: &[u8]) -> Result<()> {
        let mut entry = Vec::new();
        let header = match kind {
            Kind::Commit => gix_pack::data::entry::Header::Commit,
            Kind::Tree => gix_pack::data::entry::Header::Tree,
            Kind::Blob => gix_pack::data::entry::Header::Blob,
            Kind::Tag => gix_pack::data::entry::Header::Tag,
        };
        header.write_to(data.len() as u64, &mut entry)?;
        let mut out = deflate::Write::new(entry, Compression::new(self.level).unwrap_or_default());
        out.write_all(data)?;
        out.flush()?;
        let entry = out.into_inner();
        self.file.write_all_at(&entry, self.at).context("cannot complete the pack")?;
        self.entries.push((self.at, crc32fast::hash(&entry), kind, id.to_owned()));
        self.at += entry.len() as u64;
        Ok(())
    }

    /// Make a pack of it again: `rows` get the new entries, the header their number. Returns the new trailer.
    fn complete(self, rows: &mut Rows) -> Result<ObjectId> {
        let mut added = Vec::new();
        for (offset, crc, kind, id) in self.entries {
            added.push((rows.push(offset, crc, Base::None(kind)), id, kind));
        }
        rows.end = self.at;
        let mut ids = rows.take_ids();
        added.iter().for_each(|(row, id, kind)| ids.set(*row, id, *kind));
        rows.put_ids(ids);

        let rewrite = || -> std::io::Result<ObjectId> {
            self.file.write_all_at(&rows.count().to_be_bytes(), 8)?;
            let mut hasher = gix::hash::hasher(rows.hash);
            let (mut block, mut at) = (vec![0; 1 << 17], 0);
            while at < self.at {
                let len = (self.at - at).min(block.len() as u64) as usize;
                self.file.read_exact_at(&mut block[..len], at)?;
                hasher.update(&block[..len]);
                at += len as u64;
            }
            let trailer = hasher.try_finalize().map_err(std::io::Error::other)?;
            self.file.write_all_at(trailer.as_slice(), self.at)?;
            self.file.set_len(self.at + rows.hash.len_in_bytes() as u64)?;
            Ok(trailer)
        };
        rewrite().context("cannot complete the pack")
    }
}

/// Refuses an object that has the name of another one, or is not sound, and notes what it names itself.
struct Examine<'a> {
    known: Known,
    database: Database,
    existing: Vec<u8>,
    links: Links,
    fsck: Option<Inspector<'a>>,
    /// The largest object that is held in memory, in bytes.
    largest: u64,
    /// From which size on a blob is not checked whatever it is called, in bytes (`core.bigFileThreshold`).
    big_blob: u64,
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
    fn visit_large(&mut self, file: &File, rows: &Rows, large: &[u32]) -> Result<()> {
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

/// `bytes` as git writes sizes for people.
fn human_size(bytes: u64) -> String {
    let scaled = |unit: u64, name: &str, round: u64| {
        let bytes = bytes + round;
        format!("{}.{:02} {name}", bytes / unit, bytes % unit * 100 / unit)
    };
    match bytes {
        0x4000_0001.. => format!("{}.{:02} GiB", bytes >> 30, (bytes & 0x3fff_ffff) / 10_737_419),
        0x10_0001.. => scaled(1 << 20, "MiB", 5243),
        0x401.. => scaled(1 << 10, "KiB", 5),
        1 => "1 byte".into(),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_git() {
        for (bytes, text) in [
            (1, "1 byte"),
            (1000, "1000 bytes"),
            (1024, "1024 bytes"),
            (1536, "1.50 KiB"),
            (5 << 20, "5.00 MiB"),
            (3 << 30, "3.00 GiB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }
}
