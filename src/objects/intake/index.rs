//! Many objects: the pack stays a pack, gets an index, and is completed where it is thin.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::{ffi::OsStringExt, fs::OpenOptionsExt},
    path::Path,
    sync::PoisonError,
};

use anyhow::{Context, Result, bail, ensure};
use gix::{objs::Kind, oid};

use super::{
    Intake,
    by_id::ById,
    complete::Borrowed,
    decode::{Decoded, decode},
    examine::Examine,
    links::Links,
    pack_index::{write_index, write_reverse_index},
    progress::Progress,
    resolve::{Settings, resolve},
    rows::Rows,
};
use crate::{objects::fsck::Fsck, shared_mode::create_dir};

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

    let mut borrowed = Borrowed::new(&file, rows.end, config.pack_compression);
    let messages = intake.progress.then_some(intake.messages);
    let progress = Progress::new("Resolving deltas", rows.deltas() as u64, messages);
    let settings = Settings { threads: intake.threads(), limit: intake.delta_limit() };
    let borrow = &mut |id: &oid, data: &mut Vec<u8>| match intake.borrow(id, data)? {
        Some(kind) => borrowed.append(id, kind, data).map(|()| Some(kind)),
        None => Ok(None),
    };
    let (unresolved, progress) = resolve(&file, &mut rows, visit, &settings, progress, borrow)?;
    progress.finish(&match borrowed.count() {
        0 => "done".into(),
        1 => "completed with 1 local object".into(),
        n => format!("completed with {n} local objects"),
    });
    match unresolved {
        0 => {}
        1 => bail!("pack has 1 unresolved delta"),
        n => bail!("pack has {n} unresolved deltas"),
    }
    let is_thin = borrowed.count() > 0;
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
