//! Objects that only have to be given their names: each waits in a file beside its place, under a name that is no object's and
//! that `git prune` knows. So what can go wrong with them goes wrong while the push can still be told that it did not unpack.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use gix::oid;
use tempfile::{Builder, TempPath};

use super::{database::touch, loose, migrate::move_file, quarantine::Quarantine};
use crate::{interrupt::Doomed, shared_mode::create_dir};

/// Files that are removed if they are not moved in, together with the directories that were made for them.
#[derive(Debug, Default)]
pub struct Staged {
    files: Vec<(TempPath, PathBuf, Doomed)>,
    directories: Vec<(PathBuf, Doomed)>,
}

impl Staged {
    /// Write all that `quarantine` holds in memory.
    pub fn write(quarantine: &Quarantine) -> Result<Self> {
        // A signal finds all of it, or nothing.
        let _whole = quarantine.interrupts.hold_off();
        let mut this = Staged::default();
        quarantine.held.write(|id, file| this.add(quarantine, id, file))?;
        Ok(this)
    }

    fn add(&mut self, quarantine: &Quarantine, id: &oid, content: &[u8]) -> Result<()> {
        let interrupts = &quarantine.interrupts;
        let to = loose::path(&quarantine.objects_dir, id);
        let directory = to.parent().unwrap_or(&quarantine.objects_dir);
        let read_only = fs::Permissions::from_mode(0o444);
        let create = || Builder::new().prefix("tmp_obj_").permissions(read_only.clone()).tempfile_in(directory);
        let created = create().or_else(|err| match err.kind() {
            ErrorKind::NotFound => {
                let made = interrupts.create_directory(directory, |path| create_dir(path, quarantine.shared))?;
                self.directories.push((directory.to_owned(), made));
                create()
            }
            _ => Err(err),
        });
        let (mut file, from) = created.with_context(|| format!("cannot create '{}'", to.display()))?.into_parts();
        let doomed = interrupts.doom(from.to_path_buf());
        file.write_all(content).with_context(|| format!("cannot write '{}'", to.display()))?;
        quarantine.seal(&from, &file)?;
        self.files.push((from, to, doomed));
        Ok(())
    }

    /// Give them their names. One that is there by now stays as it is, and counts as just used.
    pub fn move_in(mut self) -> Result<()> {
        for (from, to, doomed) in self.files.drain(..) {
            if doomed.settle(|| move_file(&from, &to))? {
                // Nothing has that name any more.
                from.keep().ok();
            } else {
                touch(&to);
            }
        }
        self.directories.clear();
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.files.clear();
        for (directory, doomed) in self.directories.drain(..) {
            // Somebody else may use it by now.
            doomed.settle(|| fs::remove_dir(Path::new(&directory))).ok();
        }
    }
}
