//! Runs one hook: starts it, and passes on what it says in the [conversation](super::conversation) with it.
//!
//! A hook is over when its process exits. What it wrote until then is passed on before [`run`] returns; what its
//! children write later, to the output that they inherited, is passed on while the push goes on ([`Leftovers`]), and the
//! push's end waits for it until it pauses. git waits for the end of that output instead, so that one daemon which a hook
//! starts keeps the push hanging. An ordinary hook, which has closed its output when it has exited, sees no difference.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    iter,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use nix::libc;

use super::{
    conversation::{Ending, Limits, converse},
    leftovers::Leftovers,
};
use crate::{system_error, trace, wire::sideband::Sideband};

/// The program that runs scripts without `#!` and configured commands.
const SHELL: &str = "/bin/sh";

/// What to start, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// What the hook is for: `update`, `post-receive`.
    pub event: &'a str,
    /// What to start.
    pub program: Program<'a>,
    /// The arguments behind the program's own.
    pub arguments: &'a [OsString],
    /// Variables that the hook gets beside, or instead of, this process's own.
    pub environment: &'a [(OsString, OsString)],
}

/// The ways that hooks are given in.
#[derive(Debug, Clone, Copy)]
pub enum Program<'a> {
    /// The path of a file.
    File(&'a OsStr),
    /// A command line for the shell, which gets the arguments as `"$@"`.
    CommandLine(&'a OsStr),
}

/// Where a hook's output goes.
#[derive(Clone, Copy)]
pub enum Output<'a> {
    /// To the person who pushes.
    Client(&'a Sideband, &'a Leftovers),
    /// To this process's own stderr.
    Stderr,
}

/// Run a hook to its end. That it could not be started, or died, is told on stderr.
///
/// Without `stdin` the hook reads from `/dev/null`. That it does not read all it is offered is no error. Hooks that run
/// side by side share a `floor`: the first to speak holds it to its end, while what others say waits in their pipes. With
/// `limits` the hook leads a process group of its own, all of which they end.
pub fn run(
    invocation: &Invocation,
    stdin: Option<&[u8]>,
    output: Output,
    floor: Option<&Mutex<()>>,
    limits: Option<Limits>,
) -> Result<Ending> {
    // With side-band its output has to be put in packets; else stderr is where it belongs anyway.
    let packets = matches!(output, Output::Client(sideband, _) if sideband.is_multiplexed());
    let (reader, writer) = if packets || floor.is_some() {
        let (reader, writer) = io::pipe().context("cannot make a pipe for the output of a hook")?;
        (Some(reader), Some(writer))
    } else {
        (None, None)
    };
    let words = iter::once(invocation.word()).chain(invocation.arguments.iter().map(OsString::as_os_str));
    let traced = trace::child(Some(invocation.event), words);
    let started = start(invocation, |command| {
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        match &writer {
            Some(writer) => command.stdout(writer.try_clone()?).stderr(writer.try_clone()?),
            None => command.stdout(io::stderr()).stderr(Stdio::inherit()),
        };
        if limits.is_some() {
            command.process_group(0);
        }
        Ok(())
    });
    drop(writer);
    let Some(mut child) = started else { return Ok(Ending::NotStarted) };
    if let Some(started) = limits.and_then(|limits| limits.started) {
        started(child.id());
    }
    let mut speaking = None;
    let tell = |bytes: &[u8]| {
        if let (Some(floor), None) = (floor, &speaking) {
            speaking = Some(floor.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match output {
            Output::Client(sideband, _) => sideband.tell(bytes),
            Output::Stderr => drop(io::stderr().write_all(bytes)),
        }
    };
    let (ending, rest) = converse(&mut child, stdin.unwrap_or_default(), reader, tell, limits)
        .with_context(|| format!("cannot follow '{}'", invocation.shown()))?;
    if let (Some(traced), Ending::Exited(status)) = (traced, ending) {
        traced.ended(child.id(), status);
    }
    if let (Some(rest), Output::Client(sideband, leftovers)) = (rest, output) {
        leftovers.follow(rest, sideband.clone());
    }
    invocation.complain(ending);
    Ok(ending)
}

impl Invocation<'_> {
    /// Tell the operator of a hook that died of a signal. As git, not of those that end a hook which is interrupted, or
    /// whose reader went away.
    pub(super) fn complain(&self, ending: Ending) {
        if let Ending::Exited(status) = ending
            && let Some(signal) = status.signal()
            && ![libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE].contains(&signal)
        {
            say!("error: {} died of signal {signal}", self.shown());
        }
    }

    fn word(&self) -> &OsStr {
        match self.program {
            Program::File(path) => path,
            Program::CommandLine(line) => line,
        }
    }

    fn shown(&self) -> impl std::fmt::Display {
        self.word().display()
    }

    fn command(&self) -> Command {
        match self.program {
            Program::File(path) => Command::new(path),
            Program::CommandLine(line) if is_one_word(line.as_bytes()) => Command::new(line),
            Program::CommandLine(line) => {
                let mut script = line.to_owned().into_vec();
                if !self.arguments.is_empty() {
                    script.extend_from_slice(b" \"$@\"");
                }
                let mut shell = Command::new(SHELL);
                // The word behind the script is the shell's `$0`.
                shell.arg("-c").arg(OsString::from_vec(script)).arg(line);
                shell
            }
        }
    }
}

/// True if the shell would do nothing with `line` but start the program of that name.
fn is_one_word(line: &[u8]) -> bool {
    !line.is_empty() && line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(byte))
}

/// Start a hook with the streams that `prepare` gives it, and nothing else open. `None` if it cannot be started, which is
/// told on stderr.
pub(super) fn start(invocation: &Invocation, prepare: impl Fn(&mut Command) -> io::Result<()>) -> Option<Child> {
    let spawn = |mut command: Command| {
        command.args(invocation.arguments).envs(invocation.environment.iter().map(|(name, value)| (name, value)));
        prepare(&mut command)?;
        command.spawn()
    };
    let started = match (spawn(invocation.command()), invocation.program) {
        (Err(err), Program::File(script)) if err.raw_os_error() == Some(libc::ENOEXEC) => {
            let mut shell = Command::new(SHELL);
            shell.arg(script);
            spawn(shell)
        }
        (result, _) => result,
    };
    if let Err(err) = &started {
        say!("fatal: cannot exec '{}': {}", invocation.shown(), system_error::words(err));
    }
    started.ok()
}
