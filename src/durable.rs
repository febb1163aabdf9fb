//! Making what was written last, whatever `core.fsync` says: balanced mode's files, and the directories that name them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Up to so many files one fsync(2) each is cheaper than to wait for all that the file system has to write.
const FEW: usize = 32;

/// Make files and directories, all on one file system, last.
pub fn sync(paths: &[PathBuf]) -> io::Result<()> {
    match paths {
        [first, ..] if paths.len() > FEW => Ok(nix::unistd::syncfs(File::open(first)?)?),
        few => few.iter().try_for_each(|path| File::open(path)?.sync_all()),
    }
}

/// Every file and directory below `directory`, those inside a directory before it, itself last.
pub fn everything_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(directory, &mut found)?;
    Ok(found)
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), found)?,
            false => found.push(entry.path()),
        }
    }
    found.push(directory.to_owned());
    Ok(())
}
