//! Settling what transactions of dead processes left behind. What a living one holds stays, and so do git's own locks.
//!
//! Whether a writer lives is told by the lock on its journal, which the kernel frees when it dies. All of it happens under
//! a lock on the common directory, so that two recoveries do not meet.

mod found;
mod leavings;
mod outcome;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

pub use self::outcome::{Finding, Outcome};
use self::{
    found::Found,
    leavings::{every_name, remove, sweep},
};
use super::{
    format::{Entry, State, Writer},
    intent::Intent,
    journal,
    transaction_id::TransactionId,
};
use crate::{config::Config, interrupt::Interrupts, repository::Repository};

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

fn is_of(writer: &Writer, here: &Writer) -> bool {
    (&writer.host, writer.device, writer.inode) == (&here.host, here.device, here.inode)
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
