//! Settling what transactions of dead processes left behind. What a living one holds stays, and so do git's own locks.
//!
//! Whether a writer lives is told by the lock on its journal, which the kernel frees when it dies; who settles a journal holds
//! that lock from then on. Refs, locks and objects are touched under a lock on the common directory as well, so that two
//! recoveries do not meet; nobody holds that while a hook runs.

mod by_git;
mod found;
mod leavings;
mod outcome;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use self::leavings::{every_name, sweep};
pub use self::{
    found::Found,
    outcome::{Finding, Outcome},
};
use super::{
    format::{Entry, State, Writer},
    intent::Intent,
    journal::{self, Journal},
    transaction_id::TransactionId,
};
use crate::{
    config::Config,
    interrupt::Interrupts,
    objects::quarantine,
    refs::{
        lock::{Locksmith, Waiting},
        transaction::update_ref::TooLate,
    },
    repository::Repository,
};

/// How long a git may take to end whose pusher died: it has only to let go of its locks.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who asks for a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A push that is about to start: it settles what is surely of this machine and this repository, and for which it need
    /// not wait for anybody's word.
    ByPush,
    /// A process that such a push has started beside itself: for what is of here it asks, and tells.
    Beside,
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

/// Those outside of refs that a transaction with a vote has to do with. None is called where there was no vote; nobody is asked
/// or told about one of elsewhere, nor for a recovery [by a push](Asked::ByPush).
pub struct Parties<'p> {
    /// What the vote was.
    pub ask: &'p mut dyn FnMut(&Found<'_>) -> Verdict,
    /// Give the objects of the quarantine that has this path their names among the repository's; some may have them already.
    pub bring_in: &'p mut dyn FnMut(&Found<'_>, &Path) -> Result<()>,
    /// Fails if not all is there, out of quarantine, that the new values reach.
    pub find_objects: &'p mut dyn FnMut(&Found<'_>) -> Result<()>,
    /// The refs have their values: the quarantine that has this path goes, and what keeps its packs from being removed.
    pub clear: &'p mut dyn FnMut(&Found<'_>, &Path) -> Result<()>,
    /// Tell what became of it, true if it was carried out; possibly not for the first time.
    pub tell: &'p mut dyn FnMut(&Found<'_>, bool),
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
    /// Settle each transaction whose process is dead; never waits for a living one, and a push not for another recovery
    /// either.
    ///
    /// Costs one system call where there is nothing to settle.
    pub fn run(&self, parties: &mut Parties<'_>) -> Result<Vec<Finding>> {
        let directory = journal::directory(&self.repository.common_dir);
        let cannot = || format!("cannot read '{}'", directory.display());
        let (journals, others) = match list(&directory) {
            Ok(found) => found,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err).with_context(cannot),
        };
        let mut findings = Vec::new();
        for id in journals {
            let path = directory.join(id.to_string());
            let outcome = self.settle(&path, &id, parties);
            // Pushes of other refs have nothing to do with it.
            let outcome = outcome.unwrap_or_else(|err| Some(Outcome::Failed(format!("{err:#}"))));
            findings.extend(outcome.map(|outcome| Finding { id, outcome }));
        }
        if !others.is_empty()
            && let Some(_turn) = self.turn()?
        {
            others.iter().try_for_each(|name| sweep(&directory, name))?;
        }
        // Goes when nobody uses it any more.
        fs::remove_dir(&directory).ok();
        Ok(findings)
    }

    /// `None` if there was nothing to settle after all.
    fn settle(&self, path: &Path, id: &TransactionId, parties: &mut Parties<'_>) -> Result<Option<Outcome>> {
        if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) {
            // To read from a pipe could take for ever.
            return Ok(Some(Outcome::Unreadable("it is no file".into())));
        }
        let here = Writer::this_process(self.repository.into())?;
        let mut waiting = Waiting::new(Some(PATIENCE));
        let file = loop {
            let file = match OpenOptions::new().read(true).write(true).open(path) {
                Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
                file => file,
            };
            match lock(file)? {
                Some(file) => break file,
                None if is_orphaned(path, id, &here) && waiting.again() => {}
                None => return Ok(Some(Outcome::Busy)),
            }
        };
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
        let is_of_here = entry.writer.as_ref().is_some_and(|writer| is_of(writer, &here));
        if !is_of_here && self.asked != Asked::ByName {
            let host = entry.writer.map_or("an unknown machine".into(), |writer| writer.host);
            return Ok(Some(Outcome::Foreign(host)));
        }
        let repository = &match is_of_here {
            true => self.as_seen_by(&entry, id),
            // A copy of the repository has everything where it is, not where the journal says.
            false => self.repository.clone(),
        };
        // No process lives longer than its machine.
        let hook = entry.hook.filter(|_| entry.writer.as_ref().is_some_and(|writer| writer.boot == here.boot));
        let locks = match entry.state {
            Some(_) => entry.locks,
            // Nobody had synced it when the machine died; but the locks themselves name the transaction.
            None => every_name(repository)?,
        };
        let Entry { directories, git_locks, intent, .. } = entry;
        let found = Found { repository, path, id, locks, directories, git_locks, intent, hook };
        let verdict = match entry.state {
            // Nobody here can say what was said elsewhere.
            Some(State::Voting) if !is_of_here => Verdict::No,
            Some(State::Voting) if self.asked == Asked::ByPush => return Ok(Some(Outcome::Open(found.locks))),
            Some(State::Voting) => (parties.ask)(&found),
            Some(State::Decided | State::Committed) => Verdict::Yes,
            None | Some(State::Locking | State::Aborted | State::Told) => Verdict::No,
        };
        if verdict == Verdict::Unknown {
            return Ok(Some(Outcome::InDoubt));
        }
        let Some(turn) = self.turn()? else { return Ok(Some(Outcome::Busy)) };
        let has_lost_locks = entry.state == Some(State::Voting) && !found.intent.is_for_git() && !found.holds_all()?;
        let locksmith = Locksmith { interrupts: self.interrupts, shared: self.config.shared_repository };
        let mut journal = Journal::adopt(id.clone(), file, path.to_owned(), &text, locksmith)?;
        let mut too_late = None;
        let is_committed = match entry.state {
            None | Some(State::Locking) => {
                found.clean_up(parties)?;
                journal.remove();
                return Ok(Some(Outcome::Undone));
            }
            Some(State::Told) => {
                found.clean_up(parties)?;
                journal.remove();
                return Ok(Some(Outcome::CarriedOut));
            }
            Some(State::Committed) => {
                found.write_logs(self)?;
                true
            }
            Some(State::Aborted) => false,
            // A ref that is not locked any more may have been changed since: all or none means none then.
            Some(State::Voting) if verdict == Verdict::No || has_lost_locks => {
                journal.reach(State::Aborted)?;
                false
            }
            Some(State::Voting | State::Decided) if found.intent.is_for_git() => {
                let newly = entry.state == Some(State::Voting);
                match found.carry_out_by_git(self, &mut journal, newly, parties) {
                    Ok(Ok(())) => true,
                    Ok(Err(TooLate(why))) => {
                        journal.reach(State::Aborted)?;
                        too_late = Some(Outcome::TooLate(why));
                        false
                    }
                    // It will be asked about again.
                    Err(why) if newly => return Ok(Some(Outcome::Failed(why.to_string()))),
                    Err(why) => return Ok(Some(Outcome::Waiting(why))),
                }
            }
            Some(State::Voting | State::Decided) => {
                let newly = entry.state == Some(State::Voting);
                journal = match found.carry_out(self, journal, newly, parties) {
                    Ok(journal) => journal,
                    Err(why) => return Ok(Some(Outcome::Waiting(why))),
                };
                true
            }
        };
        found.clean_up(parties)?;
        drop(turn);
        if self.asked == Asked::ByPush {
            if let Some(outcome) = too_late {
                say!("warning: {}", Finding { id: id.clone(), outcome });
            }
            // Its refs are free. Who is to know will be told.
            return Ok(Some(Outcome::Open(Vec::new())));
        }
        if is_of_here {
            (parties.tell)(&found, is_committed);
        }
        journal.remove();
        Ok(Some(if is_committed { Outcome::CarriedOut } else { too_late.unwrap_or(Outcome::RolledBack) }))
    }

    /// The repository with the worktree and the object directory that a push went to, where they still are: it may have been
    /// moved.
    fn as_seen_by(&self, entry: &Entry, id: &TransactionId) -> Repository {
        let mut repository = self.repository.clone();
        if let Some(git_dir) = entry.writer.as_ref().map(|writer| &writer.git_dir).filter(|dir| dir.is_dir()) {
            repository.git_dir = git_dir.clone();
        }
        if let Some(objects_dir) = objects_dir_of(&entry.intent, id)
            && objects_dir != repository.objects_dir
        {
            let ours = std::mem::replace(&mut repository.objects_dir, objects_dir);
            repository.alternate_dirs.push(ours);
        }
        repository
    }

    /// The lock under which what dead ones left is touched, `None` if somebody else has it and a push is not to wait.
    fn turn(&self) -> Result<Option<Flock<File>>> {
        let common_dir = File::open(&self.repository.common_dir);
        match self.asked {
            Asked::ByPush => lock(common_dir),
            Asked::Beside | Asked::ByName => {
                let turn = Flock::lock(common_dir?, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
                Ok(Some(turn))
            }
        }
    }
}

