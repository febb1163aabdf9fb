//! Settling what transactions of dead processes left behind. What a living one holds stays, and so do git's own locks.
//!
//! Whether a writer lives is told by the lock on its journal, which the kernel frees when it dies. All of it happens under
//! a lock on the common directory, so that two recoveries do not meet.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use bstr::BString;
use nix::fcntl::{Flock, FlockArg};

use super::{
    format::{Entry, Intent, State, TransactionId, Writer},
    journal::{self, Journal},
};
use crate::{
    config::Config,
    interrupt::Interrupts,
    objects::database::Database,
    refs::{
        lock::{Locksmith, remove_empty_parents},
        paths::Paths,
        reflog::{self, Log},
        transaction::{Decided, Unfinished},
    },
    repository::Repository,
};

/// What became of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The transaction.
    pub id: TransactionId,
    /// What was done about it.
    pub outcome: Outcome,
}

/// What was done about a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its process lives, or somebody else is recovering: left alone.
    Busy,
    /// It was undone before anything was asked: none of its refs had changed for its sake, or all had.
    Undone,
    /// It was voted upon and undone.
    RolledBack,
    /// It was decided, and is carried out now to its end.
    CarriedOut,
    /// Nobody knows yet what the vote was: left as it is.
    InDoubt,
    /// It was decided, and cannot be carried out now for this reason: left as it is.
    Waiting(BString),
    /// Another machine wrote it, or it is about the directory that this one is a copy of: left alone.
    Foreign(BString),
    /// Its journal cannot be understood, for this reason: left alone.
    Unreadable(String),
    /// It could not be settled, for this reason: left to another try.
    Failed(String),
}

impl Outcome {
    /// True if its outcome is open, and nobody is at work on it.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Outcome::Busy | Outcome::Undone | Outcome::RolledBack | Outcome::CarriedOut => false,
            Outcome::InDoubt
            | Outcome::Waiting(_)
            | Outcome::Foreign(_)
            | Outcome::Unreadable(_)
            | Outcome::Failed(_) => true,
        }
    }
}

/// For the administrator: one line without its end.
impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.id)?;
        match &self.outcome {
            Outcome::Busy => f.write_str("somebody is at work on it"),
            Outcome::Undone => f.write_str("undone; nobody had been asked about it"),
            Outcome::RolledBack => f.write_str("rolled back"),
            Outcome::CarriedOut => f.write_str("carried out"),
            Outcome::InDoubt => f.write_str("in doubt: the balanced_update hook does not say what became of it"),
            Outcome::Waiting(why) => write!(f, "decided, but cannot be carried out yet: {why}"),
            Outcome::Foreign(host) => write!(f, "left alone: it is of {host}, or of another directory"),
            Outcome::Unreadable(why) => write!(f, "left alone: its journal cannot be understood: {why}"),
            Outcome::Failed(why) => write!(f, "cannot be settled yet: {why}"),
        }
    }
}

/// Who asks for a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A push that is about to start, which settles what is surely of this machine and this repository.
    ByPush,
    /// The administrator, who knows that nobody else is at work on journals from elsewhere.
    ByName,
}

/// What is known of a vote whose process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was a yes.
    Yes,
    /// It was a no, or there is nobody who could have said yes.
    No,
    /// Ask again later.
    Unknown,
}

/// Those outside of refs that a transaction with a vote has to do with. None is called where there was no vote, and for one
/// of elsewhere only `bring_in`.
pub struct Parties<'p> {
    /// What the vote was.
    pub ask: &'p mut dyn FnMut(&TransactionId, &Intent) -> Verdict,
    /// Give the objects of the quarantine that has this path their names among the repository's; some may have them already.
    pub bring_in: &'p mut dyn FnMut(&Path) -> Result<()>,
    /// The refs have their values: the quarantine that has this path goes, and what keeps its packs from being removed.
    pub clear: &'p mut dyn FnMut(&Path) -> Result<()>,
    /// Tell what became of it, true if it was carried out; possibly not for the first time.
    pub tell: &'p mut dyn FnMut(&TransactionId, &Intent, bool),
}

/// Where and on whose word a recovery works.
#[derive(Clone, Copy)]
pub struct Recovery<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Its settings.
    pub config: &'a Config,
    /// What a signal does.
    pub interrupts: &'a Interrupts,
    /// Who asks for it.
    pub asked: Asked,
}

