//! `receive.fsck.*`: what it can say, and that no finding is without a test.

pub mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use balanced_receive_pack::objects::fsck::message::{Message, Severity};
use support::{
    fsck::{Kept, Strict},
    gits,
    packs::{COMMIT, PackBuilder, TAG, TREE, entry},
    push::{Push, push, push_to},
    scene::Scene,
    server::{pushed, pushed_to_both},
};

/// A push of a commit without an e-mail address, which both programs check.
fn nameless(hash: &'static str) -> (Push, String) {
    let push = push_to(hash, "files").config("receive.fsckObjects", "true");
    let tree = push.id("main^{tree}");
    let commit = format!("tree {tree}\nauthor A 1 +0000\ncommitter A <b> 1 +0000\n\nx\n");
    let id = push.object_id("commit", commit.as_bytes());
    (push.built(PackBuilder::new().entry(COMMIT, commit.as_bytes())).create("refs/heads/x", &id), id)
}

/// What is told about that push: the same by both programs, in either way of keeping objects, and all else too.
fn told(push: impl Fn() -> Push) -> String {
    let told = ["1", "1000"].map(|limit| {
        let push = push().config("receive.unpackLimit", limit);
        let (theirs, mine) = pushed_to_both(&push);
        assert_eq!(mine.differences(&theirs, false), "");
        mine.told
    });
    assert_eq!(told[0], told[1]);
    told[0].clone()
}

/// The same with a setting of `receive.fsck.*`.
fn told_with(settings: &[(&str, &str)]) -> String {
    told(|| {
        let set = |push: Push, (name, value): &(&str, &str)| push.config(&format!("receive.fsck.{name}"), value);
        settings.iter().fold(nameless("sha1").0, set)
    })
}

#[test]
fn a_finding_is_as_grave_as_the_last_setting_says() {
    assert!(told_with(&[]).starts_with("error: object "));
    assert!(told_with(&[("missingEmail", "error")]).starts_with("error: object "));
    assert!(told_with(&[("missingEmail", "warn")]).starts_with("warning: object "));
    assert_eq!(told_with(&[("missingEmail", "ignore")]), "");
    assert!(told_with(&[("MISSINGemail", "error"), ("missingEMAIL", "warn")]).starts_with("warning: object "));
    assert!(told_with(&[("missingEmail", "ignore"), ("missingEmail", "error")]).starts_with("error: object "));
}

#[test]
fn what_git_only_remarks_can_be_an_error() {
    let tag = |severity: &'static str| {
        told(move || {
            let push = push().config("receive.fsckObjects", "true").config("receive.fsck.missingTaggerEntry", severity);
            let tag = format!("object {}\ntype commit\ntag x\n\nx\n", push.id("main"));
            let id = push.object_id("tag", tag.as_bytes());
            push.built(PackBuilder::new().entry(TAG, tag.as_bytes())).create("refs/tags/x", &id)
        })
    };
    assert!(tag("warn").starts_with("warning: object "));
    assert!(tag("error").ends_with("fatal: fsck error in packed object\n"));
    assert_eq!(tag("ignore"), "");
}

#[test]
fn what_cannot_be_lowered_is_an_error_only_once_a_pack_comes() {
    for (name, value) in [("nulInHeader", "warn"), ("unterminatedHeader", "ignore"), ("NULINHEADER", "ignore")] {
        let expected = format!("fatal: Cannot demote {} to {value}\n", name.to_lowercase());
        assert_eq!(told_with(&[(name, value)]), expected);
    }
    assert!(told_with(&[("nulInHeader", "error")]).starts_with("error: object "));
    // The first that cannot be followed counts.
    assert!(told_with(&[("nulInHeader", "warn"), ("skipList", "nowhere")]).contains("Cannot demote"));
    assert!(told_with(&[("skipList", "nowhere"), ("nulInHeader", "warn")]).contains("nowhere"));
    let deletion = || push().config("receive.fsckObjects", "true").config("receive.fsck.nulInHeader", "warn");
    assert_eq!(told(|| deletion().delete("refs/heads/topic", "topic")), "");
}

#[test]
fn objects_on_a_skip_list_are_let_pass() {
    for hash in ["sha1", "sha256"] {
        let (_, id) = nameless(hash);
        let lists = [
            format!("{id}\n"),
            format!("# why\n\n  \t\n  {id}\t # because\n"),
            format!("{id}#because"),
            format!("{}\r\n", id.to_uppercase()),
            format!("{}\n{id}\n{id}\n", "1".repeat(id.len())),
        ];
        for list in lists {
            let push = || {
                let push = nameless(hash).0.config("receive.fsck.skipList", "skip");
                push.scene.write("server.git/skip", &list);
                push
            };
            assert_eq!(told(push), "", "{list}");
        }
    }
}

#[test]
fn a_skip_list_that_cannot_be_read_refuses_every_pack() {
    let (_, id) = nameless("sha1");
    let (short, long) = (format!("{}\n", &id[..12]), format!("{id}0\n"));
    for list in [short.as_str(), &long, "main\n", &format!("{id} {id}\n"), &format!("{}\n{id}\nx", "1".repeat(40))] {
        let push = || {
            let push = nameless("sha1").0.config("receive.fsck.skipList", "skip");
            push.scene.write("server.git/skip", list);
            push
        };
        assert!(told(push).starts_with("fatal: invalid object name: "), "{list}");
    }
    for path in ["nowhere", ".", ""] {
        assert_eq!(told_with(&[("skipList", path)]), format!("fatal: could not open object name list: {path}\n"));
    }
}

