//! What is written is read again; what is damaged does not count.

use std::path::Path;

use bstr::{BStr, ByteSlice};
use gix::ObjectId;

use super::*;
use crate::balanced::intent::{CommitsBy, LogLine, Update};

fn text(id: &TransactionId) -> Vec<u8> {
    let dir = std::env::temp_dir();
    let paths = Paths { git_dir: Path::new("/a b\n%"), common_dir: &dir };
    Text::new(id)
        .writer(paths)
        .unwrap()
        .locks(["refs/heads/a", "refs/heads/ä"].map(BStr::new).into_iter())
        .state(State::Locking)
        .bytes
}

#[test]
fn what_is_written_is_read_again() {
    let id = TransactionId::new();
    let entry = Entry::read(&text(&id), &id).unwrap();
    assert_eq!(entry.locks, ["refs/heads/a", "refs/heads/ä"]);
    assert_eq!(entry.state, Some(State::Locking));
    let writer = entry.writer.unwrap();
    assert_eq!(writer.git_dir, Path::new("/a b\n%"));
    assert_eq!(writer.pid, std::process::id());
}

#[test]
fn an_intent_is_read_again() {
    let id = TransactionId::new();
    let [old, new] = [b'1', b'2'].map(|byte| ObjectId::from_hex(&[byte; 40]).unwrap());
    let null = new.kind().null();
    let update = |number, how, peeled| Update { number, how, old, new, peeled, name: "refs/heads/ä".into() };
    let intent = Intent {
        updates: vec![update(0, CommitsBy::PackedRefs, None), update(7, CommitsBy::LooseFile, Some(old))],
        logs: vec![LogLine { old: null, new, make: true, name: "HEAD".into() }],
        identity: "A U Thor <a@example.org> 1 +0000".into(),
        objects: Some("incoming-x".into()),
        options: vec!["".into(), "a b".into()],
    };
    let dir = std::env::temp_dir();
    let paths = Paths { git_dir: &dir, common_dir: &dir };
    let text = Text::new(&id).writer(paths).unwrap().state(State::Locking).intent(&intent).state(State::Voting);
    let entry = Entry::read(&text.bytes, &id).unwrap();
    assert_eq!(entry.intent, intent);
    assert_eq!(entry.state, Some(State::Voting));
}

#[test]
fn a_line_that_was_cut_off_does_not_count() {
    let id = TransactionId::new();
    let text = text(&id);
    for end in 0..text.len() {
        let state = Entry::read(&text[..end], &id).ok().and_then(|entry| entry.state);
        assert_eq!(state, None, "cut at {end}");
    }
}

#[test]
fn a_damaged_line_ends_what_counts() {
    let id = TransactionId::new();
    let mut text = text(&id);
    let at = text.find("refs/heads/a").unwrap() + 11;
    text[at] = b'b';
    let entry = Entry::read(&text, &id).unwrap();
    assert!(entry.locks.is_empty() && entry.state.is_none());
}

#[test]
fn a_journal_of_a_newer_version_is_named() {
    let id = TransactionId::new();
    let newer =
        Text { bytes: Vec::new(), checksum: Checksum::default() }.line(&[b"journal", b"2", id.to_string().as_bytes()]);
    let err = Entry::read(&newer.bytes, &id).unwrap_err();
    assert_eq!(err.to_string(), "it is of version 2, and this program knows only version 1");
}
