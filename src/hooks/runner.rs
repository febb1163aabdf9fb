//! Runs one hook: starts it, feeds it, passes on what it says, and waits for its exit.
//!
//! A hook is over when its process exits. What it wrote until then is passed on before [`run`] returns; what its
//! children write later, to the output that they inherited, is passed on while the push goes on ([`Leftovers`]), and the
//! push's end waits for it until it pauses. git waits for the end of that output instead, so that one daemon which a hook
//! starts keeps the push hanging. An ordinary hook, which has closed its output when it has exited, sees no difference.

use std::{
    ffi::{OsStr, OsString},
    io::{self, PipeReader, Read, Write},
    iter,
    os::{
        fd::AsFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            process::{CommandExt, ExitStatusExt},
        },
    },
    panic::resume_unwind,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use super::leftovers::Leftovers;
use crate::{interrupt::Diverted, system_error, trace, wire::sideband::Sideband};

/// The program that runs scripts without `#!` and configured commands.
const SHELL: &str = "/bin/sh";

/// What is said to and heard from a child at a time, in bytes.
const CHUNK: usize = 64 * 1024;

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

/// What ends a hook, and all that it started, before it ends itself.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// When its time is over; `None` if it may take as long as it likes.
    pub deadline: Option<Instant>,
    /// What shows that this process is to end.
    pub interrupts: Option<&'a Diverted>,
    /// Hears the process id of the hook, which leads the group, when it has started.
    pub started: Option<&'a (dyn Fn(u32) + Sync)>,
}

impl Limits<'_> {
    /// So much time from now on; `None` for as much as it likes.
    pub fn within(timeout: Option<Duration>) -> Self {
        // A limit beyond what the clock can count is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Limits { deadline, interrupts: None, started: None }
    }
}

/// How a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this exit status or signal.
    Exited(ExitStatus),
    /// It could not be started.
    NotStarted,
    /// Its time was over.
    TimedOut,
    /// This process is to end.
    Interrupted,
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

/// Feed `child` and `tell` what it says until it exits or meets its `limits`. Gives back its output if somebody else still
/// holds that open. An error means that nobody could follow what it does: then it has ended too, if it leads a group.
pub fn converse(
    child: &mut Child,
    to_say: &[u8],
    output: Option<PipeReader>,
    tell: impl FnMut(&[u8]),
    limits: Option<Limits>,
) -> io::Result<(Ending, Option<PipeReader>)> {
    let leader = Pid::from_raw(child.id().try_into().map_err(io::Error::other)?);
    let followed = follow(child, leader, to_say, output, tell, limits);
    if followed.is_err() && limits.is_some() && killpg(leader, Signal::SIGKILL).is_ok() {
        child.wait()?;
    }
    followed
}

fn follow(
    child: &mut Child,
    leader: Pid,
    mut to_say: &[u8],
    mut output: Option<PipeReader>,
    mut tell: impl FnMut(&[u8]),
    limits: Option<Limits>,
) -> io::Result<(Ending, Option<PipeReader>)> {
    let mut feed = child.stdin.take();
    if let Some(feed) = &feed {
        // Else a child that neither reads nor exits would keep its own output from being read.
        fcntl(feed, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    // Its end shows that the child has exited, to poll(2), which cannot wait for a process.
    let (exit, exited) = io::pipe()?;
    thread::scope(|scope| {
        let waiter = thread::Builder::new().spawn_scoped(scope, move || {
            // Its number must stay its own for as long as its group may have to be ended.
            while waitid(Id::Pid(leader), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
            drop(exited);
        })?;
        let mut buffer = vec![0; CHUNK];
        let mut until_exit = || loop {
            say(&mut feed, &mut to_say);
            match await_any(&exit, output.as_ref(), feed.as_ref(), limits)? {
                Event::Exit => return Ok(None),
                Event::Output => {
                    hear(&mut output, &mut buffer, &mut tell)?;
                }
                Event::Listening => {}
                Event::Deadline => return Ok(Some(Ending::TimedOut)),
                Event::Signal => return Ok(Some(Ending::Interrupted)),
            }
        };
        let cut: io::Result<_> = until_exit();
        // The waiter waits for its end whatever went wrong here.
        if limits.is_some() && !matches!(cut, Ok(None)) {
            killpg(leader, Signal::SIGKILL).ok();
        }
        let cut = cut?;
        waiter.join().unwrap_or_else(|panic| resume_unwind(panic));
        if let Some(pipe) = &output {
            // What it wrote before its exit is in the pipe. More than the pipe holds is somebody else's.
            let mut held = usize::try_from(fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?).unwrap_or(CHUNK);
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            while held > 0 {
                match hear(&mut output, &mut buffer, &mut tell)? {
                    0 => break,
                    heard => held = held.saturating_sub(heard),
                }
            }
        }
        if let Some(pipe) = &output {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::empty()))?;
        }
        let status = child.wait()?;
        Ok((cut.unwrap_or(Ending::Exited(status)), output))
    })
}

/// What happens in a conversation with a child.
enum Event {
    Exit,
    Output,
    Listening,
    Deadline,
    Signal,
}

/// Wait for the child's exit, or until it said something, or will listen, or meets a limit.
fn await_any(
    exit: &PipeReader,
    output: Option<&PipeReader>,
    feed: Option<&ChildStdin>,
    limits: Option<Limits>,
) -> io::Result<Event> {
    let deadline = limits.and_then(|limits| limits.deadline);
    let interrupts = limits.and_then(|limits| limits.interrupts);
    let mut awaited = vec![(Event::Exit, PollFd::new(exit.as_fd(), PollFlags::POLLIN))];
    awaited.extend(interrupts.map(|interrupts| (Event::Signal, PollFd::new(interrupts.as_fd(), PollFlags::POLLIN))));
    awaited.extend(output.map(|output| (Event::Output, PollFd::new(output.as_fd(), PollFlags::POLLIN))));
    awaited.extend(feed.map(|feed| (Event::Listening, PollFd::new(feed.as_fd(), PollFlags::POLLOUT))));
    let (mut events, mut fds): (Vec<_>, Vec<_>) = awaited.into_iter().unzip();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // One millisecond more, since what is left of one is cut off. The longest wait that there is, is as good as none.
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(Event::Deadline),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(err) => return Err(err.into()),
        }
        if let Some(first) = fds.iter().position(|fd| fd.any().unwrap_or(true)) {
            return Ok(events.swap_remove(first));
        }
    }
}

/// Write what the child takes without waiting; close its stdin when that was all, or when it does not listen any more.
fn say(feed: &mut Option<ChildStdin>, to_say: &mut &[u8]) {
    while let Some(pipe) = feed {
        match pipe.write(to_say) {
            Ok(taken) => *to_say = &to_say[taken..],
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => *to_say = &[],
        }
        if to_say.is_empty() {
            *feed = None;
        }
    }
}

/// Read some output and pass it on: how many bytes it was, 0 if there is none for now. Closes `output` at its end.
fn hear(output: &mut Option<PipeReader>, buffer: &mut [u8], tell: &mut impl FnMut(&[u8])) -> io::Result<usize> {
    let Some(pipe) = output else { return Ok(0) };
    loop {
        match pipe.read(buffer) {
            Ok(0) => {
                *output = None;
                return Ok(0);
            }
            Ok(heard) => {
                tell(&buffer[..heard]);
                return Ok(heard);
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(err) => return Err(err),
        }
    }
}
