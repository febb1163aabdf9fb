//! proc-receive: carries out, in its own way, the commands that `receive.procReceiveRefs` leaves to it (githooks,
//! "proc-receive").
//!
//! It is the one hook that talks back: pkt-lines on its stdin and stdout, while its stderr goes to the client.

use std::{
    io::{self, BufReader, Read, Write},
    panic::resume_unwind,
    process::Stdio,
    thread,
};

use anyhow::{Context, Result};
use bstr::{BString, ByteSlice};

use super::{
    Hooks,
    conversation::{self, Ending},
    proc_receive_answer::Answered,
    runner::{self, Invocation, Program},
};
use crate::{
    command::{Command, Refusal, Writer},
    wire::{
        packet::{HungUp, Line, PacketReader},
        request::{Capabilities, value_of},
    },
};

/// The name of the hook.
const EVENT: &str = "proc-receive";

/// What is said to the hook, as bytes on the wire.
struct Script {
    hello: Vec<u8>,
    commands: Vec<u8>,
    /// Only for a hook that asks for them.
    push_options: Vec<u8>,
}

/// What came of a conversation: the lines of the hook's report, or why there is none.
type Heard = std::result::Result<Vec<BString>, String>;

impl Hooks<'_> {
    /// Have the hook carry out all commands that are marked for it and not refused, and take note of what it says about
    /// each: refused, done, done otherwise ([`Command::results`]), or left to this program after all.
    ///
    /// If it fails, the marked commands are refused; in an atomic push all are of which it said nothing good. Errors are a
    /// hook that does not speak pkt-lines, and failures to talk to it.
    pub fn proc_receive(&self, commands: &mut [Command], agreed: &Capabilities) -> Result<()> {
        let mut answered = Answered::new(commands.len());
        if self.ask_proc_receive(commands, agreed, &mut answered)? {
            return Ok(());
        }
        for (index, command) in commands.iter_mut().enumerate() {
            if !answered.about(index) && (command.writer == Writer::ProcReceive || agreed.atomic) {
                command.refuse(Refusal::other("fail to run proc-receive hook"));
            }
        }
        Ok(())
    }

    /// True if everything went well.
    fn ask_proc_receive(
        &self,
        commands: &mut [Command],
        agreed: &Capabilities,
        answered: &mut Answered,
    ) -> Result<bool> {
        let Some(path) = self.directory.find(EVENT) else {
            self.sideband.error("cannot find hook 'proc-receive'");
            return Ok(false);
        };
        let invocation = Invocation {
            event: EVENT,
            program: Program::File(&path),
            arguments: &[],
            environment: &self.environment(),
        };
        let Some((heard, ending)) = self.talk(&invocation, &self.script(commands, agreed))? else { return Ok(false) };
        invocation.complain(ending);
        let mut complaints = Vec::new();
        let is_good = match heard? {
            Ok(lines) => answered.read(&lines, commands, &mut complaints),
            Err(complaint) => {
                complaints.push(complaint.into());
                false
            }
        };
        if !complaints.is_empty() {
            self.sideband.error(bstr::join("\n", complaints));
        }
        Ok(is_good && matches!(ending, Ending::Exited(status) if status.success()))
    }

    fn script(&self, commands: &[Command], agreed: &Capabilities) -> Script {
        let features = [(agreed.atomic, "atomic"), (agreed.push_options, "push-options")];
        let features: Vec<&str> = features.into_iter().filter_map(|(is_on, name)| is_on.then_some(name)).collect();
        let hello = match features.is_empty() {
            true => "version=1\n".to_owned(),
            false => format!("version=1\0{}\n", features.join(" ")),
        };
        let due = commands.iter().filter(|command| command.writer == Writer::ProcReceive && !command.is_refused());
        let due = due.map(|command| {
            format!("{} {} ", command.old, command.new)
                .into_bytes()
                .into_iter()
                .chain(command.name.iter().copied())
                .collect()
        });
        Script {
            hello: pkt_lines([hello.into_bytes()]),
            commands: pkt_lines(due),
            push_options: pkt_lines(self.push_options.iter().map(|option| option.to_vec())),
        }
    }

    /// Start the hook, follow `script`, and pass on its stderr until it exits. `None` if it could not be started.
    fn talk(&self, invocation: &Invocation, script: &Script) -> Result<Option<(Result<Heard>, Ending)>> {
        let failed = "cannot make a pipe for the output of a hook";
        let (reader, writer) = if self.sideband.is_multiplexed() {
            let (reader, writer) = io::pipe().context(failed)?;
            (Some(reader), Some(writer))
        } else {
            (None, None)
        };
        let started = runner::start(invocation, |command| {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            match &writer {
                Some(writer) => command.stderr(writer.try_clone()?),
                None => command.stderr(Stdio::inherit()),
            };
            Ok(())
        });
        drop(writer);
        let Some(mut child) = started else { return Ok(None) };
        let streams = child.stdin.take().zip(child.stdout.take()).context(failed)?;
        let (heard, ended) = thread::scope(|scope| {
            let talk = thread::Builder::new().spawn_scoped(scope, move || converse(streams.0, streams.1, script));
            let ended = conversation::converse(&mut child, &[], reader, |bytes| self.sideband.tell(bytes), None);
            let heard = talk.context("cannot talk to 'proc-receive'");
            (heard.and_then(|talk| talk.join().unwrap_or_else(|panic| resume_unwind(panic))), ended)
        });
        let (ending, rest) = ended.context("cannot follow 'proc-receive'")?;
        if let Some(rest) = rest {
            self.leftovers.follow(rest, self.sideband.clone());
        }
        Ok(Some((heard, ending)))
    }
}

