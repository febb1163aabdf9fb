//! Out of quarantine: each file of the push gets its name among the repository's objects.
//!
//! Loose objects go first, since nobody looks for what they reach before a ref does; of a pack its `.idx` goes last,
//! since that is the file by which git finds the others. No file of the repository is ever replaced.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
};

use super::{database::touch, quarantine::Quarantine, staged::Staged};
use crate::{
    interrupt::{Doomed, Interrupts},
    shared_mode::create_dir,
};

/// The `.keep` files that guard the packs of a push while no ref reaches them; dropping it removes them.
#[derive(Debug, Default)]
pub struct Kept(Vec<(PathBuf, Doomed)>);

impl Kept {
    /// Leave them where they are, with the quarantine that a recovery is to find.
    pub fn leave(mut self) {
        self.0.clear();
    }

    pub(super) fn add(&mut self, path: &Path, interrupts: &Interrupts) {
        self.0.push((path.to_owned(), interrupts.doom(path.to_owned())));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for (path, doomed) in self.0.drain(..) {
            doomed.remove(&path, |path| fs::remove_file(path));
        }
    }
}

/// The order in which the files of packs move: what a reader finds first comes last (gitformat-pack).
const PACK_FILES: [&str; 4] = ["keep", "pack", "rev", "idx"];

impl Quarantine {
    /// Move everything in, and leave no quarantine. Keep the returned value until the refs are in place.
    ///
    /// A file that is there already, with the same content, stays as it is and counts as just used. An error leaves
    /// objects of the push behind that nothing refers to.
    pub fn migrate(mut self) -> Result<Kept> {
        // A signal either stops all of it or nothing.
        let _whole = self.interrupts.hold_off();
        self.stage()?;
        let staged = self.staged.take();
        let Some(dir) = self.made() else {
            return staged.map_or(Ok(()), Staged::move_in).map(|()| Kept::default());
        };
        let packs = self.packs()?;
        let pack_dir = self.objects_dir.join("pack");
        let mut kept = Kept::default();
        let cannot = || format!("cannot read '{}'", dir.display());
        for entry in fs::read_dir(dir).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let name = entry.file_name();
            if name.len() == 2 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit) {
                self.move_fan_out(&entry.path(), &self.objects_dir.join(name))?;
            }
        }
        if !packs.is_empty() {
            create_dir(&pack_dir, self.shared).with_context(|| format!("cannot create '{}'", pack_dir.display()))?;
        }
        for (name, from) in &packs {
            let to = pack_dir.join(name);
            let moved = move_file(from, &to)?;
            if has_extension(&to, "keep") {
                // Somebody else's stays, and is not ours to remove.
                if moved {
                    kept.add(&to, &self.interrupts);
                }
            } else if !moved {
                compare(from, &to)?;
                touch(&to);
            }
        }
        Ok(kept)
    }

    /// The files in `pack/`, in the order in which they move. Temporary ones of a hook's git stay where they are.
    pub(super) fn packs(&self) -> Result<Vec<(std::ffi::OsString, PathBuf)>> {
        let cannot = "cannot list the packs in quarantine";
        let entries = match fs::read_dir(self.dir()?.join("pack")) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err).context(cannot),
        };
        // One that cannot be seen must not be lost.
        let entries = entries.collect::<io::Result<Vec<_>>>().context(cannot)?;
        let mut files = entries
            .into_iter()
            .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"pack-"))
            .map(|entry| (entry.file_name(), entry.path()))
            .collect::<Vec<_>>();
        // What is of no known kind, a bitmap say, may be looked up before the index as well.
        let rank = |path: &Path| PACK_FILES.iter().position(|kind| has_extension(path, kind)).unwrap_or(2);
        files.sort_by_key(|(name, path)| (rank(path), name.clone()));
        Ok(files)
    }

    /// Move the loose objects of directory `from`, all in one step if there is nothing at `to` yet.
    fn move_fan_out(&self, from: &Path, to: &Path) -> Result<()> {
        // Never replaces anything but an empty directory.
        if fs::rename(from, to).is_ok() {
            return Ok(());
        }
        create_dir(to, self.shared).with_context(|| format!("cannot create '{}'", to.display()))?;
        let cannot = || format!("cannot list '{}'", from.display());
        for entry in fs::read_dir(from).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let to = to.join(entry.file_name());
            // Compressed otherwise it is still the same object: the name is its hash.
            if !move_file(&entry.path(), &to)? {
                touch(&to);
            }
        }
        Ok(())
    }
}

/// Move the file `from` to `to`, in one instant and unless there is something already: then false.
pub(super) fn move_file(from: &Path, to: &Path) -> Result<bool> {
    let context = || format!("cannot move '{}' to '{}'", from.display(), to.display());
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(Errno::EEXIST) => return Ok(false),
        // Not on every file system.
        Err(Errno::EINVAL | Errno::ENOSYS) => {}
        Err(err) => return Err(err).with_context(context),
    }
    match fs::hard_link(from, to) {
        Ok(()) => return fs::remove_file(from).map(|()| true).with_context(context),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // Nor are links, or not so many of them.
        Err(_) => {}
    }
    if to.symlink_metadata().is_ok() {
        return Ok(false);
    }
    fs::rename(from, to).map(|()| true).with_context(context)
}

/// Fails if the files `ours` and `theirs` differ.
pub(super) fn compare(ours: &Path, theirs: &Path) -> Result<()> {
    if !are_alike(ours, theirs)? {
        bail!("files '{}' and '{}' differ in contents", ours.display(), theirs.display());
    }
    Ok(())
}

/// True if the files `ours` and `theirs` have the same content.
pub(super) fn are_alike(ours: &Path, theirs: &Path) -> Result<bool> {
    let open = |path: &Path| -> Result<(fs::File, u64)> {
        let file = fs::File::open(path).with_context(|| format!("cannot open '{}'", path.display()))?;
        let len = file.metadata()?.len();
        Ok((file, len))
    };
    let ((mut a, a_len), (mut b, b_len)) = (open(ours)?, open(theirs)?);
    let (mut left, mut a_block, mut b_block) = (a_len, [0; 1 << 14], [0; 1 << 14]);
    let mut same = a_len == b_len;
    while same && left > 0 {
        let block = left.min(a_block.len() as u64) as usize;
        a.read_exact(&mut a_block[..block]).with_context(|| format!("cannot read '{}'", ours.display()))?;
        b.read_exact(&mut b_block[..block]).with_context(|| format!("cannot read '{}'", theirs.display()))?;
        same = a_block[..block] == b_block[..block];
        left -= block as u64;
    }
    Ok(same)
}

pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