impl Recovery<'_> {
    /// Settle each transaction whose process is dead; never waits for a living one, and for another recovery only if asked for by
    /// name.
    ///
    /// Costs one system call where there is nothing to settle.
    pub fn run(&self, parties: &mut Parties<'_>) -> Result<Vec<Finding>> {
        let common_dir = &self.repository.common_dir;
        let directory = journal::directory(common_dir);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err).with_context(|| format!("cannot read '{}'", directory.display())),
        };
        let mut journals = Vec::new();
        let mut others = Vec::new();
        for entry in entries {
            let name = entry.with_context(|| format!("cannot read '{}'", directory.display()))?.file_name();
            match name.to_str().and_then(TransactionId::of_file) {
                Some(id) => journals.push(id),
                None => others.push(name),
            }
        }
        journals.sort_unstable();
        // A probe counts for left behind once its journal is gone, whose name sorts before it.
        others.sort_unstable();
        let alone = match self.asked {
            Asked::ByPush => lock(File::open(common_dir))?,
            Asked::ByName => Some(await_lock(File::open(common_dir)?)?),
        };
        let Some(_alone) = alone else {
            return Ok(journals.into_iter().map(|id| Finding { id, outcome: Outcome::Busy }).collect());
        };
        let mut findings = Vec::new();
        for id in journals {
            let path = directory.join(id.to_string());
            let outcome = self.settle(&path, &id, parties);
            // Pushes of other refs have nothing to do with it.
            let outcome = outcome.unwrap_or_else(|err| Some(Outcome::Failed(format!("{err:#}"))));
            findings.extend(outcome.map(|outcome| Finding { id, outcome }));
        }
        for name in others {
            sweep(&directory, &name)?;
        }
        // Goes when nobody uses it any more.
        fs::remove_dir(&directory).ok();
        Ok(findings)
    }

    /// `None` if there was nothing to settle after all.
    fn settle(&self, path: &Path, id: &TransactionId, parties: &mut Parties<'_>) -> Result<Option<Outcome>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            file => file,
        };
        let Some(file) = lock(file)? else { return Ok(Some(Outcome::Busy)) };
        // Its writer may have ended in peace between our look and our lock.
        let (ours, there) = (file.metadata()?, fs::symlink_metadata(path));
        if !there.is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev()) {
            return Ok(None);
        }
        let mut text = Vec::new();
        (&*file).read_to_end(&mut text)?;
        let entry = match Entry::read(&text, id) {
            Ok(entry) => entry,
            Err(err) => return Ok(Some(Outcome::Unreadable(format!("{err:#}")))),
        };
        let here = Writer::this_process(self.repository.into())?;
        let is_of_here = entry.writer.as_ref().is_some_and(|writer| is_of(writer, &here));
        let git_dir = match entry.writer {
            Some(writer) if self.asked == Asked::ByPush && !is_of(&writer, &here) => {
                return Ok(Some(Outcome::Foreign(writer.host)));
            }
            Some(writer) => writer.git_dir,
            None if self.asked == Asked::ByPush => return Ok(Some(Outcome::Foreign("an unknown machine".into()))),
            None => self.repository.git_dir.clone(),
        };
        // A copy of the repository has its refs where it is, not where the journal says; so has one that was moved.
        let git_dir = if is_of_here && git_dir.is_dir() { git_dir } else { self.repository.git_dir.clone() };
        let repository = &Repository { git_dir, ..self.repository.clone() };
        let locks = match entry.state {
            Some(_) => entry.locks,
            // Nobody had synced it when the machine died; but the locks themselves name the transaction.
            None => every_name(repository)?,
        };
        let found = Found { repository, path, id, locks, intent: entry.intent, is_of_here };
        let outcome = match entry.state {
            None | Some(State::Locking) => {
                found.clean_up(parties)?;
                Outcome::Undone
            }
            Some(State::Voting) => {
                // Nobody here can say what was said elsewhere.
                let verdict = if is_of_here { (parties.ask)(id, &found.intent) } else { Verdict::No };
                let outcome = match verdict {
                    Verdict::Unknown => Outcome::InDoubt,
                    // A ref that is not locked any more may have been changed since: all or none means none then.
                    Verdict::Yes if found.holds_all() => found.carry_out(self, file, &text, true, parties)?,
                    Verdict::Yes | Verdict::No => found.roll_back(self, file, &text, parties)?,
                };
                return Ok(Some(outcome));
            }
            Some(State::Aborted) => {
                found.clean_up(parties)?;
                found.tell(parties, false);
                Outcome::RolledBack
            }
            Some(State::Decided) => return found.carry_out(self, file, &text, false, parties).map(Some),
            Some(State::Committed) => {
                found.write_logs(self)?;
                found.clean_up(parties)?;
                found.tell(parties, true);
                Outcome::CarriedOut
            }
            Some(State::Told) => {
                found.clean_up(parties)?;
                Outcome::CarriedOut
            }
        };
        remove(path)?;
        Ok(Some(outcome))
    }
}

