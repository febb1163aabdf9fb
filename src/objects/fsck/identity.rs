//! Who made a commit or a tag, and when: the line behind `author`, `committer` or `tagger` (gitformat-commit's
//! `Name <email> seconds zone`).

use std::ops::ControlFlow;

use bstr::ByteSlice;

use super::{message::Message, report::Report};

/// Check the line that `rest` begins with, and move `rest` to the line behind it.
pub fn check(rest: &mut &[u8], report: &mut Report<'_>) -> ControlFlow<()> {
    let (line, behind) = rest.split_at(rest.find_byte(b'\n').map_or(rest.len(), |end| end + 1));
    *rest = behind;
    match flaw(line) {
        Some((message, text)) => report.found(message, format!("invalid author/committer line - {text}")),
        None => ControlFlow::Continue(()),
    }
}

/// The first thing that is wrong with `line`, which ends in a newline.
fn flaw(line: &[u8]) -> Option<(Message, &'static str)> {
    use Message::*;
    // The byte at a place; behind the end it is none that is asked for.
    let byte = |at: usize| line.get(at).copied().unwrap_or_default();
    let bracket = |from: usize| line[from..].find_byteset(b"<>\n").map_or(line.len(), |found| from + found);
    let digit = |at: usize| byte(at).is_ascii_digit();

    if byte(0) == b'<' {
        return Some((MissingNameBeforeEmail, "missing space before email"));
    }
    let open = bracket(0);
    match byte(open) {
        b'<' if byte(open - 1) == b' ' => {}
        b'<' => return Some((MissingSpaceBeforeEmail, "missing space before email")),
        b'>' => return Some((BadName, "bad name")),
        _ => return Some((MissingEmail, "missing email")),
    }
    let close = bracket(open + 1);
    if byte(close) != b'>' {
        return Some((BadEmail, "bad email"));
    }
    if byte(close + 1) != b' ' {
        return Some((MissingSpaceBeforeDate, "missing space before date"));
    }
    let blank = |at: &usize| matches!(byte(*at), b' ' | b'\t');
    let date = (close + 2..).find(|at| !blank(at)).unwrap_or(line.len());
    if !digit(date) {
        return Some((BadDate, "bad date"));
    }
    if byte(date) == b'0' && byte(date + 1) != b' ' {
        return Some((ZeroPaddedDate, "zero-padded date"));
    }
    let end = (date..).find(|&at| !digit(at)).unwrap_or(line.len());
    if line[date..end].to_str().is_ok_and(|digits| digits.parse::<i64>().is_err()) {
        return Some((BadDateOverflow, "date causes integer overflow"));
    }
    if byte(end) != b' ' {
        return Some((BadDate, "bad date"));
    }
    let zone = end + 1;
    let signed = matches!(byte(zone), b'+' | b'-');
    if !signed || !(1..5).all(|place| digit(zone + place)) || byte(zone + 5) != b'\n' {
        return Some((BadTimezone, "bad time zone"));
    }
    None
}
