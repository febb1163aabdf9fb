//! What a journal says: its lines, written and read. No file is touched here.
//!
//! Format, version 1. Lines of `<words> SP <checksum> LF`, where the checksum is the CRC-32, in hex, of the words of this line
//! and all before it, an LF behind each, so that a line that was cut off, and all behind it, does not count. Words are
//! separated by single spaces; in them, bytes up to 0x20, 0x7f and `%` are written as `%` and two hex digits.
//!
//! | line | meaning |
//! |---|---|
//! | `journal 1 <transaction>` | always the first |
//! | `writer <pid> <boot> <device> <inode> <host> <git-dir>` | always the second: who writes it, and the common directory's identity |
//! | `lock <ref>` | the ref may be locked, its path guarded, its value staged, by the transaction |
//! | `locking` | nothing was asked of anybody; what follows a line of this kind is more of the same |
//! | `update <number> <how> <old> <new> <peeled> <ref>` | what is voted upon: how it commits (`together`, `packed`, `alone`, `not`), null for no object; the number names its staged file |
//! | `log <old> <new> <make> <ref>` | a line that a reflog gets; 1 to make that log if it is not there |
//! | `identity <name, mail and time>` | what such a line says of the committer |
//! | `objects <directory>` | the quarantine, below the object directory |
//! | `option <text>` | a push option, which hooks are shown |
//! | `variable <name> <value>` | what hooks are told of the push certificate |
//! | `voting` | all of that is on disk, and the vote is about to be asked for |
//! | `decided` | the vote was a yes |
//! | `aborted` | it was not, and what was prepared is being undone |
//! | `committed` | the refs have their new values on disk |
//! | `told` | whoever is to know it was told |
//!
//! A state is reached when its line is there, and what it needs to know is in the lines before.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::PathBuf,
};

use anyhow::{Context, Result, bail, ensure};
use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;

use crate::refs::paths::Paths;

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

/// How far a transaction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may hold locks, guards and staged files; nothing was asked of anybody.
    Locking,
    /// The vote may have been asked for.
    Voting,
    /// The vote was a yes.
    Decided,
    /// The vote was no yes.
    Aborted,
    /// The refs have their new values.
    Committed,
    /// All is done but the cleaning up.
    Told,
}

/// What is voted upon: enough to carry it out without the process that prepared it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// Each ref of the push.
    pub updates: Vec<Update>,
    /// The lines that reflogs get.
    pub logs: Vec<LogLine>,
    /// Name, mail and time of the committer.
    pub identity: BString,
    /// The quarantine's name in the object directory, if objects came along.
    pub objects: Option<BString>,
    /// The push options, which hooks are shown.
    pub options: Vec<BString>,
    /// The variables that tell hooks of the push certificate.
    pub certificate: Vec<(OsString, OsString)>,
}

/// One ref that is voted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What its staged file is called by.
    pub number: usize,
    /// Which rename commits it.
    pub how: CommitsBy,
    /// The verified value before, null if there is no such ref.
    pub old: ObjectId,
    /// The value after, null if it goes.
    pub new: ObjectId,
    /// If that is a tag, what it points at in the end.
    pub peeled: Option<ObjectId>,
    /// The full name, symrefs followed.
    pub name: BString,
}

/// Which rename commits a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitsBy {
    /// That of packed-refs; it gets a loose file afterwards.
    PackedRefs,
    /// That of packed-refs, and that is all.
    PackedRefsOnly,
    /// That of its loose file.
    LooseFile,
    /// None: it has the value already.
    Nothing,
}

impl CommitsBy {
    const WORDS: [(CommitsBy, &str); 4] = [
        (CommitsBy::PackedRefs, "together"),
        (CommitsBy::PackedRefsOnly, "packed"),
        (CommitsBy::LooseFile, "alone"),
        (CommitsBy::Nothing, "not"),
    ];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(how, _)| *how == self).map_or("not", |(_, word)| word)
    }

    fn parse(word: &BStr) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| word == known).map(|(how, _)| *how)
    }
}

