//! The journal of one transaction: a file in `<common-dir>/balanced/` that says what the transaction is about to do, so
//! that somebody else can undo or finish it. It decides nothing, and is never rewritten: states are appended.
//!
//! Format, version 1. Lines of `<words> SP <checksum> LF`, where the checksum covers the words and the line before, so that
//! a line that was cut off, and all behind it, does not count. Words are separated by single spaces; in them, bytes up to
//! 0x20, 0x7f and `%` are written as `%` and two hex digits.
//!
//! | line | meaning |
//! |---|---|
//! | `journal 1 <transaction>` | always the first |
//! | `writer <pid> <boot> <device> <inode> <host> <git-dir>` | who writes it, and the common directory's identity |
//! | `lock <ref>` | the ref may be locked, its path guarded, its value staged, by the transaction |
//! | `locking` | nothing was asked of anybody; what follows a line of this kind is more of the same |
//!
//! A state is reached when its line is there, and what it needs to know is in the lines before.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use bstr::{BStr, BString, ByteSlice};
use nix::fcntl::{Flock, FlockArg};

use crate::{
    interrupt::Doomed,
    refs::{lock::Locksmith, paths::Paths},
    shared_mode::create_dir,
};

/// The name of a transaction: unique across machines, and sorted by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(String);

impl TransactionId {
    /// A name that no other transaction has.
    pub fn new() -> Self {
        TransactionId(uuid::Uuid::now_v7().to_string())
    }

    /// The name of the transaction whose journal's file name is `name`, `None` if it is no such file.
    pub fn of_file(name: &str) -> Option<Self> {
        uuid::Uuid::try_parse(name).ok().filter(|id| id.to_string() == name).map(|id| TransactionId(id.to_string()))
    }

    /// The text of the symbolic links that are its locks and guards: a valid part of a ref name, as `git refs verify` wants
    /// it, the name of no file, and short enough to be kept in an inode.
    pub fn link_text(&self) -> String {
        format!("balanced-{}", self.0)
    }
}

impl Default for TransactionId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The directory of all journals.
pub fn directory(common_dir: &Path) -> PathBuf {
    common_dir.join("balanced")
}

/// A journal that this process writes. It is locked, and goes with all that is staged beside it when it is dropped.
#[derive(Debug)]
pub struct Journal {
    id: TransactionId,
    file: Flock<File>,
    path: PathBuf,
    staging: PathBuf,
    checksum: Checksum,
    doomed: Option<Doomed>,
    staging_doomed: Option<Doomed>,
}

impl Journal {
    /// Begin the journal of transaction `id`, which may lock `refs`.
    ///
    /// Fails with [`ErrorKind::Unsupported`] where the file system knows no symbolic links or locks.
    pub fn begin(id: TransactionId, paths: Paths<'_>, refs: &[&BStr], locksmith: Locksmith<'_>) -> io::Result<Self> {
        let directory = directory(paths.common_dir);
        let path = directory.join(&id.0);
        let text = Text::new(&id).writer(paths)?.locks(refs).state(State::Locking);
        let (file, temporary) = Self::create(&directory, &id, locksmith)?;
        let written = probe_links(&directory, &id).and_then(|()| (&*file).write_all(&text.bytes));
        let renamed =
            written.and_then(|()| locksmith.interrupts.create(&path, |path| std::fs::rename(&temporary.0, path)));
        let ((), doomed) = match renamed {
            Ok(made) => made,
            Err(err) => {
                drop(temporary);
                std::fs::remove_dir(&directory).ok();
                return Err(err);
            }
        };
        temporary.renamed();
        let staging = directory.join(format!("{id}.d"));
        Ok(Journal { id, file, path, staging, checksum: text.checksum, doomed: Some(doomed), staging_doomed: None })
    }

