//! What is wrong with tags, found by both programs alike, and at each severity.

pub mod support;

use balanced_receive_pack::objects::fsck::message::{Message, Severity};
use gix::{hash::Kind as Hash, objs::Kind};
use support::{fsck::Strict, hash_object::refusal, identities::identities};

const SOMEBODY: &str = "T Agger <tagger@example.org> 1700000000 +0100";

/// A tag of a commit that the repository has, with these lines behind it.
fn tag(strict: &Strict, lines: &str) -> (Kind, Vec<u8>) {
    (Kind::Tag, format!("object {}\ntype commit\n{lines}", strict.known(Kind::Commit)).into_bytes())
}

/// Each tag that is not sound, and the finding that it gives rise to.
fn rows(strict: &Strict) -> Vec<(Message, (Kind, Vec<u8>))> {
    let tagger = format!("tagger {SOMEBODY}\n");
    let mut rows = vec![
        (Message::BadTagName, tag(strict, &format!("tag \n{tagger}\nx\n"))),
        (Message::BadTagName, tag(strict, &format!("tag a b..\n{tagger}\nx\n"))),
        (Message::BadTagName, tag(strict, &format!("tag \u{1}\u{7f}\u{e9}\t\n{tagger}\nx\n"))),
        (Message::BadTagName, tag(strict, &format!("tag {}\n{tagger}\nx\n", "a b".repeat(2000)))),
        (Message::MissingTaggerEntry, tag(strict, "tag x\n\nx\n")),
        (Message::MissingTaggerEntry, tag(strict, "tag x\n")),
        (Message::MissingTaggerEntry, tag(strict, "tag x\ntagger\n")),
        (Message::ExtraHeaderEntry, tag(strict, &format!("tag x\n{tagger}gpgsig x\n y\n\nx\n"))),
        (Message::NulInHeader, tag(strict, &format!("tag x\0\n{tagger}\nx\n"))),
        (Message::UnterminatedHeader, tag(strict, &format!("tag x\n{}", tagger.trim_end()))),
    ];
    rows.extend(identities().map(|(message, identity)| (message, tag(strict, &format!("tag x\ntagger {identity}\n")))));
    rows
}

#[test]
fn each_finding_is_told_in_gits_words() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let mut strict = Strict::new(hash);
        for (message, tag) in rows(&strict) {
            let what = tag.1.escape_ascii().to_string();
            let [loose, packed] = strict.judged(&what, &[tag]);
            assert_eq!(loose.told, packed.told);
            let level = message.severity();
            let is_told = packed.told.contains(&format!(": {}: ", message.name()));
            assert_eq!(is_told, level != Severity::Ignore, "{what}: {packed:?}");
            assert_eq!(packed.accepted, matches!(level, Severity::Warn | Severity::Ignore), "{what}: {packed:?}");
        }
    }
}

#[test]
fn a_finding_can_be_made_an_error_a_warning_or_nothing() {
    let fatal = [Message::NulInHeader, Message::UnterminatedHeader];
    let mut strict = Strict::new(Hash::Sha1);
    let rows = rows(&strict);
    for (message, tag) in rows.into_iter().filter(|(message, _)| !fatal.contains(message)) {
        let what = tag.1.escape_ascii().to_string();
        for severity in [Severity::Error, Severity::Warn, Severity::Ignore] {
            strict.set(message, severity);
            for verdict in strict.judged(&what, std::slice::from_ref(&tag)) {
                assert_eq!(verdict.accepted, severity != Severity::Error, "{what}: {verdict:?}");
                let is_told = verdict.told.contains(&format!(": {}: ", message.name()));
                assert_eq!(is_told, severity != Severity::Ignore, "{what}: {verdict:?}");
            }
        }
        strict.set(message, message.severity());
    }
}

#[test]
fn a_bad_tagger_is_told_and_forgotten_where_more_lines_follow() {
    let mut strict = Strict::new(Hash::Sha1);
    let odd = tag(&strict, "tag x\ntagger nobody\nmore: lines\n\nx\n");
    for verdict in strict.judged("a line behind the tagger", &[odd]) {
        assert!(verdict.accepted && verdict.told.contains("error: object "), "{verdict:?}");
    }
}

#[test]
fn what_git_cannot_read_is_refused_before_it_is_checked() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let mut strict = Strict::new(hash);
        let id = strict.known(Kind::Commit).to_string();
        let rest = format!("tag x\ntagger {SOMEBODY}\n\nx\n");
        // What git fsck would find; no setting of it helps.
        let rows = [
            (Message::MissingObject, format!("type commit\n{rest}and so on, such that it is no shorter than tags are")),
            (Message::MissingObject, String::new()),
            (Message::BadObjectSha1, format!("object {}\ntype commit\n{rest}", &id[1..])),
            (Message::BadObjectSha1, format!("object {}g\ntype commit\n{rest}", &id[1..])),
            (Message::BadObjectSha1, format!("object {id}1\ntype commit\n{rest}")),
            (Message::MissingTypeEntry, format!("object {id}\n{rest}")),
            (Message::MissingType, format!("object {id}\ntype commit")),
            (Message::BadType, format!("object {id}\ntype comet\n{rest}")),
            (Message::BadType, format!("object {id}\ntype \n{rest}")),
            (Message::BadType, format!("object {id}\ntype a\u{1}b\0c\n{rest}")),
            (Message::BadType, format!("object {id}\ntype {}\n{rest}", "commit".repeat(4))),
            (Message::MissingTagEntry, format!("object {id}\ntype commit\ntagger {SOMEBODY}\n\nx\n")),
            (Message::MissingTagEntry, format!("object {id}\ntype commit\n\nx\n")),
            (Message::MissingTag, format!("object {id}\ntype commit\ntag a")),
        ];
        for (message, content) in rows {
            // Before anything else the header must end, and be text.
            let ends = content.ends_with('\n') || content.contains("\n\n");
            let expected = match (ends, content.contains('\0')) {
                (false, _) => Message::UnterminatedHeader,
                (true, true) => Message::NulInHeader,
                (true, false) => message,
            };
            let found = refusal(&strict.scene, Kind::Tag, content.as_bytes());
            assert!(found.contains(&format!(": {}: ", expected.name())), "{content}: {found}");
            for severity in [Severity::Error, Severity::Ignore] {
                strict.set(message, severity);
                let object = (Kind::Tag, content.clone().into_bytes());
                for verdict in strict.judged(&content, &[object]) {
                    assert!(verdict.told.ends_with("fatal: invalid tag\n"), "{content}: {verdict:?}");
                }
            }
        }
    }
}