/// Say what is in `script`, and hear the hook's report. Errors are a hook that does not speak pkt-lines.
fn converse(mut stdin: impl Write + Send, stdout: impl Read, script: &Script) -> Result<Heard> {
    let no_version = || Ok(Err("fail to negotiate version with proc-receive hook".to_owned()));
    if stdin.write_all(&script.hello).is_err() {
        return no_version();
    }
    let mut stdout = BufReader::new(stdout);
    let mut reader = PacketReader::of_hook(&mut stdout);
    let (mut version, mut wants_options) = (0, false);
    loop {
        let Line { text, features } = match reader.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(err) if err.is::<HungUp>() => return no_version(),
            Err(err) => return Err(err),
        };
        if let Some(number) = text.strip_prefix(b"version=").filter(|number| !number.is_empty()) {
            version = leading_number(number);
            wants_options |= features.is_some_and(|features| value_of(features, "push-options").is_some());
        }
    }
    if !(0..=1).contains(&version) {
        return Ok(Err(format!("proc-receive version '{version}' is not supported")));
    }
    thread::scope(|scope| {
        // Beside the reading: a hook may answer before it has read all.
        let saying = thread::Builder::new().spawn_scoped(scope, move || say(&mut stdin, script, wants_options))?;
        let report = read_report(&mut reader);
        match saying.join().unwrap_or_else(|panic| resume_unwind(panic)) {
            Ok(()) => report,
            Err(complaint) => Ok(Err(complaint.to_owned())),
        }
    })
}

/// Write the commands, and the push options if it `wants_options`, in one write as far as a pipe takes that: a hook that does not
/// read to the end of what it asked for may have answered and gone before a second one.
fn say(stdin: &mut impl Write, script: &Script, wants_options: bool) -> Result<(), &'static str> {
    let options = if wants_options { script.push_options.as_slice() } else { &[] };
    let all = [script.commands.as_slice(), options].concat();
    let mut left = all.as_slice();
    while !left.is_empty() {
        match stdin.write(left) {
            Ok(taken) => left = &left[taken..],
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if left.len() > options.len() => return Err("fail to write commands to proc-receive hook"),
            Err(_) => return Err("fail to write push-options to proc-receive hook"),
        }
    }
    Ok(())
}

/// The lines up to a flush, or to the end of a hook that said something at least.
fn read_report(reader: &mut PacketReader<impl Read>) -> Result<Heard> {
    let mut lines = Vec::new();
    loop {
        match reader.next_line() {
            Ok(Some(line)) => lines.push(line.text.into()),
            Ok(None) => return Ok(Ok(lines)),
            Err(err) if err.is::<HungUp>() && lines.is_empty() => {
                return Ok(Err("proc-receive exited abnormally".to_owned()));
            }
            Err(err) if err.is::<HungUp>() => return Ok(Ok(lines)),
            Err(err) => return Err(err),
        }
    }
}

/// The payloads as pkt-lines, and a flush.
fn pkt_lines(payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in payloads {
        out.extend_from_slice(format!("{:04x}", payload.len() + 4).as_bytes());
        out.extend_from_slice(&payload);
    }
    out.extend_from_slice(b"0000");
    out
}

/// The number that a text begins with, 0 without one.
fn leading_number(text: &[u8]) -> i64 {
    let end = text.iter().skip(1).position(|byte| !byte.is_ascii_digit()).map_or(text.len(), |at| at + 1);
    text[..end].to_str().ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that takes so many bytes in so many writes, before its reader goes away.
    struct Leaving {
        writes: usize,
        bytes: usize,
    }

    impl Write for Leaving {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            let taken = buffer.len().min(self.bytes);
            if self.writes == 0 || taken == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            (self.writes, self.bytes) = (self.writes - 1, self.bytes - taken);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn heard(writes: usize, bytes: usize) -> Heard {
        let script = Script {
            hello: pkt_lines([b"version=1\n".to_vec()]),
            commands: pkt_lines([b"command".to_vec()]),
            push_options: pkt_lines([]),
        };
        let answer = b"001aversion=1\0push-options00000008ok r0000".as_slice();
        converse(Leaving { writes, bytes }, answer, &script).expect("pkt-lines")
    }

    #[test]
    fn a_hook_that_asks_for_options_and_does_not_read_them_is_heard() {
        assert_eq!(heard(2, 1000), Ok(vec!["ok r".into()]));
        let failed = |what| Err(format!("fail to write {what} to proc-receive hook"));
        assert_eq!(heard(1, 1000), failed("commands"));
        assert_eq!(heard(3, 18 + 10), failed("commands"));
        assert_eq!(heard(3, 18 + 15), failed("push-options"));
    }
}
