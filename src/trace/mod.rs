//! What this program is doing, for those who ask with git's variables (git, "GIT_TRACE", "GIT_TRACE_PACKET"; api-trace2,
//! "GIT_TRACE2_EVENT"). It only ever tells: nothing is decided here, and a trace that cannot be written changes nothing.
//!
//! The one place of this program with a state of its own: a line can come from anywhere. Switched off, which is what it
//! is on a server, a call costs a load and a branch.

mod clock;
mod event;
pub mod session;
mod target;

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::ExitStatusExt,
    panic::Location,
    process::ExitStatus,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bstr::ByteSlice;

use event::Event;
use target::Target;

static TRACE: OnceLock<Trace> = OnceLock::new();

/// Who wants to know, and what they need to be told with it.
struct Trace {
    started: Instant,
    /// `GIT_TRACE`
    commands: Option<Target>,
    /// `GIT_TRACE_PACKET`
    packets: Option<Target>,
    /// `GIT_TRACE2_EVENT`
    events: Option<Target>,
    children: AtomicUsize,
}

/// Look who wants to know, and tell them of the start with `arguments`, the program's name first.
#[track_caller]
pub fn start(arguments: &[OsString]) {
    let (commands, packets) = (target::lines("GIT_TRACE"), target::lines("GIT_TRACE_PACKET"));
    let events = target::events("GIT_TRACE2_EVENT");
    if commands.is_none() && packets.is_none() && events.is_none() {
        return;
    }
    let trace = TRACE.get_or_init(|| Trace {
        started: Instant::now(),
        commands,
        packets,
        events,
        children: AtomicUsize::new(0),
    });
    trace.event("version", |event| event.text("evt", "4").text("exe", env!("CARGO_PKG_VERSION")));
    trace.event("start", |event| event.seconds("t_abs", trace.started.elapsed()).texts("argv", arguments));
    trace.event("cmd_name", |event| event.text("name", "receive-pack").text("hierarchy", hierarchy()));
    let words = arguments.iter().skip(1).map(|word| format!(" {}", word.display())).collect::<String>();
    trace.line(&trace.commands, format_args!("trace: built-in: git receive-pack{words}"));
}

/// The commands that led to this one.
fn hierarchy() -> String {
    match std::env::var("GIT_TRACE2_PARENT_NAME") {
        Ok(parents) => format!("{parents}/receive-pack"),
        Err(_) => "receive-pack".into(),
    }
}

/// True if somebody wants to know.
pub fn is_on() -> bool {
    TRACE.get().is_some()
}

/// Tell of the end with exit status `code`.
#[track_caller]
pub fn exit(code: u8) {
    if let Some(trace) = TRACE.get() {
        let told = |event: Event| event.seconds("t_abs", trace.started.elapsed()).number("code", code);
        trace.event("exit", told);
        trace.event("atexit", told);
    }
}

/// Tell of a fatal error.
#[track_caller]
pub fn error(message: &str) {
    if let Some(trace) = TRACE.get() {
        trace.event("error", |event| event.text("msg", message).text("fmt", "%s"));
    }
}

/// Tell a fact of the `transfer` category, by git's name for it.
#[track_caller]
pub fn transfer(key: &str, value: impl AsRef<[u8]>) {
    if let Some(trace) = TRACE.get() {
        trace.event("data", |event| {
            let so_far = trace.started.elapsed();
            let event = event.seconds("t_abs", so_far).seconds("t_rel", so_far).number("nesting", 1);
            event.text("category", "transfer").text("key", key).text("value", value)
        });
    }
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// To the client.
    Sent,
    /// From the client.
    Received,
}

/// Tell of a pkt-line with `payload`; `0000` for a flush.
#[track_caller]
pub fn packet(direction: Direction, payload: &[u8]) {
    let Some(trace) = TRACE.get() else { return };
    if trace.packets.is_none() {
        return;
    }
    let mut shown = String::with_capacity(payload.len());
    for byte in payload.iter().filter(|byte| **byte != b'\n') {
        match byte {
            b' '..=b'~' => shown.push(char::from(*byte)),
            _ => shown.push_str(&format!("\\{byte:o}")),
        }
    }
    let arrow = match direction {
        Direction::Sent => '>',
        Direction::Received => '<',
    };
    trace.line(&trace.packets, format_args!("packet: receive-pack{arrow} {shown}"));
}

/// Tell of the pkt-lines that `bytes` consist of, which are sent.
#[track_caller]
pub fn sent(bytes: &[u8]) {
    if TRACE.get().is_none_or(|trace| trace.packets.is_none()) {
        return;
    }
    let mut rest = bytes;
    while let Some((digits, behind)) = rest.split_at_checked(4) {
        let length = digits.to_str().ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let payload = length.and_then(|length| behind.get(..length.saturating_sub(4)));
        let Some(payload) = payload else { return };
        packet(Direction::Sent, if length == Some(0) { digits } else { payload });
        rest = &behind[payload.len()..];
    }
}

/// A child that was told of, and whose end is yet to be.
#[must_use]
pub struct Child {
    trace: &'static Trace,
    id: usize,
    started: Instant,
}

/// Tell that `arguments` are about to be started, for the hook of that name if it is one; `None` if nobody wants to know.
#[track_caller]
pub fn child<'a>(hook: Option<&str>, arguments: impl Iterator<Item = &'a OsStr>) -> Option<Child> {
    let trace = TRACE.get()?;
    let arguments: Vec<_> = arguments.collect();
    let id = trace.children.fetch_add(1, Ordering::Relaxed);
    trace.event("child_start", |event| {
        let event = event.number("child_id", id).text("child_class", if hook.is_some() { "hook" } else { "?" });
        let event = hook.into_iter().fold(event, |event, hook| event.text("hook_name", hook));
        event.bool("use_shell", false).texts("argv", &arguments)
    });
    let words = arguments.iter().map(|word| format!(" {}", word.display())).collect::<String>();
    trace.line(&trace.commands, format_args!("trace: run_command:{words}"));
    Some(Child { trace, id, started: Instant::now() })
}

impl Child {
    /// Tell that the child, which had the process number `pid`, ended with `status`. A signal is shown as 128 and its number.
    #[track_caller]
    pub fn ended(self, pid: u32, status: ExitStatus) {
        let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(-1);
        self.trace.event("child_exit", |event| {
            let event = event.number("child_id", self.id).number("pid", pid).number("code", code);
            event.seconds("t_rel", self.started.elapsed())
        });
    }
}

/// The variables that tell children whose they are, if somebody wants to know.
pub fn for_children() -> Option<[(&'static str, String); 2]> {
    TRACE.get()?.events.as_ref()?;
    Some([("GIT_TRACE2_PARENT_SID", session::id().to_owned()), ("GIT_TRACE2_PARENT_NAME", hierarchy())])
}

impl Trace {
    #[track_caller]
    fn event(&self, name: &str, fill: impl FnOnce(Event) -> Event) {
        if let Some(target) = &self.events {
            target.write(fill(Event::new(name, Location::caller())).finish().as_bytes());
        }
    }

    /// One line in git's layout: the time of day, the place in the source, and from column 40 on `message`.
    #[track_caller]
    fn line(&self, target: &Option<Target>, message: std::fmt::Arguments<'_>) {
        if let Some(target) = target {
            let place = event::place(Location::caller());
            let start = format!("{} {}:{} ", clock::time_of_day(), place.0, place.1);
            target.write(format!("{start:<40}{message}\n").as_bytes());
        }
    }
}