/// A line that a reflog gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The value before, null for none.
    pub old: ObjectId,
    /// The value after, null for none.
    pub new: ObjectId,
    /// Make the log if it is not there.
    pub make: bool,
    /// The ref whose log it is.
    pub name: BString,
}

impl State {
    const ALL: [State; 6] =
        [State::Locking, State::Voting, State::Decided, State::Aborted, State::Committed, State::Told];

    /// The line that says it.
    pub fn word(self) -> &'static str {
        match self {
            State::Locking => "locking",
            State::Voting => "voting",
            State::Decided => "decided",
            State::Aborted => "aborted",
            State::Committed => "committed",
            State::Told => "told",
        }
    }
}

/// Lines that are about to be written.
pub(super) struct Text {
    /// As they will stand in the file.
    pub(super) bytes: Vec<u8>,
    checksum: Checksum,
}

impl Text {
    pub(super) fn new(id: &TransactionId) -> Self {
        Text { bytes: Vec::new(), checksum: Checksum::default() }.line(&[b"journal", b"1", id.0.as_bytes()])
    }

    pub(super) fn writer(self, paths: Paths<'_>) -> io::Result<Self> {
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

    pub(super) fn locks<'n>(mut self, refs: impl Iterator<Item = &'n BStr>) -> Self {
        for name in refs {
            self = self.line(&[b"lock", name]);
        }
        self
    }

    pub(super) fn state(self, state: State) -> Self {
        self.line(&[state.word().as_bytes()])
    }

    pub(super) fn intent(mut self, intent: &Intent) -> Self {
        for update in &intent.updates {
            let peeled = update.peeled.unwrap_or(update.new.kind().null());
            self = self.line(&[
                b"update",
                update.number.to_string().as_bytes(),
                update.how.word().as_bytes(),
                update.old.to_string().as_bytes(),
                update.new.to_string().as_bytes(),
                peeled.to_string().as_bytes(),
                &update.name,
            ]);
        }
        for log in &intent.logs {
            let make: &[u8] = if log.make { b"1" } else { b"0" };
            self =
                self.line(&[b"log", log.old.to_string().as_bytes(), log.new.to_string().as_bytes(), make, &log.name]);
        }
        if !intent.identity.is_empty() {
            self = self.line(&[b"identity", &intent.identity]);
        }
        if let Some(objects) = &intent.objects {
            self = self.line(&[b"objects", objects]);
        }
        for option in &intent.options {
            self = self.line(&[b"option", option]);
        }
        for (name, value) in &intent.certificate {
            self = self.line(&[b"variable", name.as_bytes(), value.as_bytes()]);
        }
        self
    }

    /// Lines that come behind others, whose checksum is at `checksum`.
    pub(super) fn behind(checksum: &Checksum) -> Self {
        Text { bytes: Vec::new(), checksum: checksum.clone() }
    }

    /// The lines, and the checksum behind them.
    pub(super) fn finish(self) -> (Vec<u8>, Checksum) {
        (self.bytes, self.checksum)
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
pub(super) struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// The checksum behind the whole lines of `text`, and their length in bytes.
    pub(super) fn of(text: &[u8]) -> (Self, u64) {
        let (mut checksum, mut length) = (Checksum::default(), 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let mut behind = checksum.clone();
            if checked(line, &mut behind).is_none() {
                break;
            }
            checksum = behind;
            length += line.len() as u64;
        }
        (checksum, length)
    }

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
    /// What is voted upon; empty before the vote.
    pub intent: Intent,
    /// How far the transaction came; `None` if it holds nothing yet.
    pub state: Option<State>,
}

impl Entry {
    /// Read the text of the journal of transaction `id`. Fails on a version that this program does not know.
    pub fn read(text: &[u8], id: &TransactionId) -> Result<Self> {
        let mut lines = whole_lines(text);
        let mut entry = Entry { writer: None, locks: Vec::new(), intent: Intent::default(), state: None };
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
            let shown = || line.iter().map(|word| word.to_string()).collect::<Vec<_>>().join(" ");
            entry.take(&line).with_context(|| format!("it contains the unknown line '{}'", shown()))?;
        }
        Ok(entry)
    }

