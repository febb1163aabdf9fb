//! The programs that a repository's owner has put in the way of a push (githooks), and how they are talked to.
//!
//! [`Hooks`] finds and runs them; each hook with a conversation of its own has a file that adds a method to it.

pub mod balanced_update;
pub mod configured;
pub mod conversation;
pub mod environment;
pub mod leftovers;
pub mod locate;
pub mod post_update;
pub mod proc_receive;
mod proc_receive_answer;
pub mod proc_receive_refs;
pub mod push_to_checkout;
pub mod receive;
pub mod reference_transaction;
pub mod runner;
pub mod update;

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    panic::resume_unwind,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::Result;
use bstr::BString;

use self::{
    configured::ConfiguredHooks,
    conversation::{Ending, Limits},
    leftovers::Leftovers,
    locate::HookDirectory,
    runner::{Invocation, Output, Program},
};
use crate::{config::Config, interrupt::Interrupts, repository::Repository, wire::sideband::Sideband};

/// The hooks of a repository, as one push meets them.
#[derive(Clone)]
pub struct Hooks<'a> {
    sideband: Sideband,
    interrupts: Interrupts,
    push_options: &'a [BString],
    configured: ConfiguredHooks<'a>,
    directory: HookDirectory,
    /// What every child gets, once there is one: to find the installed git takes a walk through `PATH`.
    environment: OnceLock<Vec<(OsString, OsString)>>,
    /// And beside that, see [`inside`](Self::inside).
    added: Vec<(OsString, OsString)>,
    leftovers: Arc<Leftovers>,
    /// What is known of the push certificate, once that was checked.
    certificate: Arc<OnceLock<Vec<(OsString, OsString)>>>,
}

/// What the hooks of an event said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// There is no hook for this event.
    NoHook,
    /// All exited with status 0.
    Yes,
    /// One exited with status 1.
    No,
    /// One exited with another status, was ended by a signal, or could not be started.
    Failed,
    /// The time limit of one was over.
    TimedOut,
    /// A signal told this process to end.
    Interrupted,
}

impl Answer {
    /// True if it is neither a yes nor nobody's.
    pub fn is_refusal(self) -> bool {
        !matches!(self, Answer::NoHook | Answer::Yes)
    }

    fn of(ending: Ending) -> Self {
        match ending {
            Ending::Exited(status) if status.success() => Answer::Yes,
            Ending::Exited(status) if status.code() == Some(1) => Answer::No,
            Ending::Exited(_) | Ending::NotStarted => Answer::Failed,
            Ending::TimedOut => Answer::TimedOut,
            Ending::Interrupted => Answer::Interrupted,
        }
    }

    /// What two hooks of one event say together. A clear no is one, whatever becomes of the other.
    fn and(self, other: Self) -> Self {
        let weight = |answer| match answer {
            Answer::NoHook => 0,
            Answer::Yes => 1,
            Answer::Failed => 2,
            Answer::No => 3,
            Answer::TimedOut => 4,
            Answer::Interrupted => 5,
        };
        if weight(other) > weight(self) { other } else { self }
    }
}

/// One run of an event's hooks: what they are given, and where their output goes.
struct Call<'a> {
    event: &'a str,
    arguments: Vec<OsString>,
    stdin: Option<&'a [u8]>,
    /// Beside what every child gets.
    environment: Vec<(OsString, OsString)>,
    output: Output<'a>,
    limits: Option<Limits<'a>>,
}

impl<'a> Hooks<'a> {
    /// Read which hooks there are; fails on settings that make no sense, before anything is run.
    ///
    /// `push_options` are those that the client sent, none where none were negotiated. The hooks in the hook directory are
    /// looked up when they are to run.
    pub fn new(
        repository: &Repository,
        config: &'a Config,
        (sideband, interrupts): (&Sideband, &Interrupts),
        push_options: &'a [BString],
    ) -> Result<Self> {
        Ok(Hooks {
            sideband: sideband.clone(),
            interrupts: interrupts.clone(),
            push_options,
            configured: ConfiguredHooks::read(&config.values)?,
            directory: HookDirectory::new(repository, config)?,
            environment: OnceLock::new(),
            added: Vec::new(),
            leftovers: Arc::default(),
            certificate: Arc::default(),
        })
    }