/// A transaction whose process is dead, and whose journal we hold.
struct Found<'f> {
    repository: &'f Repository,
    path: &'f Path,
    id: &'f TransactionId,
    locks: Vec<BString>,
    intent: Intent,
    /// This machine and this directory were its writer's.
    is_of_here: bool,
}

impl Found<'_> {
    /// Go forward; `newly` if the yes is not in the journal yet.
    fn carry_out(
        &self,
        recovery: &Recovery<'_>,
        file: Flock<File>,
        text: &[u8],
        newly: bool,
        parties: &mut Parties<'_>,
    ) -> Result<Outcome> {
        let locksmith = Locksmith { interrupts: recovery.interrupts, shared: recovery.config.shared_repository };
        // Nothing of this is to be undone by a signal, nor by an error.
        let _held_off = recovery.interrupts.hold_off();
        free_for_all(self.repository.into(), self.id)?;
        let mut journal = Journal::adopt(self.id.clone(), file, self.path.to_owned(), text, locksmith)?;
        let ready = if newly { journal.reach(State::Decided).map_err(Into::into) } else { Ok(()) };
        let ready = ready.and_then(|()| match self.quarantine() {
            // It goes only when the refs are written, and without its objects they must not be.
            Some(quarantine) => (parties.bring_in)(&quarantine),
            None => Ok(()),
        });
        let database = ready.and_then(|()| Database::open(self.repository));
        // Where the quarantine is out of sight, so may they be, and no ref is to name what nobody has.
        let database = database.and_then(|database| self.find_values(&database).map(|()| database));
        let database = match database {
            Ok(database) => database,
            Err(err) => {
                journal.leave();
                return Ok(Outcome::Waiting(format!("{err:#}").into()));
            }
        };
        let (repository, config, interrupts) = (self.repository, recovery.config, recovery.interrupts);
        let decided = Decided::resume(repository, config, interrupts, &database, journal, &self.intent);
        let settled = match decided.and_then(|decided| decided.commit(&|| {}).map_err(|Unfinished(why)| why)) {
            Ok(settled) => settled,
            Err(why) => return Ok(Outcome::Waiting(why)),
        };
        self.clean_up(parties)?;
        self.tell(parties, true);
        settled.told();
        Ok(Outcome::CarriedOut)
    }

    /// Fails if the object of a new value is missing.
    fn find_values(&self, database: &Database) -> Result<()> {
        for update in self.intent.updates.iter().filter(|update| !update.new.is_null()) {
            let id = update.new;
            ensure!(database.header(&id)?.is_some(), "object {id}, the new value of '{}', is missing", update.name);
        }
        Ok(())
    }

    /// Write down that it is over, and undo it.
    fn roll_back(
        &self,
        recovery: &Recovery<'_>,
        file: Flock<File>,
        text: &[u8],
        parties: &mut Parties<'_>,
    ) -> Result<Outcome> {
        let locksmith = Locksmith { interrupts: recovery.interrupts, shared: recovery.config.shared_repository };
        let mut journal = Journal::adopt(self.id.clone(), file, self.path.to_owned(), text, locksmith)?;
        let undone = journal.reach(State::Aborted).map_err(Into::into).and_then(|()| self.clean_up(parties));
        match undone {
            Ok(()) => {
                self.tell(parties, false);
                Ok(Outcome::RolledBack)
            }
            Err(err) => {
                journal.leave();
                Err(err)
            }
        }
    }

    fn tell(&self, parties: &mut Parties<'_>, is_committed: bool) {
        if self.is_of_here {
            (parties.tell)(self.id, &self.intent, is_committed);
        }
    }

    /// True if each ref is still locked for this transaction.
    fn holds_all(&self) -> bool {
        let (paths, text) = (Paths::from(self.repository), self.id.link_text());
        self.intent.updates.iter().all(|update| {
            fs::read_link(paths.lock(update.name.as_ref())).is_ok_and(|found| found.as_os_str() == text.as_str())
        })
    }

    /// Write the log lines that are missing. The refs are free only after the last line, so one that is free says that all
    /// are there.
    fn write_logs(&self, recovery: &Recovery<'_>) -> Result<()> {
        let paths = Paths::from(self.repository);
        let locksmith = Locksmith { interrupts: recovery.interrupts, shared: recovery.config.shared_repository };
        if !self.holds_all() {
            return Ok(());
        }
        let identity = self.intent.identity.as_ref();
        for line in &self.intent.logs {
            let log = Log::at(line.name.as_ref(), paths, line.make);
            if !log.ends_in(&reflog::line(line.old, line.new, identity)) {
                log.append(line.old, line.new, identity, locksmith)?;
            }
        }
        for update in self.intent.updates.iter().filter(|update| update.new.is_null() && !update.old.is_null()) {
            reflog::remove(update.name.as_ref(), paths)?;
        }
        Ok(())
    }

    /// Take away all that bears the transaction's name but the journal.
    fn clean_up(&self, parties: &mut Parties<'_>) -> Result<()> {
        undo(self.repository.into(), self.id, &self.locks)?;
        remove_all(&self.path.with_file_name(format!("{}.d", self.id)))?;
        if let Some(quarantine) = self.quarantine().filter(|quarantine| quarantine.is_dir()) {
            (parties.clear)(&quarantine)?;
        }
        Ok(())
    }

    /// The quarantine, if there was one. What the journal says of it is believed only if it is a name of ours.
    fn quarantine(&self) -> Option<PathBuf> {
        let name = self.intent.objects.as_ref().filter(|name| **name == format!("incoming-{}", self.id))?;
        Some(self.repository.objects_dir.join(OsStr::from_bytes(name)))
    }
}