    /// A file that is locked before anybody can find it under the name of a journal.
    fn create(directory: &Path, id: &TransactionId, locksmith: Locksmith<'_>) -> io::Result<(Flock<File>, Temporary)> {
        let path = directory.join(format!("new-{id}"));
        for _ in 0..100 {
            let made = locksmith
                .interrupts
                .create(&path, |path| OpenOptions::new().write(true).create_new(true).mode(0o666).open(path));
            let (file, temporary) = match made {
                Ok((file, doomed)) => (file, Temporary(path.clone(), Some(doomed))),
                // Whoever finishes takes the empty directory along.
                Err(err) if err.kind() == ErrorKind::NotFound => {
                    create_dir(directory, locksmith.shared)?;
                    continue;
                }
                Err(err) => return Err(err),
            };
            locksmith.shared.adjust(&path)?;
            let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| match errno {
                nix::Error::EOPNOTSUPP | nix::Error::ENOSYS | nix::Error::EINVAL | nix::Error::ENOLCK => {
                    ErrorKind::Unsupported.into()
                }
                errno => io::Error::from(errno),
            })?;
            // A recovery that came in between took it for what a dead one left.
            if file.metadata()?.nlink() > 0 {
                return Ok((file, temporary));
            }
        }
        Err(ErrorKind::NotFound.into())
    }

    /// The transaction.
    pub fn id(&self) -> &TransactionId {
        &self.id
    }

    /// Announce that `refs` may be locked as well.
    pub fn lock_more(&mut self, refs: &[&BStr]) -> io::Result<()> {
        let text = Text { bytes: Vec::new(), checksum: self.checksum.clone() }.locks(refs).state(State::Locking);
        (&*self.file).write_all(&text.bytes)?;
        self.checksum = text.checksum;
        Ok(())
    }

    /// The directory for files that wait to be renamed into place; made at the first call.
    pub fn staging(&mut self, locksmith: Locksmith<'_>) -> io::Result<&Path> {
        if self.staging_doomed.is_none() {
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
        if let Some(doomed) = self.staging_doomed.take() {
            doomed.settle(|| std::fs::remove_dir_all(&self.staging)).ok();
        }
        if let Some(doomed) = self.doomed.take() {
            doomed.settle(|| std::fs::remove_file(&self.path)).ok();
        }
        if let Some(directory) = self.path.parent() {
            std::fs::remove_dir(directory).ok();
        }
    }
}

/// A file that goes unless it was renamed.
struct Temporary(PathBuf, Option<Doomed>);

impl Temporary {
    fn renamed(mut self) {
        self.1 = None;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(doomed) = self.1.take() {
            doomed.settle(|| std::fs::remove_file(&self.0)).ok();
        }
    }
}

/// Find out whether this file system knows symbolic links, before anything depends on it.
fn probe_links(directory: &Path, id: &TransactionId) -> io::Result<()> {
    let path = directory.join(format!("new-{id}.link"));
    std::os::unix::fs::symlink(id.link_text(), &path).map_err(|_| io::Error::from(ErrorKind::Unsupported))?;
    std::fs::remove_file(&path)
}

/// How far a transaction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may hold locks, guards and staged files; nothing was asked of anybody.
    Locking,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Locking => "locking",
        }
    }
}

/// Lines that are about to be written.
struct Text {
    bytes: Vec<u8>,
    checksum: Checksum,
}

impl Text {
    fn new(id: &TransactionId) -> Self {
        Text { bytes: Vec::new(), checksum: Checksum::default() }.line(&[b"journal", b"1", id.0.as_bytes()])
    }

    fn writer(self, paths: Paths<'_>) -> io::Result<Self> {
        let writer = Writer::this_process(paths)?;
        Ok(self.line(&[
            b"writer",
            writer.pid.to_string().as_bytes(),
            &writer.boot,
            writer.device.to_string().as_bytes(),
            writer.inode.to_string().as_bytes(),
            &writer.host,
            writer.git_dir.as_os_str().as_bytes(),
        ]))
    }

    fn locks(mut self, refs: &[&BStr]) -> Self {
        for name in refs {
            self = self.line(&[b"lock", name]);
        }
        self
    }

    fn state(self, state: State) -> Self {
        self.line(&[state.word().as_bytes()])
    }

    fn line(mut self, words: &[&[u8]]) -> Self {
        let start = self.bytes.len();
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                self.bytes.push(b' ');
            }
            escape(word, &mut self.bytes);
        }
        self.checksum.update(&self.bytes[start..]);
        let sum = self.checksum.to_string();
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(sum.as_bytes());
        self.bytes.push(b'\n');
        self
    }
}

/// The checksum of all words so far.
#[derive(Debug, Clone, Default)]
struct Checksum(crc32fast::Hasher);

impl Checksum {
    fn update(&mut self, words: &[u8]) {
        self.0.update(words);
        self.0.update(b"\n");
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0.clone().finalize())
    }
}

/// The process that writes a journal, and the repository it writes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Its process id, on `host`.
    pub pid: u32,
    /// The kernel's id of the boot that the process belongs to.
    pub boot: BString,
    /// The device of the common directory: a copy of the repository has another identity.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The name of the machine.
    pub host: BString,
    /// The git directory that the push went to, which refs of one worktree lie below.
    pub git_dir: PathBuf,
}

impl Writer {
    /// What a journal written here and now would say.
    pub fn this_process(paths: Paths<'_>) -> io::Result<Self> {
        let common = std::fs::metadata(paths.common_dir)?;
        Ok(Writer {
            pid: std::process::id(),
            boot: std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().into(),
            device: common.dev(),
            inode: common.ino(),
            host: nix::unistd::gethostname().map(|name| name.as_bytes().into()).unwrap_or_default(),
            git_dir: paths.git_dir.to_owned(),
        })
    }
}