    /// The same hooks, which get these variables as well: those of the quarantine, while the new objects wait in it.
    pub fn inside(&self, quarantine: &[(&'static str, OsString)]) -> Hooks<'a> {
        let mut this = self.clone();
        this.added.extend(quarantine.iter().map(|(name, value)| (OsString::from(name), value.clone())));
        this
    }

    /// From now on pre-receive, post-receive and balanced_update get these variables, which tell of the push certificate.
    pub fn show_certificate(&self, variables: Vec<(OsString, OsString)>) {
        // There is one certificate in a push, and it is checked once.
        self.certificate.set(variables).ok();
    }

    /// What they are told of it; nothing if there is none.
    pub fn certificate(&self) -> &[(OsString, OsString)] {
        self.certificate.get().map_or(&[], Vec::as_slice)
    }

    /// What every program gets that is started for this push, now: it may take its time.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        self.interrupts.lasts();
        [self.environment.get_or_init(environment::for_children).as_slice(), &self.added].concat()
    }

    /// Give what hooks' children still say a moment to come through. What comes after the end of the conversation is lost.
    pub fn finish(&self) {
        self.leftovers.finish();
    }

    /// A call of `event`'s hooks that has no arguments and no stdin, and talks to the client.
    fn call<'b>(&'b self, event: &'b str) -> Call<'b> {
        Call {
            event,
            arguments: Vec::new(),
            stdin: None,
            environment: Vec::new(),
            output: Output::Client(&self.sideband, &self.leftovers),
            limits: None,
        }
    }

    /// True if there is a hook for `event`.
    pub fn exists(&self, event: &str) -> bool {
        self.configured.of(event).next().is_some() || self.directory.find(event).is_some()
    }

    /// Run all hooks of the event: the configured ones, then the one in the hook directory; all, even if one says no.
    fn run(&self, call: &Call) -> Result<Answer> {
        let file = self.directory.find(call.event);
        let mut programs: Vec<_> =
            self.configured.of(call.event).map(|hook| Program::CommandLine(&hook.command)).collect();
        programs.extend(file.as_deref().map(Program::File));
        if programs.is_empty() {
            return Ok(Answer::NoHook);
        }
        let environment = [self.environment(), call.environment.clone()].concat();
        let jobs = match call.event {
            // Two of these would work on one index and work tree.
            push_to_checkout::EVENT => 1,
            event => self.configured.jobs(event)?.min(programs.len()),
        };
        if jobs > 1 {
            return side_by_side(&programs, jobs, |program, floor| call.start(program, &environment, Some(floor)));
        }
        let mut answer = Answer::NoHook;
        for program in programs {
            answer = answer.and(call.start(program, &environment, None)?);
        }
        Ok(answer)
    }
}

impl Call<'_> {
    fn start(
        &self,
        program: Program,
        environment: &[(OsString, OsString)],
        floor: Option<&Mutex<()>>,
    ) -> Result<Answer> {
        let invocation = Invocation { event: self.event, program, arguments: &self.arguments, environment };
        runner::run(&invocation, self.stdin, self.output, floor, self.limits).map(Answer::of)
    }
}

/// `start` all programs, `jobs` at a time, in their order.
fn side_by_side(
    programs: &[Program],
    jobs: usize,
    start: impl Fn(Program, &Mutex<()>) -> Result<Answer> + Sync,
) -> Result<Answer> {
    let floor = Mutex::new(());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut answer = Answer::NoHook;
        while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
            answer = answer.and(start(*program, &floor)?);
        }
        Ok(answer)
    };
    thread::scope(|scope| {
        // Where there is no thread to be had, those that there are do it all.
        let others: Vec<_> = (1..jobs).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let own = work();
        // All of them are joined, whatever the first says.
        let answers: Vec<Result<Answer>> =
            others.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect();
        answers.into_iter().chain([own]).try_fold(Answer::NoHook, |all, answer| Ok(all.and(answer?)))
    })
}

fn os_string(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}
