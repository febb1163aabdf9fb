//! Tags: what git must be able to read in one, and what it wants to find there beside that.

use std::ops::ControlFlow::{self, Break, Continue};

use bstr::ByteSlice;
use gix::objs::Kind;

use super::{
    header::{self, id_line},
    identity,
    message::Message,
    report::Report,
};
use crate::refs::name;

/// The longest name of a type that git reads, in bytes.
const TYPE: usize = 19;

/// Read which object the tag names. `Break` if git cannot make sense of it.
pub fn read(data: &[u8], hash: gix::hash::Kind, report: &mut Report<'_>) -> ControlFlow<()> {
    if data.len() < hash.len_in_hex() + 24 {
        return Break(());
    }
    let target = data.strip_prefix(b"object ").and_then(|rest| id_line(rest, hash));
    let Some((target, rest)) = target else { return Break(()) };
    let Some((kind, rest)) = rest.strip_prefix(b"type ").and_then(line) else { return Break(()) };
    if kind.len() > TYPE {
        return Break(());
    }
    let kind = kind.split(|&byte| byte == 0).next().unwrap_or_default();
    match Kind::from_bytes(kind) {
        Ok(kind) => report.link(kind, &target),
        Err(_) => return report.unreadable([b"unknown tag type '", kind, b"' in"].concat()),
    }
    match rest.strip_prefix(b"tag ").filter(|name| !name.is_empty()).and_then(line) {
        Some(_) => Continue(()),
        None => Break(()),
    }
}

/// Check a tag that can be read.
pub fn check(data: &[u8], hash: gix::hash::Kind, report: &mut Report<'_>) -> ControlFlow<()> {
    header::check(data, report)?;
    let rest = &data["object ".len() + hash.len_in_hex() + 1..];
    let Some((name, mut rest)) = line(rest).and_then(|(_, rest)| line(&rest["tag ".len()..])) else {
        return Continue(());
    };
    if !name::is_well_formed([b"refs/tags/", name].concat().as_bstr()) {
        report.found(Message::BadTagName, [b"invalid 'tag' name: ", name].concat())?;
    }
    let tagger = match rest.strip_prefix(b"tagger ") {
        Some(tagger) => {
            rest = tagger;
            identity::check(&mut rest, report)
        }
        None => {
            report.found(Message::MissingTaggerEntry, "invalid format - expected 'tagger' line")?;
            Continue(())
        }
    };
    if rest.is_empty() || rest.starts_with(b"\n") {
        return tagger;
    }
    // As in git, what was wrong with the tagger is told, and forgotten.
    report.found(Message::ExtraHeaderEntry, "invalid format - extra header(s) after 'tagger'")
}

/// The first line of `data`, and what is behind it.
fn line(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.find_byte(b'\n')?;
    Some((&data[..end], &data[end + 1..]))
}
