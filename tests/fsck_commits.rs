//! What is wrong with commits, found by both programs alike, and at each severity.

pub mod support;

use balanced_receive_pack::objects::fsck::message::{Message, Severity};
use gix::{hash::Kind as Hash, objs::Kind};
use support::{
    fsck::{Kept, Strict},
    hash_object::refusal,
    identities::identities,
    packs::{COMMIT, PackBuilder},
};

const SOMEBODY: &str = "A U Thor <author@example.org> 1700000000 +0100";

/// A commit of a tree that the repository has, with these lines behind it.
fn commit(strict: &Strict, lines: &str) -> (Kind, Vec<u8>) {
    (Kind::Commit, format!("tree {}\n{lines}", strict.known(Kind::Tree)).into_bytes())
}

/// Each commit that is not sound, and the finding that it gives rise to.
fn rows(strict: &Strict) -> Vec<(Message, (Kind, Vec<u8>))> {
    let people = format!("author {SOMEBODY}\ncommitter {SOMEBODY}\n");
    let mut rows = vec![
        (Message::BadParentSha1, commit(strict, "parent abc\n\n")),
        (Message::MissingAuthor, commit(strict, &format!("committer {SOMEBODY}\n\nx\n"))),
        (Message::MissingAuthor, commit(strict, "\n")),
        (Message::MultipleAuthors, commit(strict, &format!("author {SOMEBODY}\n{people}\nx\n"))),
        (Message::MissingCommitter, commit(strict, &format!("author {SOMEBODY}\n\nx\n"))),
        (Message::MissingCommitter, commit(strict, &format!("author {SOMEBODY}\nencoding x\ncommitter {SOMEBODY}\n"))),
        (Message::NulInCommit, commit(strict, &format!("{people}\nbefore\0behind\n"))),
        (Message::NulInHeader, commit(strict, &format!("{people}x\0y\n\nx\n"))),
        (Message::UnterminatedHeader, commit(strict, people.trim_end())),
    ];
    for (message, identity) in identities() {
        rows.push((message, commit(strict, &format!("author {identity}\ncommitter {SOMEBODY}\n\nx\n"))));
        rows.push((message, commit(strict, &format!("author {SOMEBODY}\ncommitter {identity}\n"))));
    }
    rows
}

#[test]
fn each_finding_is_told_in_gits_words() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let mut strict = Strict::new(hash);
        for (message, commit) in rows(&strict) {
            let what = commit.1.escape_ascii().to_string();
            let [loose, packed] = strict.judged(&what, &[commit]);
            assert_eq!(loose.told, packed.told);
            assert!(!packed.accepted && packed.told.contains(&format!(": {}: ", message.name())), "{what}: {packed:?}");
            assert!(packed.told.ends_with("\nfatal: fsck error in packed object\n"), "{packed:?}");
        }
    }
}

#[test]
fn a_finding_that_is_lowered_is_a_warning_or_nothing() {
    // git would look at the same bad parent for ever.
    let endless = Message::BadParentSha1;
    let fatal = [Message::NulInHeader, Message::UnterminatedHeader];
    let mut strict = Strict::new(Hash::Sha1);
    let rows = rows(&strict);
    for (message, commit) in rows.into_iter().filter(|(message, _)| *message != endless && !fatal.contains(message)) {
        let what = commit.1.escape_ascii().to_string();
        for severity in [Severity::Warn, Severity::Ignore] {
            strict.set(message, severity);
            for verdict in strict.judged(&what, std::slice::from_ref(&commit)) {
                let warned = verdict.told.contains(&format!(": {}: ", message.name()));
                assert_eq!(warned, severity == Severity::Warn, "{what}: {verdict:?}");
            }
        }
        strict.set(message, Severity::Error);
    }
}

#[test]
fn all_that_is_wrong_is_told_where_git_goes_on() {
    let mut strict = Strict::new(Hash::Sha1);
    for message in [
        Message::MissingEmail,
        Message::MultipleAuthors,
        Message::NulInCommit,
        Message::MissingAuthor,
        Message::MissingCommitter,
    ] {
        strict.set(message, Severity::Warn);
    }
    let bad = commit(&strict, "author x\nauthor y\ncommitter z\n\n\0\n");
    let told = strict.judged("everything", &[bad])[0].told.clone();
    assert_eq!(told.lines().count(), 5, "{told}");
    let empty = commit(&strict, "\n");
    assert_eq!(strict.judged("nobody", &[empty])[1].told.lines().count(), 2);
}