/// What a journal says, as far as it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who wrote it; `None` if it was cut short before that.
    pub writer: Option<Writer>,
    /// The refs that may be locked.
    pub locks: Vec<BString>,
    /// How far the transaction came; `None` if it holds nothing yet.
    pub state: Option<State>,
}

impl Entry {
    /// Read the text of the journal of transaction `id`. Fails on a version that this program does not know.
    pub fn read(text: &[u8], id: &TransactionId) -> Result<Self> {
        let mut lines = whole_lines(text);
        let mut entry = Entry { writer: None, locks: Vec::new(), state: None };
        let Some(first) = lines.next() else { return Ok(entry) };
        match &first[..] {
            [word, version, of] if word == "journal" => {
                ensure!(version == "1", "it is of version {version}, and this program knows only version 1");
                ensure!(of == id.0.as_str(), "it is about transaction {of}");
            }
            _ => bail!("it does not begin as a journal does"),
        }
        let Some(writer) = lines.next() else { return Ok(entry) };
        entry.writer = Some(parse_writer(&writer).context("it does not say who wrote it")?);
        for line in lines {
            match &line[..] {
                [word, name] if word == "lock" => entry.locks.push(name.clone()),
                [word] if word == "locking" => entry.state = Some(State::Locking),
                _ => bail!(
                    "it contains the unknown line '{}'",
                    line.iter().map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
                ),
            }
        }
        Ok(entry)
    }
}

/// The words of each line up to the first whose checksum does not hold.
fn whole_lines(text: &[u8]) -> impl Iterator<Item = Vec<BString>> {
    let mut checksum = Checksum::default();
    text.split_inclusive(|byte| *byte == b'\n').map_while(move |line| {
        let (words, sum) = line.strip_suffix(b"\n")?.rsplit_once_str(" ")?;
        checksum.update(words);
        (sum == checksum.to_string().as_bytes()).then(|| words.split_str(" ").map(unescape).collect())
    })
}

fn parse_writer(words: &[BString]) -> Option<Writer> {
    let [word, pid, boot, device, inode, host, git_dir] = words else { return None };
    let number = |word: &BString| word.to_str().ok()?.parse::<u64>().ok();
    (word == "writer").then_some(())?;
    Some(Writer {
        pid: number(pid)?.try_into().ok()?,
        boot: boot.clone(),
        device: number(device)?,
        inode: number(inode)?,
        host: host.clone(),
        git_dir: git_dir.to_path_lossy().into_owned(),
    })
}

fn escape(word: &[u8], out: &mut Vec<u8>) {
    for &byte in word {
        if byte <= b' ' || byte == b'%' || byte == 0x7f {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

fn unescape(word: &[u8]) -> BString {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, behind)) = rest.split_first() {
        let hex = behind
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(value) if byte == b'%' => {
                out.push(value);
                rest = &behind[2..];
            }
            _ => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &TransactionId) -> Vec<u8> {
        let dir = std::env::temp_dir();
        let paths = Paths { git_dir: Path::new("/a b\n%"), common_dir: &dir };
        Text::new(id)
            .writer(paths)
            .unwrap()
            .locks(&["refs/heads/a".into(), "refs/heads/ä".into()])
            .state(State::Locking)
            .bytes
    }

    #[test]
    fn what_is_written_is_read_again() {
        let id = TransactionId::new();
        let entry = Entry::read(&text(&id), &id).unwrap();
        assert_eq!(entry.locks, ["refs/heads/a", "refs/heads/ä"]);
        assert_eq!(entry.state, Some(State::Locking));
        let writer = entry.writer.unwrap();
        assert_eq!(writer.git_dir, Path::new("/a b\n%"));
        assert_eq!(writer.pid, std::process::id());
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let id = TransactionId::new();
        let text = text(&id);
        for end in 0..text.len() {
            let state = Entry::read(&text[..end], &id).ok().and_then(|entry| entry.state);
            assert_eq!(state, None, "cut at {end}");
        }
    }

    #[test]
    fn a_damaged_line_ends_what_counts() {
        let id = TransactionId::new();
        let mut text = text(&id);
        let at = text.find("refs/heads/a").unwrap() + 11;
        text[at] = b'b';
        let entry = Entry::read(&text, &id).unwrap();
        assert!(entry.locks.is_empty() && entry.state.is_none());
    }

    #[test]
    fn a_journal_of_a_newer_version_is_named() {
        let id = TransactionId::new();
        let newer =
            Text { bytes: Vec::new(), checksum: Checksum::default() }.line(&[b"journal", b"2", id.0.as_bytes()]);
        let err = Entry::read(&newer.bytes, &id).unwrap_err();
        assert_eq!(err.to_string(), "it is of version 2, and this program knows only version 1");
    }
}
