//! What the objects of a push name: it must be there and be what it is taken for, and the order in which all is told is git's.

pub mod support;

use balanced_receive_pack::objects::fsck::message::{Message, Severity};
use gix::{ObjectId, hash::Kind as Hash, objs::Kind};
use support::{
    fsck::{Kept, Strict},
    packs::{BLOB, COMMIT, PackBuilder, TAG, TREE, delta, entry},
    push::push,
    server::pushed_to_both,
};

const SOMEBODY: &str = "A U Thor <author@example.org> 1700000000 +0100";

type Object = (Kind, Vec<u8>);

fn commit(tree: &ObjectId, parents: &[ObjectId]) -> Object {
    commit_by(SOMEBODY, tree, parents)
}

fn commit_by(author: &str, tree: &ObjectId, parents: &[ObjectId]) -> Object {
    let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
    (Kind::Commit, format!("tree {tree}\n{parents}author {author}\ncommitter {SOMEBODY}\n\nx\n").into_bytes())
}

fn tag(kind: Kind, target: &ObjectId) -> Object {
    (Kind::Tag, format!("object {target}\ntype {kind}\ntag x\ntagger {SOMEBODY}\n\nx\n").into_bytes())
}

fn tree(entries: &[(&str, &str, &ObjectId)]) -> Object {
    (Kind::Tree, entries.iter().flat_map(|(mode, name, id)| entry(mode, name.as_bytes(), id)).collect())
}

/// An id that nothing has.
fn nowhere(hash: Hash, byte: u8) -> ObjectId {
    ObjectId::from_bytes_or_panic(&vec![byte; hash.len_in_bytes()])
}

#[test]
fn what_is_named_and_not_there_is_missed() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let mut strict = Strict::new(hash);
        let (there, none) = (strict.known(Kind::Tree), nowhere(hash, 0x12));
        let rows = [
            ("a blob", tree(&[("100644", "a", &none)])),
            ("a symlink", tree(&[("120000", "a", &none)])),
            ("a tree", tree(&[("40000", "a", &none)])),
            ("a commit's tree", commit(&none, &[])),
            ("a parent", commit(&there, &[strict.known(Kind::Commit), none])),
            ("a tag's target", tag(Kind::Commit, &none)),
            ("a tag's target, a tag", tag(Kind::Tag, &none)),
        ];
        for (what, object) in rows {
            let [loose, packed] = strict.judged(what, &[object]);
            assert_eq!(packed.told, format!("fatal: did not receive expected object {none}\n"), "{what}");
            assert_eq!(loose.told, "fatal: object of unexpected type\n", "{what}");
        }
    }
}

#[test]
fn a_submodules_commit_is_not_looked_for() {
    let mut strict = Strict::new(Hash::Sha1);
    let object = tree(&[("160000", "a", &nowhere(Hash::Sha1, 0x12))]);
    assert!(strict.judged("a gitlink", &[object]).iter().all(|verdict| verdict.accepted && verdict.told.is_empty()));
}

#[test]
fn of_several_missing_objects_the_one_is_named_that_git_comes_to_first() {
    let mut strict = Strict::new(Hash::Sha1);
    for seed in 0..20u8 {
        // No two of them in one place of git's table.
        let ids: Vec<_> = (0..7).map(|n| nowhere(Hash::Sha1, seed * 8 + n * 5 + 1)).collect();
        let entries: Vec<_> = ids.iter().zip(["a", "b", "c", "d", "e", "f", "g"]).collect();
        let entries: Vec<_> = entries.iter().map(|(id, name)| ("100644", *name, *id)).collect();
        strict.judged("several", &[tree(&entries)]);
    }
}

