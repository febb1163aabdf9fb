//! One `git update-ref --stdin` process and the conversation with it (git-update-ref).

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    iter,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::JoinHandle,
};

use anyhow::{Context, Result};
use bstr::{BStr, BString, ByteSlice};

use super::{
    super::{Edit, Site},
    locks::held_by_git,
};
use crate::{
    balanced::journal::Journal,
    config::LogRefs,
    hooks::environment,
    refs::{git_lock::GitLock, identity},
    trace,
};

/// How much git may say on stderr, in bytes; what goes beyond that is not kept.
const MAX_SAID: u64 = 1 << 20;

/// A process that has refs locked. When this is dropped, or this process dies, it lets go of them, and nothing has changed.
pub(super) struct UpdateRef {
    process: Child,
    /// `None` once there is nothing more to say.
    to: Option<BufWriter<ChildStdin>>,
    from: BufReader<ChildStdout>,
    said: Option<JoinHandle<Vec<u8>>>,
    traced: Option<trace::Child>,
    /// The lock files that it has made, where they are known: what is left of them when it was killed goes.
    pub(super) locks: Vec<GitLock>,
}

/// What a session about a vote has to do with.
#[derive(Clone, Copy)]
pub(super) struct Voted<'v> {
    /// Its journal. git shares the lock on it, so that nobody takes the transaction for dead while git is at work.
    pub(super) journal: &'v Journal,
    /// The variables by which git finds objects in quarantine.
    pub(super) objects: &'v [(&'static str, OsString)],
    /// Whom the reflog names: the same in the session of a recovery.
    pub(super) identity: &'v BStr,
}

/// Why git did not do as it was told; it has ended, and changed nothing unless it was in the middle of a commit.
#[derive(Debug)]
pub(super) struct Refusal {
    /// In git's words, without `fatal: `.
    pub(super) message: BString,
}

impl Refusal {
    /// True if another writer has the lock that covers all refs.
    pub(super) fn is_for_want_of_lock(&self) -> bool {
        self.message == "cannot lock references"
    }
}

