//! Recovery together with those whom the vote of a dead push concerns: its hook, and the objects in its quarantine.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use bstr::BString;
use nix::fcntl::{Flock, FlockArg};

use super::{
    ballot::Ballot,
    journal,
    recover::{Asked, Finding, Found, Parties, Recovery, Verdict},
    survivors,
    transaction_id::TransactionId,
};
use crate::{
    command::Command,
    config::Config,
    hooks::{Answer, Hooks, balanced_update::Phase, conversation::Limits},
    interrupt::Interrupts,
    objects::{
        connectivity::{self, Grounds, Tips},
        database::Database,
        migrate::Kept,
        quarantine::{self, Quarantine},
        shallow::Shallow,
    },
    refs::{alternates, snapshot::Snapshot, visibility::HiddenRefs},
    repository::Repository,
    system_error,
    wire::sideband::Sideband,
};

/// `git-receive-pack --recover <git-dir>`: settle what dead pushes left in the repository that is named so, and print what was
/// found and done. True if nothing is in doubt any more.
pub fn recover(git_dir: &OsStr) -> Result<bool> {
    let (repository, config) = Repository::enter(git_dir)?;
    let findings = settle(&repository, &config, Asked::ByName)?;
    print(findings.iter())?;
    Ok(!findings.iter().any(|finding| finding.outcome.is_in_doubt()))
}

/// What a push has started [beside](super::beside) itself: settle what it does not wait for, and print what its administrator is to know.
pub fn recover_beside(git_dir: &OsStr) -> Result<bool> {
    // Whatever becomes of the push and its terminal.
    nix::unistd::setsid().ok();
    let (repository, config) = Repository::enter(git_dir)?;
    let findings = settle(&repository, &config, Asked::Beside)?;
    print(findings.iter().filter(|finding| finding.outcome.is_news()))?;
    Ok(true)
}

fn print<'f>(findings: impl Iterator<Item = &'f Finding>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    findings.into_iter().try_for_each(|finding| writeln!(out, "{finding}"))
}

/// Settle what pushes left whose processes are dead. The hook's output goes to stderr.
pub fn settle(repository: &Repository, config: &Config, asked: Asked) -> Result<Vec<Finding>> {
    let interrupts = &Interrupts::default();
    // A journal names refs in full.
    let repository = &Repository { namespace: BString::default(), ..repository.clone() };
    let case = Case { config, interrupts, sideband: Sideband::new(Box::new(io::sink()), false) };
    let mut kept = Vec::new();
    let findings = Recovery { repository, config, interrupts, asked }.run(&mut Parties {
        ask: &mut |found| case.ask(found).unwrap_or_else(|err| unknown(found.id, &err)),
        bring_in: &mut |found, dir| {
            kept.push(case.quarantine(found, dir)?.link_in()?);
            Ok(())
        },
        find_objects: &mut |found| {
            ensure!(case.is_complete(found, None)?, "an object that its new values need is missing");
            Ok(())
        },
        clear: &mut |found, dir| case.quarantine(found, dir)?.clear(),
        tell: &mut |found, is_committed| {
            if let Err(err) = case.tell(found, is_committed) {
                say!("error: cannot tell the balanced_update hook what became of {}: {err:#}", found.id);
            }
        },
    });
    // What guards the packs of a transaction that has to wait stays with its quarantine.
    kept.into_iter().for_each(Kept::leave);
    let findings = findings?;
    if config.balanced_atomic || asked == Asked::ByName {
        sweep_quarantines(repository)?;
    }
    Ok(findings)
}

fn unknown(id: &TransactionId, err: &anyhow::Error) -> Verdict {
    say!("error: cannot find out what became of {id}: {err:#}");
    Verdict::Unknown
}

struct Case<'a> {
    config: &'a Config,
    interrupts: &'a Interrupts,
    sideband: Sideband,
}

