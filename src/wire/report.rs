//! What became of each ref, for the client (gitprotocol-pack, "Report Status").

use bstr::{BStr, BString};

use crate::command::Command;

/// The longest payload of a pkt-line, in bytes.
const MAX_PAYLOAD: usize = 65516;

/// The report as bare pkt-lines with its flush: `unpack ok`, or `unpack` and the reason why the objects were not taken, and
/// a line for each command.
///
/// Both versions of the report look the same: the second one's `option` lines are for updates that a hook carried out
/// otherwise than the client asked.
pub fn render(unpack_failure: Option<&BStr>, commands: &[Command]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + commands.len() * 64);
    let mut line = BString::from("unpack ");
    line.extend_from_slice(unpack_failure.map_or(b"ok", |reason| reason));
    push_line(&mut out, &mut line);
    for command in commands {
        line.clear();
        let (verdict, reason) = match command.refusal() {
            None => ("ok ", String::new()),
            Some(refusal) => ("ng ", format!(" {refusal}")),
        };
        line.extend_from_slice(verdict.as_bytes());
        line.extend_from_slice(command.name());
        line.extend_from_slice(reason.as_bytes());
        push_line(&mut out, &mut line);
    }
    out.extend_from_slice(b"0000");
    out
}

fn push_line(out: &mut Vec<u8>, line: &mut BString) {
    // A name that fills a whole packet leaves no room for the reason.
    line.truncate(MAX_PAYLOAD - 1);
    out.extend_from_slice(format!("{:04x}", line.len() + 5).as_bytes());
    out.extend_from_slice(line);
    out.push(b'\n');
}