    fn take(&mut self, line: &[BString]) -> Option<()> {
        let id = |word: &BString| ObjectId::from_hex(word).ok();
        match line {
            [word] => self.state = Some(State::ALL.into_iter().find(|state| word == state.word())?),
            [word, name] if word == "lock" => self.locks.push(name.clone()),
            [word, identity] if word == "identity" => self.intent.identity = identity.clone(),
            [word, objects] if word == "objects" => self.intent.objects = Some(objects.clone()),
            [word, option] if word == "option" => self.intent.options.push(option.clone()),
            [word, name, value] if word == "variable" => {
                let text = |word: &BString| OsStr::from_bytes(word).to_owned();
                self.intent.certificate.push((text(name), text(value)));
            }
            [word, old, new, make, name] if word == "log" => {
                let log = LogLine { old: id(old)?, new: id(new)?, make: make == "1", name: name.clone() };
                self.intent.logs.push(log);
            }
            [word, number, how, old, new, peeled, name] if word == "update" => self.intent.updates.push(Update {
                number: number.to_str().ok()?.parse().ok()?,
                how: CommitsBy::parse(how.as_ref())?,
                old: id(old)?,
                new: id(new)?,
                peeled: Some(id(peeled)?).filter(|peeled| !peeled.is_null()),
                name: name.clone(),
            }),
            _ => return None,
        }
        Some(())
    }
}

/// The words of each line up to the first whose checksum does not hold.
fn whole_lines(text: &[u8]) -> impl Iterator<Item = Vec<BString>> {
    let mut checksum = Checksum::default();
    text.split_inclusive(|byte| *byte == b'\n')
        .map_while(move |line| Some(checked(line, &mut checksum)?.split_str(" ").map(unescape).collect()))
}

/// The words of a line whose checksum holds; `checksum` is that of the lines before, and then of this one too.
fn checked<'l>(line: &'l [u8], checksum: &mut Checksum) -> Option<&'l [u8]> {
    let (words, sum) = line.strip_suffix(b"\n")?.rsplit_once_str(" ")?;
    checksum.update(words);
    (sum == checksum.to_string().as_bytes()).then_some(words)
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
    use std::path::Path;

    use super::*;

    fn text(id: &TransactionId) -> Vec<u8> {
        let dir = std::env::temp_dir();
        let paths = Paths { git_dir: Path::new("/a b\n%"), common_dir: &dir };
        Text::new(id)
            .writer(paths)
            .unwrap()
            .locks(["refs/heads/a", "refs/heads/ä"].map(BStr::new).into_iter())
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
    fn an_intent_is_read_again() {
        let id = TransactionId::new();
        let [old, new] = [b'1', b'2'].map(|byte| ObjectId::from_hex(&[byte; 40]).unwrap());
        let null = new.kind().null();
        let update = |number, how, peeled| Update { number, how, old, new, peeled, name: "refs/heads/ä".into() };
        let intent = Intent {
            updates: vec![update(0, CommitsBy::PackedRefs, None), update(7, CommitsBy::LooseFile, Some(old))],
            logs: vec![LogLine { old: null, new, make: true, name: "HEAD".into() }],
            identity: "A U Thor <a@example.org> 1 +0000".into(),
            objects: Some("incoming-x".into()),
            options: vec!["".into(), "a b".into()],
            certificate: vec![("GIT_PUSH_CERT_SIGNER".into(), "A <b>".into()), ("GIT_PUSH_CERT_KEY".into(), "".into())],
        };
        let dir = std::env::temp_dir();
        let paths = Paths { git_dir: &dir, common_dir: &dir };
        let text = Text::new(&id).writer(paths).unwrap().state(State::Locking).intent(&intent).state(State::Voting);
        let entry = Entry::read(&text.bytes, &id).unwrap();
        assert_eq!(entry.intent, intent);
        assert_eq!(entry.state, Some(State::Voting));
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