#[test]
fn a_bad_parent_that_is_let_pass_ends_the_parents() {
    // git never ends here.
    let mut strict = Strict::new(Hash::Sha1);
    strict.set(Message::BadParentSha1, Severity::Warn);
    let pack = PackBuilder::new().entry(COMMIT, &commit(&strict, "parent abc\n\n").1).finish();
    for kept in [Kept::Loose, Kept::Packed] {
        let told = strict.ours(&pack, kept).told;
        assert!(told.starts_with("warning: ") && told.contains(": missingAuthor: "), "{told}");
    }
}

#[test]
fn what_git_cannot_read_is_refused_before_it_is_checked() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let mut strict = Strict::new(hash);
        let tree = strict.known(Kind::Tree).to_string();
        let parent = strict.known(Kind::Commit).to_string();
        let people = format!("author {SOMEBODY}\ncommitter {SOMEBODY}\n\nx\n");
        let short = &tree[1..];
        // What git fsck would find; no setting of it helps.
        let rows = [
            (Message::MissingTree, people.clone()),
            (Message::MissingTree, format!(" tree {tree}\n{people}")),
            (Message::MissingTree, String::new()),
            (Message::BadTreeSha1, format!("tree {tree}x\n{people}")),
            (Message::BadTreeSha1, format!("tree {short}\n{people}")),
            (Message::BadTreeSha1, format!("tree {short}g\n{people}")),
            (Message::BadParentSha1, format!("tree {tree}\nparent {}\n{people}", &parent[1..])),
            (Message::BadParentSha1, format!("tree {tree}\nparent {parent} \n{people}")),
            (Message::BadParentSha1, format!("tree {tree}\nparent {parent}\nparent x{}\n{people}", &parent[1..])),
            // Nothing follows.
            (Message::MissingAuthor, format!("tree {tree}\n")),
            (Message::MissingAuthor, format!("tree {tree}\nparent {parent}\n")),
        ];
        for (message, content) in rows {
            // Before anything else the header must end.
            let ends = content.ends_with('\n') || content.contains("\n\n");
            let expected = if ends { message } else { Message::UnterminatedHeader };
            let found = refusal(&strict.scene, Kind::Commit, content.as_bytes());
            assert!(found.contains(&format!(": {}: ", expected.name())), "{content}: {found}");
            for severity in [Severity::Error, Severity::Ignore] {
                strict.set(message, severity);
                let object = (Kind::Commit, content.clone().into_bytes());
                for verdict in strict.judged(&content, &[object]) {
                    assert!(verdict.told.ends_with("\nfatal: invalid commit\n"), "{content}: {verdict:?}");
                }
            }
        }
    }
}

#[test]
fn odd_commits_that_git_lets_pass_pass() {
    let mut strict = Strict::new(Hash::Sha1);
    let people = format!("author {SOMEBODY}\ncommitter {SOMEBODY}\n");
    let tree = strict.known(Kind::Tree).to_string().to_uppercase();
    let parent = strict.known(Kind::Commit);
    let many = format!("parent {parent}\n").repeat(1000);
    for lines in [
        people.clone(),
        format!("{people}what: ever\n\n"),
        format!("{people}\nno newline at the end"),
        format!("{people}committer x\nauthor y\n\n"),
        format!("{many}{people}\n"),
        "author  <> 0 -9999\ncommitter a <b> 9223372036854775807 +0000\n".into(),
        "author \t <> \t  1 +0000\ncommitter \u{1} <\u{1}> 1 +0000\n".into(),
    ] {
        let object = commit(&strict, &lines);
        assert_eq!(strict.judged(&lines, &[object])[0].told, "", "{lines}");
    }
    let capitals = format!("tree {tree}\n{people}").into_bytes();
    assert!(strict.judged("an id in capitals", &[(Kind::Commit, capitals)])[0].accepted);
}
