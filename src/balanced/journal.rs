//! The journal of one transaction: a file in `<common-dir>/balanced/` that says what the transaction is about to do, so
//! that somebody else can undo or finish it. It decides nothing, and is never rewritten: states are appended.
//!
//! It is locked (flock) for as long as its writer lives, and before anybody can find it. What is in it is in `format`.

mod beginning;

use std::{
    collections::BTreeSet,
    fs::{DirBuilder, File},
    io::{self, Seek, SeekFrom, Write},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use beginning::{create, first_mark, first_mark_name, goes_when_empty};

use bstr::{BStr, BString, ByteSlice};
use nix::fcntl::{FallocateFlags, Flock, fallocate};

use super::{
    format::{Checksum, State, Text},
    intent::Intent,
    survivors::Group,
    transaction_id::TransactionId,
};
use crate::{
    interrupt::{Doomed, Interrupts},
    refs::{
        git_lock::GitLock,
        lock::{Held, Locksmith, sync_directory},
        mark::Mark,
        paths::Paths,
    },
};

/// Bytes for the lines that come after what is voted upon.
const ROOM: usize = 256;

/// The directory of all journals.
pub fn directory(common_dir: &Path) -> PathBuf {
    common_dir.join("balanced")
}

/// A journal that this process writes. It is locked, and goes with all that is staged beside it when it is dropped, unless it
/// was [taken over](Self::adopt) or [left](Self::leave), or something that it names could not be removed.
#[derive(Debug)]
pub struct Journal {
    id: TransactionId,
    file: Flock<File>,
    path: PathBuf,
    staging: PathBuf,
    checksum: Checksum,
    /// The refs that it says may be locked.
    announced: BTreeSet<BString>,
    /// Each state is on disk before what it allows is done.
    durable: bool,
    /// Somebody else is to find it.
    stays: bool,
    doomed: Option<Doomed>,
    staging_doomed: Option<Doomed>,
    interrupts: Interrupts,
    mark: Mark,
    /// The mark that the others are names of.
    first_mark: Option<Held>,
    /// Of the directory that it is in, which goes with the last journal.
    _directory: Doomed,
}

impl Journal {
    /// Begin the journal of transaction `id`, which may lock `refs`. One that is to be voted upon is `durable`.
    ///
    /// Fails with [`io::ErrorKind::Unsupported`] where the file system knows no symbolic links or locks.
    pub fn begin(
        id: TransactionId,
        durable: bool,
        paths: Paths<'_>,
        refs: BTreeSet<BString>,
        locksmith: Locksmith<'_>,
    ) -> io::Result<Self> {
        let directory = directory(paths.common_dir);
        let begun = Self::begin_in(&directory, id, durable, paths, refs, locksmith);
        if begun.is_err() {
            std::fs::remove_dir(&directory).ok();
        }
        begun
    }

    fn begin_in(
        directory: &Path,
        id: TransactionId,
        durable: bool,
        paths: Paths<'_>,
        refs: BTreeSet<BString>,
        locksmith: Locksmith<'_>,
    ) -> io::Result<Self> {
        let path = directory.join(id.to_string());
        let names = refs.iter().map(|name| name.as_ref());
        let absent = paths.absent_directories(names.clone());
        let text = Text::new(&id).writer(paths)?.locks(names).directories(&absent).state(State::Locking);
        let (text, checksum) = text.finish();
        let in_directory = goes_when_empty(directory, locksmith)?;
        let (file, temporary) = create(directory, &id, locksmith)?;
        let (mark, first_mark) = first_mark(directory, &id, locksmith)?;
        (&*file).write_all(&text)?;
        if durable {
            file.sync_all()?;
        }
        let ((), doomed) = locksmith.interrupts.create(&path, |path| std::fs::rename(temporary.path(), path))?;
        temporary.renamed();
        let staging = directory.join(format!("{id}.d"));
        let (doomed, staging_doomed) = (Some(doomed), None);
        let this = Journal {
            id,
            file,
            path,
            staging,
            checksum,
            announced: refs,
            durable,
            stays: false,
            doomed,
            staging_doomed,
            interrupts: locksmith.interrupts.clone(),
            mark,
            first_mark: Some(first_mark),
            _directory: in_directory,
        };
        if durable {
            sync_directory(directory)?;
            sync_directory(paths.common_dir)?;
        }
        Ok(this)
    }

    /// Take over the journal of a dead process, which says this much: `file` is locked, and the file at `path`. It stays when
    /// it is dropped.
    pub fn adopt(
        id: TransactionId,
        file: Flock<File>,
        path: PathBuf,
        text: &[u8],
        locksmith: Locksmith<'_>,
    ) -> io::Result<Self> {
        // A last line that was cut off must not swallow the next.
        let (checksum, whole) = Checksum::of(text);
        file.set_len(whole)?;
        (&*file).seek(SeekFrom::End(0))?;
        let staging = path.with_file_name(format!("{id}.d"));
        let first_mark = path.with_file_name(first_mark_name(&id));
        let in_directory = goes_when_empty(path.parent().unwrap_or(&path), locksmith)?;
        let mark = Mark::with_first(id.link_text(), first_mark.clone());
        let first_mark = locksmith.adopt(&first_mark).ok();
        Ok(Journal {
            id,
            file,
            path,
            staging,
            checksum,
            announced: BTreeSet::new(),
            durable: true,
            stays: true,
            doomed: None,
            staging_doomed: None,
            interrupts: locksmith.interrupts.clone(),
            mark,
            first_mark,
            _directory: in_directory,
        })
    }

    /// The transaction.
    pub fn id(&self) -> &TransactionId {
        &self.id
    }

    /// A descriptor that holds its lock as this process does, for one child to inherit: it is not closed on exec.
    pub fn share_lock(&self) -> io::Result<OwnedFd> {
        Ok(nix::unistd::dup(&*self.file)?)
    }

    /// What the transaction's locks and guards are.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// True if it is synced, which what it speaks of must then be as well.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Say that the ref `name` may be locked, if that was not said yet.
    pub fn announce(&mut self, name: &BStr) -> io::Result<()> {
        if self.announced.contains(name.as_bytes().as_bstr()) {
            return Ok(());
        }
        self.append(Text::behind(&self.checksum).locks([name].into_iter()).state(State::Locking))?;
        self.announced.insert(name.to_owned());
        Ok(())
    }

    /// Say which lock files a git has made for it.
    pub fn note_git_locks(&mut self, locks: &[GitLock]) -> io::Result<()> {
        self.append(Text::behind(&self.checksum).git_locks(locks))
    }

    /// Write down what is voted upon.
    pub fn open_vote(&mut self, intent: &Intent) -> io::Result<()> {
        let text = Text::behind(&self.checksum).intent(intent).state(State::Voting);
        // What is decided is not to wait for room to say so.
        let end = (&*self.file).stream_position()?.try_into().map_err(io::Error::other)?;
        let length = text.bytes.len() + ROOM;
        let length = length.try_into().map_err(io::Error::other)?;
        match fallocate(&*self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, length) {
            // Not every file system can promise it.
            Ok(()) | Err(nix::Error::EOPNOTSUPP | nix::Error::ENOSYS) => self.append(text),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Write down that `state` is reached.
    pub fn reach(&mut self, state: State) -> io::Result<()> {
        self.append(Text::behind(&self.checksum).state(state))
    }

    /// Write down that a hook is being asked, which is the process `leader` and leads a group.
    pub fn note_hook(&mut self, leader: u32) -> io::Result<()> {
        let Some(group) = Group::led_by(leader) else { return Ok(()) };
        self.write(Text::behind(&self.checksum).hook(group), false)
    }

    fn append(&mut self, text: Text) -> io::Result<()> {
        self.write(text, self.durable)
    }

    fn write(&mut self, text: Text, synced: bool) -> io::Result<()> {
        let (bytes, checksum) = text.finish();
        let length = (&*self.file).stream_position()?;
        let written = (&*self.file).write_all(&bytes);
        let written = written.and_then(|()| if synced { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => self.checksum = checksum,
            Err(_) => {
                // Half a line, where the disk is full, must not swallow the next; nor may a whole one count.
                self.file.set_len(length)?;
                (&*self.file).seek(SeekFrom::Start(length))?;
            }
        }
        written
    }

    /// Leave it as it is, for a recovery to find.
    pub fn leave(&mut self) {
        self.stays = true;
    }

    /// Nothing is left to do: take it away.
    pub fn remove(mut self) {
        self.stays = false;
    }

    /// The directory for files that wait to be renamed into place; made at the first call.
    pub fn staging(&mut self, locksmith: Locksmith<'_>) -> io::Result<&Path> {
        if self.staging_doomed.is_none() && !self.staging.is_dir() {
            let make = |path: &Path| DirBuilder::new().mode(0o777).create(path);
            let ((), doomed) = locksmith.interrupts.create(&self.staging, make)?;
            self.staging_doomed = Some(doomed);
            locksmith.shared.adjust(&self.staging)?;
        }
        Ok(&self.staging)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let (staging, journal) = (self.staging_doomed.take(), self.doomed.take());
        let first_mark = self.first_mark.take();
        if self.stays {
            first_mark.into_iter().for_each(|mut mark| mark.leave());
        } else {
            drop(first_mark);
            if let Some(staging) = staging {
                staging.remove(&self.staging, |path| std::fs::remove_dir_all(path));
            }
        }
        // What could not be removed is known by its journal alone.
        if !self.stays && !self.interrupts.has_left() {
            let remove = || std::fs::remove_file(&self.path);
            match journal {
                Some(doomed) => doomed.settle(remove),
                None => remove(),
            }
            .ok();
        }
        // Goes with the last journal in it.
        if let Some(directory) = self.path.parent() {
            std::fs::remove_dir(directory).ok();
        }
    }
}