fn is_of(writer: &Writer, here: &Writer) -> bool {
    (&writer.host, writer.device, writer.inode) == (&here.host, here.device, here.inode)
}

/// Take away the locks, guards and staged files of transaction `id` on `refs`, and of packed-refs.
fn undo(paths: Paths<'_>, id: &TransactionId, refs: &[BString]) -> io::Result<()> {
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
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
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
    Ok(())
}

/// Take away the locks of transaction `id` on what is nobody's own: packed-refs, with what was half written of it, and HEAD.
fn free_for_all(paths: Paths<'_>, id: &TransactionId) -> io::Result<()> {
    let (packed, text) = (paths.packed_refs(), id.link_text());
    remove(&packed.with_file_name(format!("packed-refs.{text}")))?;
    let mut packed_lock = packed.into_os_string();
    packed_lock.push(".lock");
    remove_link(Path::new(&packed_lock), &text)?;
    remove_link(&paths.lock("HEAD".into()), &text)
}

/// Remove the symbolic link at `path` if it has this text.
fn remove_link(path: &Path, text: &str) -> io::Result<()> {
    match fs::read_link(path) {
        Ok(found) if found.as_os_str() == text => remove(path),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn remove_all(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        result => result,
    }
}

/// Remove what lies about without a journal: one that was never finished, its probe, or what was staged for one that is gone.
fn sweep(directory: &Path, name: &OsStr) -> Result<()> {
    let path = directory.join(name);
    let Some(name) = name.to_str() else { return Ok(()) };
    let without = |owner: String| fs::symlink_metadata(directory.join(owner)).is_err();
    if let Some(id) = name.strip_suffix(".d").filter(|id| TransactionId::of_file(id).is_some()) {
        if without(id.to_owned()) {
            remove_all(&path)?;
        }
    } else if let Some(id) = name.strip_prefix("new-").and_then(|name| name.strip_suffix(".link")) {
        if without(format!("new-{id}")) {
            remove(&path)?;
        }
    } else if name.starts_with("new-") {
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
fn every_name(repository: &Repository) -> io::Result<Vec<BString>> {
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

/// Take the kernel's lock on a file, however long somebody has it.
fn await_lock(file: File) -> Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Take the kernel's lock on a file, `None` if somebody has it.
fn lock(file: io::Result<File>) -> Result<Option<Flock<File>>> {
    match Flock::lock(file?, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(Some(locked)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}
