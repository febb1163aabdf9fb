//! The two files that a dumb HTTP client reads instead of asking a server: `info/refs` and `objects/info/packs`
//! (git-update-server-info, gitrepository-layout).

use std::{
    fs,
    io::{self, ErrorKind, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result};
use bstr::{BString, ByteSlice};
use gix::{
    ObjectId,
    objs::{Kind, TagRefIter},
};

use crate::{
    config::Config, objects::database::Database, refs::snapshot::Snapshot, repository::Repository,
    shared_mode::create_dir,
};

/// Write both files anew where their contents changed, one even if the other cannot be written.
pub fn update(repository: &Repository, config: &Config, database: &Database) -> Result<()> {
    let refs = refs(&Snapshot::read(repository)?, database)
        .and_then(|refs| replace(&repository.common_dir.join("info/refs"), &refs, config));
    let path = repository.objects_dir.join("info/packs");
    let packs = packs(&repository.objects_dir.join("pack"), &path).and_then(|packs| replace(&path, &packs, config));
    refs.and(packs)
}

/// `<id> TAB <name>` for each ref that leads to an object, and `<id> TAB <name>^{}` for what a tag points at in the end.
fn refs(snapshot: &Snapshot, database: &Database) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    let mut buffer = Vec::new();
    let mut entries = snapshot.entries();
    for entry in entries.by_ref() {
        let id = entry.id();
        if id.is_null() {
            continue;
        }
        let Some((kind, _)) = database.header(&id)? else {
            say!("error: {} does not point to a valid object!", entry.name());
            continue;
        };
        push_line(&mut lines, id, &[entry.name()])?;
        if kind == Kind::Tag
            && let Some(target) = peel(id, snapshot.hash(), database, &mut buffer)?
        {
            push_line(&mut lines, target, &[entry.name(), b"^{}"])?;
        }
    }
    entries.finish()?;
    Ok(lines)
}

/// A line of `info/refs`. The name is written as it is, text or not.
fn push_line(lines: &mut Vec<u8>, id: ObjectId, name: &[&[u8]]) -> io::Result<()> {
    write!(lines, "{id}\t")?;
    name.iter().for_each(|part| lines.extend_from_slice(part));
    lines.push(b'\n');
    Ok(())
}

/// What the tag `id` points at in the end, tags of tags followed; `None` if that is not there.
fn peel(
    mut id: ObjectId,
    hash: gix::hash::Kind,
    database: &Database,
    buffer: &mut Vec<u8>,
) -> Result<Option<ObjectId>> {
    // Ends: a tag names its target by a hash of content that was there before the tag's own.
    while let Some(kind) = database.find(&id, buffer)? {
        if kind != Kind::Tag {
            return Ok(Some(id));
        }
        let target = TagRefIter::from_bytes(buffer, hash).target_id();
        id = target.map_err(|err| anyhow::anyhow!("cannot read tag {id}: {err}"))?;
    }
    Ok(None)
}

/// `P <file name>` for each pack of the repository itself. Those that the old file lists keep their places, so that a
/// client which is half through it is not confused; if it lists one that is gone, it does not count.
fn packs(dir: &Path, listed: &Path) -> Result<Vec<u8>> {
    let mut found = Vec::<BString>::new();
    let failed = || format!("cannot read '{}'", dir.display());
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.with_context(failed)?.path();
                if path.extension().is_some_and(|extension| extension == "idx") && path.with_extension("pack").exists()
                {
                    found.push(path.with_extension("pack").file_name().unwrap_or_default().as_bytes().into());
                }
            }
        }
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        Err(err) => return Err(err).with_context(failed),
    }
    let old = fs::read(listed).unwrap_or_default();
    let old: Vec<_> = old.lines().filter_map(|line| line.strip_prefix(b"P ")).collect();
    if old.iter().all(|name| found.iter().any(|there| there == name)) {
        found.sort_by_key(|name| old.iter().position(|old| name == old).unwrap_or(old.len()));
    }
    let mut lines = Vec::new();
    for name in found {
        writeln!(lines, "P {name}")?;
    }
    lines.push(b'\n');
    Ok(lines)
}

/// Give the file at `path` this `content` in one step, unless it has it.
fn replace(path: &Path, content: &[u8], config: &Config) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        create_dir(dir, config.shared_repository)?;
        let everybody = fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().prefix("server-info_").permissions(everybody).tempfile_in(dir)?;
        file.write_all(content)?;
        config.shared_repository.adjust(file.path())?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("unable to update {}", path.display()))
}
