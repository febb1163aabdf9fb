//! What a transaction may have left on disk under its name, and how that is taken away without touching anybody else's.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use bstr::BString;

use super::lock;
use crate::{
    balanced::transaction_id::TransactionId,
    objects::shallow::change,
    refs::{
        lock::{is_marked, remove_empty_parents},
        paths::Paths,
    },
    repository::Repository,
};

/// Take away the locks, guards and staged files of transaction `id` on `refs`, and of packed-refs; and the `made` directories
/// below the common one, the upper ones first, that are empty.
pub(super) fn undo(paths: Paths<'_>, id: &TransactionId, refs: &[BString], made: &[PathBuf]) -> io::Result<()> {
    let text = id.link_text();
    let mut staged_in = BTreeSet::new();
    for name in refs {
        let path = paths.loose(name.as_ref());
        staged_in.extend(path.parent().map(Path::to_owned));
        // The guard before the lock: nobody is to find the one without the other.
        remove_link(&path, &text)?;
    }
    for directory in staged_in {
        let prefix = format!("{text}-");
        let entries = match fs::read_dir(&directory) {
            Err(err) if is_absence(&err) => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().as_bytes().starts_with(prefix.as_bytes()) {
                remove(&entry.path())?;
            }
        }
    }
    free_for_all(paths, id)?;
    for name in refs {
        remove_link(&paths.lock(name.as_ref()), &text)?;
        remove_empty_parents(&paths.loose(name.as_ref()), &paths.category(name.as_ref()));
        remove_empty_parents(&paths.log(name.as_ref()), &paths.log_category(name.as_ref()));
    }
    for directory in made.iter().rev() {
        fs::remove_dir(paths.common_dir.join(directory)).ok();
    }
    Ok(())
}

/// Take away the locks of transaction `id` on what is nobody's own: packed-refs and shallow, with what was half written of
/// them, and HEAD.
pub(super) fn free_for_all(paths: Paths<'_>, id: &TransactionId) -> io::Result<()> {
    let (packed, text) = (paths.packed_refs(), id.link_text());
    remove(&packed.with_file_name(format!("packed-refs.{text}")))?;
    let mut packed_lock = packed.into_os_string();
    packed_lock.push(".lock");
    remove_link(Path::new(&packed_lock), &text)?;
    change::clean_up(paths.common_dir, id)?;
    remove_link(&paths.lock("HEAD".into()), &text)
}

/// Remove the symbolic link at `path` if it has this text.
fn remove_link(path: &Path, text: &str) -> io::Result<()> {
    if is_marked(path, text)? { remove(path) } else { Ok(()) }
}

/// Remove the file at `path`, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

/// Remove the directory at `path` with all that is in it, if it is there.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(err) if is_absence(&err) => Ok(()),
        result => result,
    }
}

fn is_absence(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Remove what lies about without a journal: one that was never finished, the first mark of one, or what was staged for one
/// that is gone.
pub(super) fn sweep(directory: &Path, name: &OsStr) -> Result<()> {
    let path = directory.join(name);
    let Some(name) = name.to_str() else { return Ok(()) };
    let without = |owner: String| fs::symlink_metadata(directory.join(owner)).is_err_and(|err| is_absence(&err));
    if let Some(id) = name.strip_suffix(".d").filter(|id| TransactionId::of_file(id).is_some()) {
        if without(id.to_owned()) {
            remove_all(&path)?;
        }
    } else if let Some(id) = name.strip_prefix("new-").and_then(|name| name.strip_suffix(".link")) {
        // Its journal has the one name before it has the other.
        if without(format!("new-{id}")) && without(id.to_owned()) {
            remove(&path)?;
        }
    } else if name.starts_with("new-") && path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        let file = match File::open(&path) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
            file => file,
        };
        if let Some(_dead) = lock(file)? {
            remove(&path)?;
        }
    }
    Ok(())
}

/// All names that files below refs/ have, guards and locks among them; those of locks without `.lock`.
pub(super) fn every_name(repository: &Repository) -> io::Result<Vec<BString>> {
    let mut names = BTreeSet::from([BString::from("HEAD")]);
    let roots: BTreeSet<&PathBuf> = [&repository.common_dir, &repository.git_dir].into();
    for root in roots {
        let mut pending = vec![root.join("refs")];
        while let Some(directory) = pending.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(err) if err.kind() == ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    pending.push(entry.path());
                } else if let Ok(name) = entry.path().strip_prefix(root) {
                    let name = name.as_os_str().as_bytes();
                    names.insert(name.strip_suffix(b".lock").unwrap_or(name).into());
                }
            }
        }
    }
    Ok(names.into_iter().collect())
}
