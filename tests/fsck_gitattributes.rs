//! What is wrong with files called `.gitattributes`, found by both programs alike.

pub mod support;

use balanced_receive_pack::objects::fsck::message::{Message, Severity};
use gix::{ObjectId, hash::Kind as Hash, objs::Kind};
use support::{
    fsck::{Kept, Strict},
    packs::entry,
};

/// A blob, and a tree that calls it `.gitattributes`.
fn named(strict: &Strict, content: Vec<u8>) -> [(Kind, Vec<u8>); 2] {
    let tree = entry("100644", b".gitattributes", &strict.id(Kind::Blob, &content));
    [(Kind::Blob, content), (Kind::Tree, tree)]
}

#[test]
fn a_line_that_git_does_not_read_is_refused() {
    let mut strict = Strict::new(Hash::Sha1);
    for (len, accepted) in [(2047, true), (2048, false), (2049, false)] {
        let line = vec![b'x'; len];
        for (before, after) in
            [("", ""), ("", "\n"), ("a b\n\n", "\n\n"), ("", "\0"), ("\0", ""), ("", "\r\n"), ("x\0", "\n")]
        {
            let content = [before.as_bytes(), &line, after.as_bytes()].concat();
            let [blob, tree] = named(&strict, content);
            let verdicts = strict.judged("a line", &[blob.clone(), tree.clone()]);
            strict.judged("a line", &[tree, blob]);
            if before.is_empty() && after.len() < 2 {
                let told =
                    if accepted { "" } else { "gitattributesLineLength: .gitattributes has too long lines to parse" };
                assert!(verdicts.iter().all(|verdict| verdict.accepted == accepted && verdict.told.contains(told)));
            }
        }
    }
}

#[test]
fn a_file_larger_than_git_reads_is_refused() {
    let mut strict = Strict::new(Hash::Sha1);
    let most = 100 << 20;
    let line = [&[b'#'; 2000][..], b"\n"].concat();
    for (size, accepted) in [(most, true), (most + 1, false)] {
        let mut content = line.repeat(size / line.len() + 1);
        content.truncate(size);
        let [blob, tree] = named(&strict, content);
        let verdicts = strict.ours_and_gits(&[tree, blob], Kept::Packed);
        assert_eq!(verdicts[0], verdicts[1]);
        assert_eq!(verdicts[0].accepted, accepted);
        assert_eq!(verdicts[0].told.contains("gitattributesLarge: .gitattributes too large to parse"), !accepted);
    }
}

#[test]
fn a_file_too_large_to_be_held_in_memory_is_refused_when_it_comes() {
    let mut strict = Strict::new(Hash::Sha1);
    strict.big_files_from(1000);
    let [blob, tree] = named(&strict, vec![b'\n'; 5000]);
    let verdict = strict.ours_and_gits(&[tree, blob], Kept::Packed);
    assert!(
        verdict.iter().all(|verdict| verdict.told.contains("gitattributesLarge") && !verdict.accepted),
        "{verdict:?}"
    );
}

#[test]
fn what_is_no_blob_or_is_not_there_is_no_such_file() {
    let strict = Strict::new(Hash::Sha1);
    let (tree, commit) = (strict.known(Kind::Tree), strict.known(Kind::Commit));
    let nowhere = ObjectId::from_hex(&[b'1'; 40]).unwrap();
    for (what, mode, id, finding) in [
        ("a tree", "40000", &tree, "gitattributesBlob"),
        ("a commit", "160000", &commit, "gitattributesBlob"),
        ("a commit that is not there", "160000", &nowhere, "gitattributesMissing"),
    ] {
        for severity in [Severity::Error, Severity::Warn, Severity::Ignore] {
            let mut strict = Strict::new(Hash::Sha1);
            strict.set(Message::GitattributesBlob, severity);
            strict.set(Message::GitattributesMissing, severity);
            let verdicts = strict.judged(what, &[(Kind::Tree, entry(mode, b".gitattributes", id))]);
            for verdict in verdicts {
                assert_eq!(verdict.accepted, severity != Severity::Error, "{what}");
                assert_eq!(verdict.told.contains(finding), severity != Severity::Ignore, "{what}: {}", verdict.told);
            }
        }
    }
}
