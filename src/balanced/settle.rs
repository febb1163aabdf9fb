//! Recovery together with those whom the vote of a dead push concerns: its hook, and the objects in its quarantine.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result};
use bstr::BString;
use nix::fcntl::{Flock, FlockArg};

use super::{
    ballot::Ballot,
    intent::Intent,
    journal,
    recover::{Asked, Finding, Parties, Recovery, Verdict},
    survivors,
    transaction_id::TransactionId,
};
use crate::{
    command::Command,
    config::Config,
    hooks::{Answer, Hooks, balanced_update::Phase},
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
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    Ok(!findings.iter().any(|finding| finding.outcome.is_in_doubt()))
}

/// Settle what pushes left whose processes are dead. The hook's output goes to stderr.
pub fn settle(repository: &Repository, config: &Config, asked: Asked) -> Result<Vec<Finding>> {
    let interrupts = &Interrupts::default();
    // A journal names refs in full.
    let repository = &Repository { namespace: BString::default(), ..repository.clone() };
    let case = Case { repository, config, interrupts, sideband: Sideband::new(Box::new(io::sink()), false) };
    let mut kept = Vec::new();
    let findings = Recovery { repository, config, interrupts, asked }.run(&mut Parties {
        ask: &mut |id, intent| case.ask(id, intent).unwrap_or_else(|err| unknown(id, &err)),
        bring_in: &mut |dir| {
            kept.push(case.bring_in(dir)?);
            Ok(())
        },
        clear: &mut |dir| case.quarantine(dir)?.clear(),
        tell: &mut |id, intent, is_committed| {
            if let Err(err) = case.tell(id, intent, is_committed) {
                say!("error: cannot tell the balanced_update hook what became of {id}: {err:#}");
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
    repository: &'a Repository,
    config: &'a Config,
    interrupts: &'a Interrupts,
    sideband: Sideband,
}

impl Case<'_> {
    /// What the hook says of a vote whose outcome nobody wrote down.
    fn ask(&self, id: &TransactionId, intent: &Intent) -> Result<Verdict> {
        if !survivors::end(id) {
            say!("error: a hook of {id} cannot be ended, so nobody asks again what it says");
            return Ok(Verdict::Unknown);
        }
        let quarantine = match &intent.objects {
            Some(_) => Some(self.quarantine(&self.repository.objects_dir.join(quarantine::name_for(id)))?),
            None => None,
        };
        let environment = quarantine.as_ref().map(Quarantine::environment).unwrap_or_default();
        let hooks = Hooks::new(self.repository, self.config, &self.sideband, &intent.options)?.inside(&environment);
        if !hooks.can_vote() {
            return Ok(Verdict::Unknown);
        }
        let timeout = self.config.balanced_timeout;
        let answer = hooks.balanced_update(Phase::InDoubt, &ballot(id, intent), timeout, None)?;
        Ok(match answer {
            Answer::Yes if self.is_complete(intent, quarantine.as_ref())? => Verdict::Yes,
            Answer::Yes => {
                say!("error: {id} is undone in spite of the hook's yes: objects that it needs are gone");
                Verdict::No
            }
            Answer::No | Answer::NoHook => Verdict::No,
            Answer::Failed | Answer::TimedOut | Answer::Interrupted => Verdict::Unknown,
        })
    }

    /// True if all is there that the new values reach: somebody may have tidied up since it was looked for.
    fn is_complete(&self, intent: &Intent, quarantine: Option<&Quarantine>) -> Result<bool> {
        let mut database = Database::open(self.repository)?;
        if let Some(quarantine) = quarantine {
            database = database.with_quarantine(quarantine.dir(), self.repository.hash)?;
        }
        let updates = intent.updates.iter();
        let mut commands: Vec<Command> =
            updates.map(|update| Command::new(update.old, update.new, update.name.clone())).collect();
        let grounds = Grounds {
            database: &database,
            tips: &Tips {
                repository: self.repository,
                snapshot: &Snapshot::read(self.repository)?,
                hidden: &HiddenRefs::new(&self.config.hide_refs),
                alternates: &alternates::tips(self.repository, self.config),
            },
            config: self.config,
            shallow: &Shallow::read(self.repository)?,
            client_shallow: &[],
        };
        connectivity::check(&grounds, &self.sideband, false, &mut commands);
        Ok(!commands.iter().any(Command::is_refused))
    }

    fn bring_in(&self, dir: &Path) -> Result<Kept> {
        self.quarantine(dir)?.link_in()
    }

    fn quarantine(&self, dir: &Path) -> Result<Quarantine> {
        Quarantine::adopt(dir.to_owned(), self.repository, self.config, self.interrupts)
    }

    fn tell(&self, id: &TransactionId, intent: &Intent, is_committed: bool) -> Result<()> {
        let hooks = Hooks::new(self.repository, self.config, &self.sideband, &intent.options)?;
        let phase = if is_committed { Phase::Committed } else { Phase::Aborted };
        hooks.balanced_update(phase, &ballot(id, intent), self.config.balanced_timeout, None)?;
        Ok(())
    }
}

fn ballot(id: &TransactionId, intent: &Intent) -> Ballot {
    let mut updates: Vec<_> =
        intent.updates.iter().map(|update| (update.old, update.new, update.name.as_ref())).collect();
    updates.sort_unstable_by_key(|(_, _, name)| *name);
    Ballot::new(id.clone(), updates)
}

/// Remove the quarantines of processes that died before they had a journal.
fn sweep_quarantines(repository: &Repository) -> Result<()> {
    let journals = journal::directory(&repository.common_dir);
    let cannot = || format!("cannot look for quarantines in '{}'", repository.objects_dir.display());
    for entry in fs::read_dir(&repository.objects_dir).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| TransactionId::of_file(name.strip_prefix("incoming-")?));
        let Some(id) = id else { continue };
        let Ok(directory) = fs::File::open(entry.path()) else { continue };
        let Ok(_dead) = Flock::lock(directory, FlockArg::LockExclusiveNonblock) else { continue };
        // Looked for last: while its owner lived there may have been none yet.
        if !journals.join(id.to_string()).exists() {
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
