//! Out of quarantine in balanced mode: each file gets a second name among the repository's objects, and keeps the first
//! until the refs are in place, so that whoever finds this half done can do it again.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    database::touch,
    migrate::{Kept, are_alike, compare, has_extension},
    quarantine::Quarantine,
};
use crate::{durable, shared_mode::create_dir};

impl Quarantine {
    /// Make everything in it, and its own name, last.
    pub fn sync(&self) -> Result<()> {
        let mut paths = durable::everything_below(self.dir()?).with_context(|| self.failed("list"))?;
        paths.push(self.objects_dir.clone());
        durable::sync(&paths).with_context(|| self.failed("sync"))
    }

    /// Fails if the repository has other content under a name that is needed for an object or a pack of this one.
    pub fn check_names(&self) -> Result<()> {
        for (from, to) in self.placements()? {
            if !is_loose(&to) && !has_extension(&to, "keep") && is_there(&to)? {
                compare(&from, &to)?;
            }
        }
        Ok(())
    }

    /// Give every file its name among the repository's objects, on disk; some may have it already. Keep the returned value
    /// until the refs are in place.
    pub fn link_in(&self) -> Result<Kept> {
        let mut kept = Kept::default();
        let mut directories = BTreeSet::from([self.objects_dir.clone()]);
        for (from, to) in self.placements()? {
            if let Some(directory) = to.parent()
                && directories.insert(directory.to_owned())
            {
                create_dir(directory, self.shared)
                    .with_context(|| format!("cannot create '{}'", directory.display()))?;
            }
            let is_new = link(&from, &to).with_context(|| format!("cannot link '{}'", to.display()))?;
            if has_extension(&to, "keep") {
                if is_new || are_alike(&from, &to)? {
                    kept.add(&to, &self.interrupts);
                }
            } else if !is_new {
                if !is_loose(&to) {
                    compare(&from, &to)?;
                }
                touch(&to);
            }
        }
        let directories: Vec<PathBuf> = directories.into_iter().collect();
        durable::sync(&directories).with_context(|| format!("cannot sync '{}'", self.objects_dir.display()))?;
        Ok(kept)
    }

    /// Remove it, and the `.keep` files that it has brought, when the refs are in place.
    pub fn clear(self) -> Result<()> {
        for (from, to) in self.placements()? {
            if has_extension(&to, "keep") && is_there(&to)? && are_alike(&from, &to)? {
                fs::remove_file(&to).with_context(|| format!("cannot remove '{}'", to.display()))?;
            }
        }
        fs::remove_dir_all(self.dir()?).with_context(|| self.failed("remove"))
    }

    /// Each file with the name that it is to have, in the order in which readers may see them.
    fn placements(&self) -> Result<Vec<(PathBuf, PathBuf)>> {
        let mut placements = Vec::new();
        for fan_out in fs::read_dir(self.dir()?).with_context(|| self.failed("list"))? {
            let fan_out = fan_out.with_context(|| self.failed("list"))?;
            let name = fan_out.file_name();
            if name.len() == 2 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit) {
                for object in fs::read_dir(fan_out.path()).with_context(|| self.failed("list"))? {
                    let object = object.with_context(|| self.failed("list"))?;
                    // Temporary ones of a hook's git stay where they are.
                    if !object.file_name().as_encoded_bytes().starts_with(b"tmp_") {
                        placements.push((object.path(), self.objects_dir.join(&name).join(object.file_name())));
                    }
                }
            }
        }
        let packs = self.packs()?.into_iter();
        placements.extend(packs.map(|(name, from)| (from, self.objects_dir.join("pack").join(name))));
        Ok(placements)
    }

    fn failed(&self, what: &str) -> String {
        format!("cannot {what} the quarantine '{}'", self.made().unwrap_or(&self.objects_dir).display())
    }
}

/// True if the path is that of a loose object: whatever its bytes are, it is what its name says.
fn is_loose(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|name| name.len() == 2)
}

fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().with_context(|| format!("cannot look for '{}'", path.display()))
}

/// Give the file `from` the name `to` as well, unless there is something already: then false.
fn link(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => return Ok(true),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // Not on every file system, nor any number of them.
        Err(_) if to.symlink_metadata().is_ok() => return Ok(false),
        Err(_) => {}
    }
    // A name that git prune knows.
    let mut name = std::ffi::OsString::from("tmp_obj_");
    name.push(to.file_name().unwrap_or_default());
    let copy = to.with_file_name(name);
    fs::remove_file(&copy).ok();
    fs::copy(from, &copy)
        .and_then(|_| File::open(&copy)?.sync_all())
        .and_then(|()| fs::rename(&copy, to))
        .inspect_err(|_| {
            fs::remove_file(&copy).ok();
        })?;
    Ok(true)
}
