//! Feeds a child, hears it, and waits for its exit, within limits.
//!
//! A child is over when its process exits, whatever its own children still do with the streams that they inherited.

use std::{
    io::{self, PipeReader, Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, ChildStdin, ExitStatus},
    thread::{self, Scope},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use rustix::process;

use crate::interrupt::Diverted;

/// What is said to and heard from a child at a time, in bytes.
const CHUNK: usize = 64 * 1024;

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
    thread::scope(|scope| {
        let exit = exit_of(leader, scope)?;
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
        // Whoever waits for its end does so whatever went wrong here.
        if limits.is_some() && !matches!(cut, Ok(None)) {
            killpg(leader, Signal::SIGKILL).ok();
        }
        let cut = cut?;
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

/// What becomes readable when process `leader`, a child of this one, has exited. Its number stays its own until it is waited for:
/// its group may have to be ended.
fn exit_of<'scope>(leader: Pid, scope: &'scope Scope<'scope, '_>) -> io::Result<OwnedFd> {
    let number = process::Pid::from_raw(leader.as_raw());
    if let Some(exit) = number.and_then(|number| process::pidfd_open(number, process::PidfdFlags::empty()).ok()) {
        return Ok(exit);
    }
    // Linux before 5.3, or forbidden: a thread waits, and its end of a pipe closes.
    let (exit, exited) = io::pipe()?;
    thread::Builder::new().spawn_scoped(scope, move || {
        while waitid(Id::Pid(leader), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        drop(exited);
    })?;
    Ok(exit.into())
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
    exit: &OwnedFd,
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