impl Case<'_> {
    /// What the hook says of a vote whose outcome nobody wrote down.
    fn ask(&self, found: &Found<'_>) -> Result<Verdict> {
        let id = found.id;
        if !survivors::end(id, found.hook) {
            say!("error: a hook of {id} cannot be ended, so nobody asks again what it says");
            return Ok(Verdict::Unknown);
        }
        let quarantine = found.quarantine().map(|dir| self.quarantine(found, &dir)).transpose()?;
        let environment = quarantine.as_ref().map(Quarantine::environment).transpose()?.unwrap_or_default();
        let hooks = self.hooks(found)?.inside(&environment);
        if !hooks.can_vote() {
            return Ok(Verdict::Unknown);
        }
        let limits = Limits::within(self.config.balanced_timeout);
        let answer = hooks.balanced_update(Phase::InDoubt, &ballot(found), limits)?;
        Ok(match answer {
            Answer::Yes if self.is_complete(found, quarantine.as_ref())? => Verdict::Yes,
            Answer::Yes => {
                say!("error: {id} is undone in spite of the hook's yes: objects that it needs are gone");
                Verdict::No
            }
            Answer::No | Answer::NoHook => Verdict::No,
            Answer::Failed | Answer::TimedOut | Answer::Interrupted => Verdict::Unknown,
        })
    }

    /// True if all is there that the new values reach: somebody may have tidied up since it was looked for.
    fn is_complete(&self, found: &Found<'_>, quarantine: Option<&Quarantine>) -> Result<bool> {
        let repository = found.repository;
        let mut database = Database::open(repository)?;
        if let Some(quarantine) = quarantine {
            database = database.with_quarantine(quarantine, repository.hash);
        }
        let updates = found.intent.updates.iter();
        let mut commands: Vec<Command> =
            updates.map(|update| Command::new(update.old, update.new, update.name.clone())).collect();
        if let Some(first) = commands.iter_mut().find(|command| !command.is_deletion()) {
            // Whichever of them needs which.
            first.new_roots = found.intent.roots.clone();
        }
        let grounds = Grounds {
            database: &database,
            tips: &Tips {
                repository,
                snapshot: &Snapshot::read(repository)?,
                hidden: &HiddenRefs::new(&self.config.hide_refs),
                alternates: &alternates::tips(repository, self.config),
            },
            config: self.config,
            shallow: &Shallow::read(repository)?,
            is_closed: false,
            interrupts: self.interrupts,
        };
        connectivity::check(&grounds, &self.sideband, false, &mut commands);
        Ok(!commands.iter().any(Command::is_refused))
    }

    /// The hooks as the dead push would have run them.
    fn hooks<'f>(&'f self, found: &'f Found<'_>) -> Result<Hooks<'f>> {
        let hooks =
            Hooks::new(found.repository, self.config, (&self.sideband, self.interrupts), &found.intent.options)?;
        hooks.show_certificate(found.intent.certificate.clone());
        Ok(hooks)
    }

    fn quarantine(&self, found: &Found<'_>, dir: &Path) -> Result<Quarantine> {
        Quarantine::adopt(dir.to_owned(), found.repository, self.config, self.interrupts)
    }

    fn tell(&self, found: &Found<'_>, is_committed: bool) -> Result<()> {
        let hooks = self.hooks(found)?;
        let phase = if is_committed { Phase::Committed } else { Phase::Aborted };
        hooks.balanced_update(phase, &ballot(found), Limits::within(self.config.balanced_timeout))?;
        Ok(())
    }
}

fn ballot(Found { id, intent, .. }: &Found<'_>) -> Ballot {
    let mut updates: Vec<_> =
        intent.updates.iter().map(|update| (update.old, update.new, update.name.as_ref())).collect();
    updates.sort_unstable_by_key(|(_, _, name)| *name);
    Ballot::new((*id).clone(), updates)
}

/// Remove the quarantines of processes that died before they had a journal.
fn sweep_quarantines(repository: &Repository) -> Result<()> {
    let journals = journal::directory(&repository.common_dir);
    let cannot = || format!("cannot look for quarantines in '{}'", repository.objects_dir.display());
    for entry in fs::read_dir(&repository.objects_dir).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let Some(id) = quarantine::named_by(&entry.file_name()) else { continue };
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(directory) = fs::File::open(entry.path()) else { continue };
        let Ok(_dead) = Flock::lock(directory, FlockArg::LockExclusiveNonblock) else { continue };
        // Looked for last: while its owner lived there may have been none yet. Where nobody can tell, there may be one.
        if matches!(journals.join(id.to_string()).try_exists(), Ok(false)) {
            let removed = fs::remove_dir_all(entry.path());
            // Its owner may have lived a moment ago, and removed it. Nor does what cannot be removed stop a push.
            if let Err(err) = removed
                && err.kind() != io::ErrorKind::NotFound
            {
                say!("warning: cannot remove '{}': {}", entry.path().display(), system_error::words(&err));
            }
        }
    }
    Ok(())
}