#[test]
fn several_skip_lists_count_together() {
    let (_, id) = nameless("sha1");
    let push = || {
        let push = nameless("sha1").0.config("receive.fsck.skipList", "skip").config("receive.fsck.skipList", "more");
        push.scene.write("server.git/skip", &format!("{id}\n"));
        push.scene.write("server.git/more", "");
        push
    };
    assert_eq!(told(push), "");
}

#[test]
fn a_finding_of_no_known_name_is_told_at_the_start() {
    let push = nameless("sha1").0.config("receive.fsck.unheardOf", "grave");
    let (theirs, mine) = pushed_to_both(&push);
    assert_eq!(mine.differences(&theirs, false), "");
    assert!(mine.stderr.contains("skipping unknown msg id 'unheardof'"), "{}", mine.stderr);
}

#[test]
fn findings_about_refs_may_be_set_and_mean_nothing_here() {
    for name in ["badRefName", "badRefFiletype"] {
        assert!(told_with(&[(name, "ignore")]).starts_with("error: object "));
    }
    // Those that came after the installed git are known too.
    for name in ["badReferentName", "badGpgsig"] {
        let mine = pushed(&nameless("sha1").0.config(&format!("receive.fsck.{name}"), "warn"));
        assert_eq!(mine.stderr, "");
        assert!(mine.told.starts_with("error: object "), "{}", mine.told);
    }
}

#[test]
fn balanced_mode_checks_too() {
    let push = nameless("sha1").0.config("receive.balancedAtomic", "true");
    let mine = pushed(&push);
    assert!(mine.told.contains(": missingEmail: "), "{}", mine.told);
    assert!(mine.report.iter().any(|line| line.contains("unpacker error")), "{:?}", mine.report);
}

#[test]
fn no_other_git_is_started() {
    let scene = Scene::new("sha1", "files");
    let push = nameless("sha1").0.env("PATH", &scene.path("nowhere").display().to_string());
    assert!(pushed(&push).told.contains(": missingEmail: "));
}

#[test]
fn what_no_object_of_a_pack_can_give_rise_to_is_refused_before() {
    let null = gix::ObjectId::null(gix::hash::Kind::Sha1);
    let pack = |kind, content: &[u8]| PackBuilder::new().entry(kind, content).finish();
    // Of each the nearest thing that a pack can hold.
    for (message, pack) in [
        (Message::EmptyName, pack(TREE, &entry("100644", b"", &null))),
        (Message::UnknownType, pack(5, b"x")),
        (Message::UnknownType, pack(0, b"x")),
    ] {
        for severity in [Severity::Error, Severity::Ignore] {
            let mut strict = Strict::new(gix::hash::Kind::Sha1);
            strict.set(message, severity);
            for kept in [Kept::Loose, Kept::Packed] {
                let (ours, gits) = (strict.ours(&pack, kept), strict.gits(&pack, kept));
                assert!(!ours.accepted && !gits.accepted, "{message:?}: {ours:?} {gits:?}");
                assert!(
                    !gits.told.contains(&message.name()) && !ours.told.contains(&message.name()),
                    "{ours:?} {gits:?}"
                );
            }
        }
    }
}

/// A row of a table names its finding first, `(Message::BadDate, …)` or `("badDate", …)`; other tests expect it to be told.
#[test]
fn every_finding_has_a_row() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = fs::read_dir(&tests).expect("tests").map(|entry| entry.expect("an entry").path());
    let is_fsck = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("fsck_"));
    let files = files.filter(is_fsck).chain([tests.join("support/identities.rs")]);
    let rows: String = files.map(|path| fs::read_to_string(path).expect("a test")).collect();
    let has_row = |message: &&Message| {
        let name = message.name();
        let told = [format!("contains(\"{name}"), format!("{{ \"{name}: ")];
        let rows_of = [format!("(Message::{message:?},"), format!("(\"{name}\",")];
        rows_of.iter().chain(&told).any(|words| rows.contains(words))
    };
    let without: Vec<_> = Message::ALL.iter().filter(|message| !has_row(message)).collect();
    assert!(without.is_empty(), "{} of {} have no row: {without:?}", without.len(), Message::ALL.len());
}

#[test]
fn the_findings_are_those_of_the_installed_git() {
    // They stand in the program in capitals, one behind the other.
    let program = fs::read(gits()).expect("git is a file");
    let known = |name: &str| {
        let capitals = name.chars().fold(String::new(), |text, letter| {
            let gap = if letter.is_ascii_uppercase() { "_" } else { "" };
            text + gap + &letter.to_ascii_uppercase().to_string()
        });
        let capitals = [capitals.as_bytes(), b"\0"].concat();
        memchr::memmem::find(&program, &capitals).is_some()
    };
    let unknown: Vec<_> = Message::ALL.iter().map(|message| message.name()).filter(|name| !known(name)).collect();
    assert_eq!(unknown, Vec::<String>::new());
    let documented = "/usr/share/doc/git-doc/fsck-msgids.txt";
    let Ok(list) = fs::read_to_string(documented) else {
        return support::skipped(&format!("{documented} is not there (Debian: apt-get install git-doc)"));
    };
    let names = list.lines().filter_map(|line| line.strip_prefix('`')?.split('`').next());
    let names: BTreeSet<_> = names.filter(|name| !name.starts_with("badRef")).collect();
    assert!(names.len() > 50);
    let missing: Vec<_> = names.iter().filter(|name| Message::called(name.as_bytes()).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
