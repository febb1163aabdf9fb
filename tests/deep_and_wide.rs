//! Objects that are deep or wide beyond what anybody has: taken in with little stack and memory, checked or not.

pub mod support;

use std::fmt::Write as _;

use gix::{ObjectId, objs::Kind};
use support::{
    observe::Outcome,
    packs::{BLOB, COMMIT, PackBuilder, TAG, TREE, delta, entry},
    push::{Push, push},
    server,
};

/// What every process of the push is left with: 256 KiB of stack for each thread and 256 MiB of addresses.
const LIMITS: &str = "ulimit -s 256; ulimit -v 262144; export RUST_MIN_STACK=262144 MALLOC_ARENA_MAX=1";

/// A pack in the making that knows the names of what is in it.
struct Objects(PackBuilder);

impl Objects {
    fn new() -> Self {
        Objects(PackBuilder::new())
    }

    fn add(&mut self, kind: Kind, content: &[u8]) -> ObjectId {
        let code = match kind {
            Kind::Commit => COMMIT,
            Kind::Tree => TREE,
            Kind::Blob => BLOB,
            Kind::Tag => TAG,
        };
        self.0 = std::mem::take(&mut self.0).entry(code, content);
        gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, content).expect("no collision")
    }

    fn commit(&mut self, tree: &ObjectId, parents: &[ObjectId], message: &str) -> ObjectId {
        let mut commit = format!("tree {tree}\n");
        parents.iter().for_each(|parent| writeln!(commit, "parent {parent}").expect("a string"));
        write!(commit, "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n{message}\n").expect("a string");
        self.add(Kind::Commit, commit.as_bytes())
    }
}

/// Push `objects`, to be called `tip` under `name`, with and without checks, as loose objects and as a pack.
fn taken_in(name: &str, tip: ObjectId, objects: Objects) {
    let pack = objects.0.finish();
    for checks in ["true", "false"] {
        for limit in ["1", "1000000"] {
            let push = push().config("receive.fsckObjects", checks).config("receive.unpackLimit", limit);
            let push = push.config("core.maxTreeDepth", "10000");
            let push = push.env("GIT_TEST_FSYNC", "0").create(name, &tip.to_string()).pack(pack.clone());
            let outcome = answered(&push);
            let what = format!("fsckObjects={checks} unpackLimit={limit}: {} {}", outcome.told, outcome.stderr);
            assert_eq!(outcome.report, ["unpack ok", &format!("ok {name}"), "flush", "end"], "{what}");
            assert_eq!(push.scene.git("server.git", &["rev-parse", name]), tip.to_string());
        }
    }
}

fn answered(push: &Push) -> Outcome {
    let request = push.bytes();
    Outcome::of(push, &request, &server::answer(server::start_after(LIMITS, push), &request))
}

#[test]
fn a_tree_of_100_000_entries() {
    let mut objects = Objects::new();
    let blob = objects.add(Kind::Blob, b"the same in each");
    let tree: Vec<u8> =
        (0..100_000).flat_map(|number| entry("100644", format!("{number:06}").as_bytes(), &blob)).collect();
    let tree = objects.add(Kind::Tree, &tree);
    let tip = objects.commit(&tree, &[], "wide");
    taken_in("refs/heads/wide", tip, objects);
}

#[test]
fn a_chain_of_10_000_nested_trees() {
    let mut objects = Objects::new();
    let mut tree = objects.add(Kind::Tree, b"");
    for _ in 0..10_000 {
        tree = objects.add(Kind::Tree, &entry("40000", b"d", &tree));
    }
    let tip = objects.commit(&tree, &[], "deep");
    taken_in("refs/heads/deep", tip, objects);
}

#[test]
fn trees_too_deep_for_git_to_walk_through_again_are_refused() {
    // Nobody could clone the repository any more, nor repack it.
    for (nested, limit) in [(2049, None), (2050, None), (20_000, None), (11, Some("10")), (12, Some("10"))] {
        let mut objects = Objects::new();
        let mut tree = objects.add(Kind::Tree, b"");
        for _ in 1..nested {
            tree = objects.add(Kind::Tree, &entry("40000", b"d", &tree));
        }
        let pack = objects.0.finish();
        // git takes long to write so many loose files, and says the same.
        let kept = if nested > 10_000 { &["1"][..] } else { &["1", "1000000"] };
        for kept in kept {
            let push = push().config("receive.unpackLimit", kept).create("refs/tags/deep", &tree.to_string());
            let mut push = push.pack(pack.clone());
            if let Some(limit) = limit {
                push = push.config("core.maxTreeDepth", limit);
            }
            let (theirs, mine) = server::pushed_to_both(&push);
            let differences = mine.differences(&theirs, false);
            assert!(differences.is_empty(), "{nested}, {limit:?}, {kept}:\n{differences}");
        }
    }
}

#[test]
fn a_chain_of_10_000_tags() {
    let mut objects = Objects::new();
    let tree = objects.add(Kind::Tree, b"");
    let (mut tip, mut kind) = (objects.commit(&tree, &[], "tagged"), "commit");
    for _ in 0..10_000 {
        let tag = format!("object {tip}\ntype {kind}\ntag t\ntagger A <a@b> 1 +0000\n\nt\n");
        (tip, kind) = (objects.add(Kind::Tag, tag.as_bytes()), "tag");
    }
    taken_in("refs/tags/deep", tip, objects);
}

#[test]
fn a_chain_of_5_000_deltas() {
    let mut objects = Objects::new();
    let mut content = vec![b'x'; 200];
    objects.add(Kind::Blob, &content);
    let mut distance = objects.0.size() as u64;
    for number in 0..5_000_u32 {
        content[..4].copy_from_slice(&number.to_be_bytes());
        // Four new bytes, then all but the first four of the base.
        let change = [&[4], &content[..4], &[0x91, 4, 196]].concat();
        let before = objects.0.size();
        objects.0 = std::mem::take(&mut objects.0).ofs_delta(distance, &delta(200, 200, &change));
        distance = (objects.0.size() - before) as u64;
    }
    let blob = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, &content).expect("no collision");
    let tree = objects.add(Kind::Tree, &entry("100644", b"last", &blob));
    let tip = objects.commit(&tree, &[], "changed");
    taken_in("refs/heads/changed", tip, objects);
}

#[test]
fn a_commit_with_1_000_parents() {
    let mut objects = Objects::new();
    let tree = objects.add(Kind::Tree, b"");
    let parents: Vec<ObjectId> =
        (0..1_000).map(|number| objects.commit(&tree, &[], &format!("root {number}"))).collect();
    let tip = objects.commit(&tree, &parents, "all of them");
    taken_in("refs/heads/octopus", tip, objects);
}