#[test]
fn what_is_taken_for_something_else_is_refused() {
    let mut strict = Strict::new(Hash::Sha1);
    let blob = (Kind::Blob, b"just a blob\n".to_vec());
    let new = strict.id(blob.0, &blob.1);
    let (old_blob, old_tree, old_tag) = (strict.known(Kind::Blob), strict.known(Kind::Tree), strict.known(Kind::Tag));
    let other = tree(&[("100644", "x", &old_blob)]);
    let other_id = strict.id(other.0, &other.1);
    let rows: Vec<(&str, Vec<Object>)> = vec![
        ("a blob before it is taken for a tree", vec![blob.clone(), tree(&[("40000", "a", &new)])]),
        ("a blob after it was taken for a tree", vec![tree(&[("40000", "a", &new)]), blob.clone()]),
        ("a tree before it is taken for a blob", vec![other.clone(), tree(&[("100644", "a", &other_id)])]),
        ("a tree after it was taken for a blob", vec![tree(&[("100644", "a", &other_id)]), other.clone()]),
        ("a blob before a commit's tree", vec![blob.clone(), commit(&new, &[])]),
        ("a blob after a commit's tree", vec![commit(&new, &[]), blob.clone()]),
        ("a blob before a parent", vec![blob.clone(), commit(&old_tree, &[new])]),
        ("a blob after a parent", vec![commit(&old_tree, &[new]), blob.clone()]),
        ("a blob before a tag's target", vec![blob.clone(), tag(Kind::Tree, &new)]),
        ("a blob after a tag's target", vec![tag(Kind::Commit, &new), blob.clone()]),
        ("a tree after a tag's target", vec![tag(Kind::Commit, &other_id), other.clone()]),
        ("a blob and a tree at once", vec![tree(&[("100644", "a", &new), ("40000", "b", &new)])]),
        ("the same in two trees", vec![tree(&[("100644", "a", &new)]), tree(&[("40000", "b", &new)])]),
        ("an old blob for a tree", vec![tree(&[("40000", "a", &old_blob)])]),
        ("an old tree for a blob", vec![tree(&[("100644", "a", &old_tree)])]),
        ("an old blob for a commit's tree", vec![commit(&old_blob, &[])]),
        ("an old tag for a parent", vec![commit(&old_tree, &[old_tag])]),
        ("an old tag for a commit", vec![tag(Kind::Commit, &old_tag)]),
    ];
    for (what, objects) in rows {
        assert!(strict.judged(what, &objects).iter().all(|verdict| !verdict.accepted), "{what}");
    }
}

#[test]
fn what_is_there_already_need_not_come() {
    let mut strict = Strict::new(Hash::Sha1);
    let [commit_id, tree_id, blob, tag_id] =
        [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag].map(|kind| strict.known(kind));
    let new = tree(&[("100644", "a", &blob), ("40000", "b", &tree_id)]);
    let new_id = strict.id(new.0, &new.1);
    let objects = [commit(&new_id, &[commit_id]), new, tag(Kind::Tag, &tag_id), tag(Kind::Blob, &blob)];
    assert!(strict.judged("links to old objects", &objects).iter().all(|verdict| verdict.accepted));
}

#[test]
fn the_first_fault_that_git_comes_to_is_told() {
    let mut strict = Strict::new(Hash::Sha1);
    let blob = strict.known(Kind::Blob);
    let unsorted = tree(&[("100644", "b", &blob), ("100644", "a", &blob)]);
    let unsorted_id = strict.id(unsorted.0, &unsorted.1);
    let sound = strict.known(Kind::Tree);
    let (nameless, dateless) = (commit_by("A b", &sound, &[]), commit_by("A <b> x", &sound, &[]));
    let parent = strict.id(nameless.0, &nameless.1);
    let child = commit_by("A > b", &sound, &[parent]);
    let unreadable = (Kind::Commit, b"x".to_vec());
    let mut rows = vec![
        vec![nameless.clone(), dateless.clone()],
        vec![dateless.clone(), nameless.clone()],
        vec![nameless.clone(), child.clone()],
        vec![child.clone(), nameless.clone()],
        vec![commit(&unsorted_id, &[]), unsorted.clone()],
        vec![commit_by("A b", &unsorted_id, &[parent]), unsorted.clone(), nameless.clone()],
        vec![nameless.clone(), unreadable.clone()],
        vec![unreadable, nameless.clone()],
        vec![commit(&sound, &[nowhere(Hash::Sha1, 1)]), nameless.clone()],
        vec![nameless.clone(), commit(&sound, &[nowhere(Hash::Sha1, 1)])],
        vec![commit(&nowhere(Hash::Sha1, 1), &[parent]), nameless.clone()],
    ];
    for objects in &rows {
        assert!(!strict.judged("two faults", objects)[0].accepted);
    }
    for message in [Message::MissingEmail, Message::BadDate, Message::BadName, Message::TreeNotSorted] {
        strict.set(message, Severity::Warn);
    }
    rows.push(vec![tag(Kind::Commit, &parent), child, unsorted, nameless, dateless]);
    for objects in &rows {
        strict.judged("two warnings", objects);
    }
}

#[test]
fn an_object_may_come_only_once() {
    let mut strict = Strict::new(Hash::Sha1);
    let (sound, blob) = (commit(&strict.known(Kind::Tree), &[]), (Kind::Blob, b"twice\n".to_vec()));
    for verdict in strict.judged("a commit twice", &[sound.clone(), sound.clone()]) {
        assert!(!verdict.accepted);
    }
    let [loose, packed] = strict.judged("a blob twice", &[blob.clone(), sound, blob]);
    assert!(loose.accepted && !packed.accepted);
}