impl UpdateRef {
    /// Lock and check `edits`, all or none.
    pub(super) fn prepare<'e>(
        site: Site<'_>,
        edits: impl Iterator<Item = &'e Edit>,
        voted: Option<Voted<'_>>,
    ) -> Result<Self, Refusal> {
        let cannot_run = |err: io::Error| Refusal { message: format!("cannot run 'git update-ref': {err}").into() };
        let mut this = Self::start(site, voted).map_err(cannot_run)?;
        this.say(b"start\0");
        for edit in edits {
            this.say(b"update ");
            this.say(&edit.name);
            this.say(format!("\0{}\0", edit.new).as_bytes());
            if let Some(old) = edit.old {
                this.say(old.to_string().as_bytes());
            }
            this.say(b"\0");
        }
        this.say(b"prepare\0");
        this.expect("start: ok")?;
        this.expect("prepare: ok")?;
        Ok(this)
    }

    /// Carry out what is prepared.
    pub(super) fn commit(mut self) -> Result<(), Refusal> {
        self.say(b"commit\0");
        self.expect("commit: ok")
    }

    /// Write into the journal which lock files it has made for these edits and the refs that they change in the end.
    pub(super) fn note_locks<'e>(
        &mut self,
        site: Site<'_>,
        edits: impl Iterator<Item = (&'e Edit, &'e BStr)> + Clone,
        journal: &mut Journal,
    ) -> Result<()> {
        let refs: Vec<&BStr> = edits.clone().flat_map(|(edit, name)| [edit.name.as_ref(), name]).collect();
        let deleted: Vec<&BStr> = edits.filter(|(edit, _)| edit.is_deletion()).map(|(_, name)| name).collect();
        self.locks = held_by_git(site, &refs, &deleted)?;
        journal.note_git_locks(&self.locks).context("cannot write down what is locked")
    }

    /// True if it has not ended, as far as can be known.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    fn start(site: Site<'_>, voted: Option<Voted<'_>>) -> io::Result<Self> {
        let mut command = Command::new("git");
        // This program runs the reference-transaction hooks: those in the directory, and those that are configured.
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "hook.reference-transaction.enabled=false"]);
        // Or it looks for refs that are called like each value, by six names, to warn of them.
        command.args(["-c", "core.warnAmbiguousRefs=false"]);
        // Left to itself, it takes a linked work tree of a bare repository for one whose refs are logged.
        command.arg("-c").arg(match site.config.log_all_ref_updates {
            LogRefs::Existing => "core.logAllRefUpdates=false",
            LogRefs::Usual => "core.logAllRefUpdates=true",
            LogRefs::Always => "core.logAllRefUpdates=always",
        });
        if let Some(voted) = voted {
            command.args(["-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync"]).env("GIT_TEST_FSYNC", "true");
            command.envs(voted.objects.iter().map(|(name, value)| (name, value)));
            command.envs(identity::variables(voted.identity));
        }
        command.args(["update-ref", "-m", "push", "--stdin", "-z"]);
        command.current_dir(&site.repository.git_dir).envs(environment::for_children());
        // Its words go into the report; and a signal to this process's group is for this process to judge.
        command.env("LC_ALL", "C").process_group(0);
        command.envs(trace::for_children().into_iter().flatten());
        let traced = trace::child(None, iter::once(command.get_program()).chain(command.get_args()));
        // A descriptor that is not closed on exec, for as long as it takes to start this one process.
        let shared = voted.map(|voted| voted.journal.share_lock()).transpose()?;
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        drop(shared);
        let mut process = spawned?;
        let missing = || io::Error::other("it has no pipes");
        let to = process.stdin.take().map(BufWriter::new);
        let from = process.stdout.take().map(BufReader::new).ok_or_else(missing)?;
        let mut stderr = process.stderr.take().ok_or_else(missing)?;
        let said = std::thread::Builder::new().name("update-ref".into()).spawn(move || {
            let mut said = Vec::new();
            stderr.by_ref().take(MAX_SAID).read_to_end(&mut said).ok();
            io::copy(&mut stderr, &mut io::sink()).ok();
            said
        })?;
        Ok(UpdateRef { process, to, from, said: Some(said), traced, locks: Vec::new() })
    }

    /// That git is gone shows when its answer is read.
    fn say(&mut self, words: &[u8]) {
        if let Some(to) = &mut self.to {
            to.write_all(words).ok();
        }
    }

    fn expect(&mut self, answer: &str) -> Result<(), Refusal> {
        if let Some(to) = &mut self.to {
            to.flush().ok();
        }
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(_) if line.trim_end_matches('\n') == answer => Ok(()),
            _ => Err(Refusal { message: self.end() }),
        }
    }

    /// Wait for the end of it; the reason that it gave. Whatever else it said goes to stderr.
    fn end(&mut self) -> BString {
        drop(self.to.take().map(BufWriter::into_parts));
        let status = self.process.wait();
        if let (Some(traced), Ok(status)) = (self.traced.take(), &status) {
            traced.ended(self.process.id(), *status);
        }
        for lock in self.locks.drain(..) {
            lock.remove().ok();
        }
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        let mut reason = None;
        for line in said.lines_with_terminator() {
            match line.strip_prefix(b"fatal: ") {
                Some(fatal) => reason = Some(without_step(fatal.trim_end().as_bstr())),
                None => drop(io::stderr().write_all(line)),
            }
        }
        reason.map(BStr::to_owned).unwrap_or_else(|| match status {
            Ok(status) => format!("'git update-ref' ended: {status}").into(),
            Err(err) => format!("cannot wait for 'git update-ref': {err}").into(),
        })
    }
}

/// The reason without the command at which it came up.
fn without_step(reason: &BStr) -> &BStr {
    [&b"prepare: "[..], b"commit: "].iter().find_map(|step| reason.strip_prefix(*step)).unwrap_or(reason).as_bstr()
}

impl Drop for UpdateRef {
    fn drop(&mut self) {
        if self.said.is_some() {
            self.end();
        }
    }
}
