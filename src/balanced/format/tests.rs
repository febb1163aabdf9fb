//! What is written is read again; what is damaged does not count.

use std::path::Path;

use bstr::BStr;
use gix::ObjectId;

use super::*;
use crate::{
    balanced::intent::{CommitsBy, LogLine, Update},
    refs::git_lock::GitLock,
};

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
        updates: vec![
            update(0, CommitsBy::PackedRefs, None),
            update(7, CommitsBy::LooseFile, Some(old)),
            update(8, CommitsBy::Git, None),
        ],
        logs: vec![LogLine { old: null, new, make: true, name: "HEAD".into() }],
        identity: "A U Thor <a@example.org> 1 +0000".into(),
        objects: Some("incoming-x".into()),
        roots: vec![old, new],
        options: vec!["".into(), "a b".into()],
        certificate: vec![("GIT_PUSH_CERT_SIGNER".into(), "A <b>".into()), ("GIT_PUSH_CERT_KEY".into(), "".into())],
    };
    let dir = std::env::temp_dir();
    let paths = Paths { git_dir: &dir, common_dir: &dir };
    let locks = vec![GitLock { path: "/a b/tables.list.lock".into(), device: 1, inode: 2, born: u64::MAX }];
    let text = Text::new(&id).writer(paths).unwrap().state(State::Locking).git_locks(&locks);
    let text = text.intent(&intent).state(State::Voting);
    let entry = Entry::read(&text.bytes, &id).unwrap();
    assert_eq!(entry.git_locks, locks);
    assert_eq!(entry.intent, intent);
    assert_eq!(entry.state, Some(State::Voting));
}

#[test]
fn a_journal_of_a_newer_version_is_named() {
    let id = TransactionId::new();
    let newer =
        Text { bytes: Vec::new(), checksum: Checksum::default() }.line(&[b"journal", b"2", id.to_string().as_bytes()]);
    let err = Entry::read(&newer.bytes, &id).unwrap_err();
    assert_eq!(err.to_string(), "it is of version 2, and this program knows only version 1");
}

/// A journal that came to its end, with a line of every kind.
fn whole(id: &TransactionId) -> Vec<u8> {
    let [old, new] = [b'1', b'2'].map(|byte| ObjectId::from_hex(&[byte; 40]).unwrap());
    let intent = Intent {
        updates: vec![Update {
            number: 3,
            how: CommitsBy::PackedRefs,
            old,
            new,
            peeled: Some(old),
            name: "refs/a".into(),
        }],
        logs: vec![LogLine { old, new, make: false, name: "HEAD".into() }],
        identity: "C <c@example.org> 1 +0000".into(),
        objects: Some("/objects/incoming-x".into()),
        roots: vec![old],
        options: vec!["an option".into()],
        certificate: vec![("GIT_PUSH_CERT_STATUS".into(), "G".into())],
    };
    let dir = std::env::temp_dir();
    let text = Text::new(id).writer(Paths { git_dir: &dir, common_dir: &dir }).unwrap();
    let text = text.locks(["HEAD", "refs/a"].map(BStr::new).into_iter()).state(State::Locking).intent(&intent);
    let text = text.state(State::Voting).hook(Group { leader: 42, start: 1, session: 7 });
    text.state(State::Decided).state(State::Committed).state(State::Told).bytes
}

/// It says what the first `lines` of the whole journal `text` do; nothing if it was whole once.
#[track_caller]
fn check_says(damaged: &[u8], text: &[u8], id: &TransactionId, lines: usize, how: &str) {
    let later = [&b"hook "[..], b"decided ", b"aborted ", b"committed ", b"told "];
    let mut behind = damaged.split_inclusive(|byte| *byte == b'\n').skip(lines + 1);
    let was_whole = behind.any(|line| later.iter().any(|word| line.starts_with(word)));
    let expected = (!was_whole).then(|| said_by(text, id, lines));
    assert_eq!(Entry::read(damaged, id).ok(), expected, "{how}");
}

/// What the first `lines` lines of a whole journal say.
fn said_by(text: &[u8], id: &TransactionId, lines: usize) -> Entry {
    let whole: Vec<u8> = text.split_inclusive(|byte| *byte == b'\n').take(lines).flatten().copied().collect();
    Entry::read(&whole, id).unwrap()
}

#[test]
fn a_journal_cut_anywhere_says_what_its_whole_lines_say() {
    let id = TransactionId::new();
    let text = whole(&id);
    for end in 0..text.len() {
        let lines = text[..end].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(Entry::read(&text[..end], &id).unwrap(), said_by(&text, &id, lines), "cut at {end}");
        let (_, length) = Checksum::of(&text[..end]);
        assert_eq!(length, text[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1));
    }
}

#[test]
fn a_journal_with_any_bit_flipped_says_no_more_than_the_lines_before() {
    let id = TransactionId::new();
    let text = whole(&id);
    for at in 0..text.len() {
        let lines = text[..at].iter().filter(|byte| **byte == b'\n').count();
        for bit in 0..8 {
            let mut damaged = text.clone();
            damaged[at] ^= 1 << bit;
            check_says(&damaged, &text, &id, lines, &format!("bit {bit} of byte {at}"));
        }
    }
}

#[test]
fn lines_that_were_left_out_doubled_or_exchanged_end_what_counts() {
    let id = TransactionId::new();
    let text = whole(&id);
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 1..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat().concat();
        let doubled = [&lines[..at], &lines[at - 1..]].concat().concat();
        let mut exchanged = lines.clone();
        exchanged.swap(at - 1, at);
        check_says(&without, &text, &id, at, &format!("without {at}"));
        check_says(&doubled, &text, &id, at, &format!("doubled {at}"));
        check_says(&exchanged.concat(), &text, &id, at - 1, &format!("exchanged {at}"));
    }
}

#[test]
fn a_decision_behind_a_damaged_line_is_not_taken_back() {
    let id = TransactionId::new();
    let text = whole(&id);
    let voting = text.windows(8).position(|bytes| bytes == b"\nvoting ").unwrap();
    let line = text[..voting].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let mut damaged = text.clone();
    damaged[line] ^= 1;
    assert_eq!(Entry::read(&damaged, &id).unwrap_err().to_string(), "a line in the middle of it is damaged");
    // Cut off within what was to be voted upon: nobody was asked.
    let end = text.len() - text[voting..].len() + 3;
    let state = Entry::read(&damaged[..end], &id).unwrap().state;
    assert_eq!(state, Some(State::Locking));
}
