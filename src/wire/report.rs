//! What became of each ref, for the client (gitprotocol-pack, "Report Status").

use bstr::BStr;

use crate::command::{ActualUpdate, Command};

/// The longest payload of a pkt-line, in bytes.
const MAX_PAYLOAD: usize = 65516;

/// The report as bare pkt-lines with its flush: `unpack ok`, or `unpack` and the reason why the objects were not taken, and
/// a line for each command.
///
/// With `options` it is the second version of the report, which tells what a hook did otherwise than the client asked.
pub fn render(unpack_failure: Option<&BStr>, commands: &[Command], options: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + commands.len() * 64);
    push_line(&mut out, &[b"unpack ", unpack_failure.map_or(b"ok", |reason| reason)]);
    for command in commands {
        if let Some(refusal) = command.refusal() {
            push_line(&mut out, &[b"ng ", command.name(), b" ", refusal.words()]);
            continue;
        }
        if !options || command.results.is_empty() {
            push_line(&mut out, &[b"ok ", command.name()]);
            continue;
        }
        for result in &command.results {
            push_line(&mut out, &[b"ok ", command.name()]);
            push_options(&mut out, result);
        }
    }
    out.extend_from_slice(b"0000");
    out
}

fn push_options(out: &mut Vec<u8>, result: &ActualUpdate) {
    if let Some(name) = &result.name {
        push_line(out, &[b"option refname ", name]);
    }
    if let Some(old) = &result.old {
        push_line(out, &[b"option old-oid ", old.to_string().as_bytes()]);
    }
    if let Some(new) = &result.new {
        push_line(out, &[b"option new-oid ", new.to_string().as_bytes()]);
    }
    if result.forced {
        push_line(out, &[b"option forced-update"]);
    }
}

fn push_line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let mut line = parts.concat();
    // A name that fills a whole packet leaves no room for the reason.
    line.truncate(MAX_PAYLOAD - 1);
    out.extend_from_slice(format!("{:04x}", line.len() + 5).as_bytes());
    out.extend_from_slice(&line);
    out.push(b'\n');
}