#[test]
fn an_object_is_checked_also_where_it_is_a_delta() {
    let mut strict = Strict::new(Hash::Sha1);
    let (_, base) = commit(&strict.known(Kind::Tree), &[]);
    let base_id = strict.id(Kind::Commit, &base);
    // All of the base up to the end of the header's last line.
    let len = base.len() - 4;
    let instructions = [0xb0, len as u8, (len >> 8) as u8];
    let cut = delta(base.len() as u64, len as u64, &instructions);
    for pack in [
        PackBuilder::new().entry(COMMIT, &base).ref_delta(base_id.as_slice(), &cut),
        PackBuilder::new().ref_delta(base_id.as_slice(), &cut).entry(COMMIT, &base),
    ] {
        let pack = pack.finish();
        for kept in [Kept::Loose, Kept::Packed] {
            let (ours, gits) = (strict.ours(&pack, kept), strict.gits(&pack, kept));
            // How far it is stands on the same line.
            let told = |told: &str| {
                let lines = told.split(['\r', '\n']).filter(|line| !line.contains("Resolving deltas"));
                lines.map(|line| format!("{line}\n")).collect::<String>()
            };
            assert_eq!(told(&ours.told), told(&gits.told), "{kept:?}");
            assert!(ours.told.contains(": unterminatedHeader: ") && !ours.accepted, "{ours:?}");
        }
    }
}

#[test]
fn deep_and_wide_links_are_followed() {
    let mut strict = Strict::new(Hash::Sha1);
    let mut objects = vec![(Kind::Tree, Vec::new())];
    for _ in 0..10_000 {
        let (kind, content) = objects.last().expect("one");
        objects.push(tree(&[("40000", "deeper", &strict.id(*kind, content))]));
    }
    objects.reverse();
    assert!(strict.judged("a deep tree", &objects).iter().all(|verdict| verdict.accepted));
    // The empty tree is everywhere.
    objects.pop();
    assert!(strict.judged("a deep tree without the last", &objects).iter().all(|verdict| verdict.accepted));
    objects.remove(5_000);
    assert!(strict.judged("a deep tree with a hole", &objects).iter().all(|verdict| !verdict.accepted));
}

#[test]
fn large_commits_and_trees_are_checked() {
    let mut strict = Strict::new(Hash::Sha1);
    let blob = strict.known(Kind::Blob);
    let names: Vec<String> = (0..40_000).map(|n| format!("file-{n:05}")).collect();
    let entries: Vec<_> = names.iter().map(|name| ("100644", name.as_str(), &blob)).collect();
    let large = tree(&entries);
    let large_id = strict.id(large.0, &large.1);
    let (kind, mut long) = commit(&large_id, &[]);
    long.resize(2_000_000, b'x');
    assert!(strict.judged("large and sound", &[(kind, long.clone()), large.clone()])[1].accepted);
    let missing = nowhere(Hash::Sha1, 7);
    let mut entries = entries;
    entries.push(("100644", "z", &missing));
    entries.push(("100644", "y", &missing));
    let bad = tree(&entries);
    assert!(strict.judged("a large tree", &[bad])[1].told.contains(": treeNotSorted: "));
    long.push(0);
    assert!(strict.judged("a large commit", &[large, (kind, long)])[1].told.contains(": nulInCommit: "));
}

#[test]
fn parents_beyond_the_clients_boundary_are_not_missed() {
    for limit in ["1", "1000"] {
        let plain = push().config("receive.fsckObjects", "true").config("receive.unpackLimit", limit);
        let blob = b"content\n";
        let files = entry("100644", b"a", &id_of(&plain.object_id("blob", blob)));
        let text = format!(
            "tree {}\nparent {}\nauthor {SOMEBODY}\ncommitter {SOMEBODY}\n\nx\n",
            plain.object_id("tree", &files),
            "12".repeat(20),
        );
        let tip = plain.object_id("commit", text.as_bytes());
        let pack = || PackBuilder::new().entry(COMMIT, text.as_bytes()).entry(TREE, &files).entry(BLOB, blob);
        let push = plain.built(pack()).line(format!("shallow {tip}").as_bytes()).create("refs/heads/x", &tip);
        let (theirs, mine) = pushed_to_both(&push);
        assert_eq!(mine.told, theirs.told);
        assert_eq!(mine.report[0], "unpack ok");
        assert_eq!(theirs.report[0], "unpack ok");
    }
}

#[test]
fn tags_of_anything_are_checked_in_the_whole_program() {
    for limit in ["1", "1000"] {
        let plain = push().config("receive.fsckObjects", "true").config("receive.unpackLimit", limit);
        let content = tag(Kind::Commit, &nowhere(Hash::Sha1, 0x12)).1;
        let id = plain.object_id("tag", &content);
        let push = plain.built(PackBuilder::new().entry(TAG, &content)).create("refs/tags/x", &id);
        let (theirs, mine) = pushed_to_both(&push);
        assert_eq!(mine.differences(&theirs, false), "");
        assert!(mine.report.iter().any(|line| line.contains("abnormal exit")), "{:?}", mine.report);
    }
}

fn id_of(hex: &str) -> ObjectId {
    ObjectId::from_hex(hex.as_bytes()).expect("an id")
}
