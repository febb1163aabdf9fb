//! The log of a ref: whether it gets a line, where that goes, and taking the log away with its ref.
//!
//! All that can refuse a line is found out before anything is committed; afterwards a failure is told, and undoes nothing.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use bstr::{BStr, BString};
use gix::ObjectId;

use super::{
    lock::{Locksmith, MadeDirectories, remove_empty_parents, remove_empty_tree},
    paths::Paths,
};
use crate::{config::LogRefs, system_error::words};

/// A log that gets a line when its ref changes.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    /// Make the file if it is not there; else a file that is gone gets no line.
    create: bool,
}

/// What stands in the way of a log, in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Barred(pub String);

impl Log {
    /// The log of ref `name`, `None` if `policy` gives it none; what is in the way of it is removed if it is but empty
    /// directories, and the directories it needs are made.
    pub fn prepare(
        name: &BStr,
        paths: Paths<'_>,
        policy: LogRefs,
        locksmith: Locksmith<'_>,
        made: &mut MadeDirectories,
    ) -> Result<Option<Log>, Barred> {
        let path = paths.log(name);
        let create = gets_log(name, policy);
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if !meta.is_dir() => return Ok(Some(Log { path, create })),
            _ if !create => return Ok(None),
            Ok(_) if remove_empty_tree(&path) => {}
            Ok(_) => return Err(Barred(format!("there are still logs under '{}'", path.display()))),
            Err(_) => {}
        }
        match locksmith.make_parents(&path, made) {
            Ok(()) => Ok(Some(Log { path, create })),
            Err(err) => Err(Barred(format!("unable to create directory for '{}': {}", path.display(), words(&err)))),
        }
    }

    /// Append the line for a change from `old` to `new` (either null if there is no ref) by `identity`, which includes the
    /// date.
    pub fn append(&self, old: ObjectId, new: ObjectId, identity: &BStr, locksmith: Locksmith<'_>) -> io::Result<()> {
        let Some(mut file) = self.open(locksmith)? else { return Ok(()) };
        // One write, so that lines of two writers cannot mix.
        file.write_all(&line(old, new, identity))
    }

    fn open(&self, locksmith: Locksmith<'_>) -> io::Result<Option<File>> {
        for _ in 0..10 {
            let mut options = OpenOptions::new();
            options.append(true).mode(0o666);
            match options.open(&self.path) {
                Ok(file) => {
                    // It may be older than the setting; whose it is may be another's business.
                    locksmith.shared.adjust(&self.path).ok();
                    return Ok(Some(file));
                }
                Err(err) if err.kind() == ErrorKind::NotFound && !self.create => return Ok(None),
                Err(err) if err.kind() == ErrorKind::NotFound => match options.create_new(true).open(&self.path) {
                    Ok(file) => {
                        locksmith.shared.adjust(&self.path)?;
                        return Ok(Some(file));
                    }
                    Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
                    // Whoever deleted a neighbour may have taken the empty directory along.
                    Err(err) if err.kind() == ErrorKind::NotFound => {
                        let mut made = MadeDirectories::default();
                        locksmith.make_parents(&self.path, &mut made)?;
                        match options.open(&self.path) {
                            Ok(file) => {
                                locksmith.shared.adjust(&self.path)?;
                                return Ok(Some(file));
                            }
                            Err(_) => continue,
                        }
                    }
                    Err(err) => return Err(err),
                },
                Err(err) if err.kind() == ErrorKind::IsADirectory && remove_empty_tree(&self.path) => {}
                Err(err) => return Err(err),
            }
        }
        Err(ErrorKind::NotFound.into())
    }

    /// The log of ref `name` as a journal has it, to be made if `make`.
    pub fn at(name: &BStr, paths: Paths<'_>, make: bool) -> Log {
        Log { path: paths.log(name), create: make }
    }

    /// True if the file is made where it is not there.
    pub fn is_made(&self) -> bool {
        self.create
    }

    /// True if the log ends in this very line.
    pub fn ends_in(&self, line: &[u8]) -> bool {
        std::fs::read(&self.path).is_ok_and(|text| text.ends_with(line))
    }

    /// Take away this very line if the log ends in it. The ref must be locked.
    pub fn retract(&self, line: &[u8]) -> io::Result<()> {
        if self.ends_in(line) {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(file.metadata()?.len().saturating_sub(line.len() as u64))?;
        }
        Ok(())
    }

    /// The path of the file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// A line of a log (gitrepository-layout, "logs"), LF included.
pub fn line(old: ObjectId, new: ObjectId, identity: &BStr) -> BString {
    let mut line = BString::from(format!("{old} {new} "));
    line.extend_from_slice(identity);
    line.extend_from_slice(b"\tpush\n");
    line
}

/// Remove the log of the deleted ref `name`, and its directories as far as they are empty.
pub fn remove(name: &BStr, paths: Paths<'_>) -> io::Result<()> {
    let path = paths.log(name);
    match std::fs::remove_file(&path) {
        Err(err) if !matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory) => {
            return Err(err);
        }
        _ => {}
    }
    remove_empty_parents(&path, &paths.log_category(name));
    Ok(())
}

/// True if `name` gets a log that it does not have yet (git-config, `core.logAllRefUpdates`).
pub fn gets_log(name: &BStr, policy: LogRefs) -> bool {
    match policy {
        LogRefs::Existing => false,
        LogRefs::Always => true,
        LogRefs::Usual => {
            name == "HEAD"
                || [&b"refs/heads/"[..], b"refs/remotes/", b"refs/notes/"].iter().any(|prefix| name.starts_with(prefix))
        }
    }
}
