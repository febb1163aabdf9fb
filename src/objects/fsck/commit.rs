//! Commits: what git must be able to read in one, and what it wants to find there beside that.

use std::ops::ControlFlow::{self, Continue};

use gix::objs::Kind;

use super::{
    header::{self, id_line},
    identity,
    message::Message,
    report::Report,
};

/// Read which objects the commit names; its parents do not count where history is `cut_off` here. `Break` if git cannot make
/// sense of it.
pub fn read(data: &[u8], hash: gix::hash::Kind, cut_off: bool, report: &mut Report<'_>) -> ControlFlow<()> {
    let hex = hash.len_in_hex();
    let tree = data.strip_prefix(b"tree ").filter(|rest| rest.len() > hex + 1 && rest[hex] == b'\n');
    let Some(tree) = tree else { return report.unreadable("bogus commit object") };
    let Some((tree, mut rest)) = id_line(tree, hash) else { return report.unreadable("bad tree pointer in commit") };
    report.link(Kind::Tree, &tree);
    // With less behind it there is no room for one.
    while let Some(parent) = rest.strip_prefix(b"parent ").filter(|parent| parent.len() > hex) {
        match id_line(parent, hash) {
            Some((parent, behind)) if !behind.is_empty() => {
                if !cut_off {
                    report.link(Kind::Commit, &parent);
                }
                rest = behind;
            }
            _ => return report.unreadable("bad parents in commit"),
        }
    }
    Continue(())
}

/// Check a commit that can be read.
pub fn check(data: &[u8], hash: gix::hash::Kind, report: &mut Report<'_>) -> ControlFlow<()> {
    header::check(data, report)?;
    let id_len = hash.len_in_hex() + 1;
    let mut rest = &data["tree ".len() + id_len..];
    while let Some(parent) = rest.strip_prefix(b"parent ") {
        match id_line(parent, hash) {
            Some((_, behind)) => rest = behind,
            None => {
                report.found(Message::BadParentSha1, "invalid 'parent' line format - bad sha1")?;
                // Where that is no error git would look at the same line for ever.
                break;
            }
        }
    }
    let mut authors = 0;
    while let Some(author) = rest.strip_prefix(b"author ") {
        authors += 1;
        rest = author;
        identity::check(&mut rest, report)?;
    }
    match authors {
        0 => report.found(Message::MissingAuthor, "invalid format - expected 'author' line")?,
        1 => {}
        _ => report.found(Message::MultipleAuthors, "invalid format - multiple 'author' lines")?,
    }
    let Some(mut committer) = rest.strip_prefix(b"committer ") else {
        return report.found(Message::MissingCommitter, "invalid format - expected 'committer' line");
    };
    identity::check(&mut committer, report)?;
    match memchr::memchr(0, data) {
        Some(_) => report.found(Message::NulInCommit, "NUL byte in the commit object body"),
        None => Continue(()),
    }
}