/// The journals in `directory`, and what else is there, each sorted.
fn list(directory: &Path) -> io::Result<(Vec<TransactionId>, Vec<OsString>)> {
    let (mut journals, mut others) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        match name.to_str().and_then(TransactionId::of_file) {
            Some(id) => journals.push(id),
            None => others.push(name),
        }
    }
    journals.sort_unstable();
    // A first mark counts for left behind once its journal is gone, whose name sorts before it.
    others.sort_unstable();
    Ok((journals, others))
}

/// Where the quarantine of transaction `id` lies, if it still is where the journal says. That is believed only of a name of ours.
fn objects_dir_of(intent: &Intent, id: &TransactionId) -> Option<PathBuf> {
    let quarantine = Path::new(OsStr::from_bytes(intent.objects.as_ref()?));
    let is_there = quarantine.file_name()? == OsStr::new(&quarantine::name_for(id)) && quarantine.is_dir();
    quarantine.parent().filter(|dir| is_there && dir.is_absolute()).map(Path::to_owned)
}

/// True if the process that wrote the journal at `path` is dead: what has it locked is the git that worked for it, and that
/// ends by itself.
fn is_orphaned(path: &Path, id: &TransactionId, here: &Writer) -> bool {
    let entry = fs::read(path).ok().and_then(|text| Entry::read(&text, id).ok());
    let writer = entry.and_then(|entry| entry.writer).filter(|writer| is_of(writer, here));
    writer.is_some_and(|writer| writer.boot == here.boot && !Path::new(&format!("/proc/{}", writer.pid)).exists())
}

fn is_of(writer: &Writer, here: &Writer) -> bool {
    (&writer.host, writer.device, writer.inode) == (&here.host, here.device, here.inode)
}

/// Take the kernel's lock on a file, `None` if somebody has it.
fn lock(file: io::Result<File>) -> Result<Option<Flock<File>>> {
    match Flock::lock(file?, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(Some(locked)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}
