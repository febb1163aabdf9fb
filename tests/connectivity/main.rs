//! What a push must bring: everything that its new values reach and the repository's refs do not.

mod ancestry;
mod random;
#[path = "../support/mod.rs"]
pub mod support;
mod world;

use std::fs;

use gix::{ObjectId, objs::Kind};
use world::{Verdict, World};

const MISSING: &str = "missing necessary objects";

fn null() -> ObjectId {
    ObjectId::null(gix::hash::Kind::Sha1)
}

/// The verdict on creating `refs/x/new`, on which both programs agree, as on what they say is missing.
fn verdict(world: &World, new: ObjectId, brought: &[ObjectId]) -> Verdict {
    let commands = [("refs/x/new".to_owned(), null(), new)];
    let (ours, _) = world.ours(&commands, brought);
    let theirs = world.gits(&commands, brought);
    assert_eq!(ours.refusals, theirs.refusals, "{ours:?} {theirs:?}");
    if !ours.is_clean() {
        assert_eq!(ours.said, theirs.said);
    }
    ours
}

/// A repository whose branch `main` is one commit with `a` and `lib/b`.
struct Base {
    world: World,
    main: ObjectId,
    root: ObjectId,
    lib: ObjectId,
    blob: ObjectId,
}

fn base() -> Base {
    let mut world = World::new();
    let a = world.blob("a");
    let blob = world.blob("b");
    let lib = world.tree(&[("100644", "b", blob)]);
    let root = world.tree(&[("100644", "a", a), ("40000", "lib", lib)]);
    let main = world.commit(root, &[], 1_700_000_000);
    let server = world.server();
    world.store(&server, world.ids());
    world.set_ref(&server, "refs/heads/main", main);
    Base { world, main, root, lib, blob }
}

#[test]
fn each_object_that_a_commit_on_a_branch_needs_is_missed() {
    let Base { mut world, main, .. } = base();
    let before = world.ids();
    let blob = world.blob("new");
    let deep = world.tree(&[("100644", "new", blob)]);
    let root = world.tree(&[("40000", "deep", deep)]);
    let parent = world.commit(root, &[main], 1_700_000_001);
    let new = world.commit(root, &[parent], 1_700_000_002);
    let all: Vec<_> = world.ids().into_iter().filter(|id| !before.contains(id)).collect();
    assert!(verdict(&world, new, &all).is_clean());
    for hole in &all {
        let rest: Vec<_> = all.iter().copied().filter(|id| id != hole).collect();
        assert_eq!(verdict(&world, new, &rest).refusals, [MISSING], "without {hole}");
    }
}

#[test]
fn each_object_that_a_first_push_needs_is_missed() {
    let Base { main, world: full, .. } = base();
    let all = full.ids();
    let Base { world, .. } = base();
    fs::remove_file(world.server().join("refs/heads/main")).unwrap();
    all.iter().for_each(|id| world.lose(&world.server(), *id));
    assert!(verdict(&world, main, &all).is_clean());
    for hole in &all {
        let rest: Vec<_> = all.iter().copied().filter(|id| id != hole).collect();
        assert_eq!(verdict(&world, main, &rest).refusals, [MISSING], "without {hole}");
    }
}

#[test]
fn what_hangs_on_no_ref_is_walked_and_then_accepted_or_not() {
    let Base { mut world, main, .. } = base();
    let server = world.server();
    let blob = world.blob("dangling");
    let tree = world.tree(&[("100644", "x", blob)]);
    let commit = world.commit(tree, &[main], 1_700_000_001);
    world.store(&server, [blob, tree, commit]);
    assert!(verdict(&world, commit, &[]).is_clean());
    let above = world.commit(tree, &[commit], 1_700_000_002);
    assert!(verdict(&world, above, &[above]).is_clean());
    world.lose(&server, blob);
    assert_eq!(verdict(&world, commit, &[]).refusals, [MISSING]);
    assert_eq!(verdict(&world, above, &[above]).refusals, [MISSING]);
    assert_eq!(verdict(&world, tree, &[]).refusals, [MISSING]);
}

#[test]
fn a_commit_that_a_ref_reaches_further_back_is_taken_for_whole() {
    let Base { mut world, main, root, blob, .. } = base();
    let server = world.server();
    let mut tip = main;
    let mut middle = main;
    for number in 0..20 {
        let text = world.blob(&format!("text {number}"));
        let tree = world.tree(&[("100644", "x", text)]);
        tip = world.commit(tree, &[tip], 1_700_000_010 + number);
        world.store(&server, [text, tree, tip]);
        if number == 10 {
            middle = tip;
        }
    }
    world.set_ref(&server, "refs/heads/main", tip);
    // Nothing below main is looked at: its holes are none of this push's.
    world.lose(&server, blob);
    world.lose(&server, root);
    let text = world.blob("on the middle");
    let tree = world.tree(&[("100644", "x", text)]);
    let new = world.commit(tree, &[middle], 1_700_000_100);
    assert!(verdict(&world, new, &[new, tree, text]).is_clean());
    assert!(verdict(&world, middle, &[]).is_clean());
}

#[test]
fn what_a_parent_has_anywhere_is_not_missed_though_it_has_a_hole() {
    let Base { mut world, main, lib, blob, .. } = base();
    let server = world.server();
    world.lose(&server, blob);
    let moved = world.tree(&[("40000", "moved", lib)]);
    let new = world.commit(moved, &[main], 1_700_000_001);
    assert!(verdict(&world, new, &[new, moved]).is_clean());
    // Further back is too far, to git as well.
    let other = world.blob("other");
    let without = world.tree(&[("100644", "other", other)]);
    let next = world.commit(without, &[main], 1_700_000_001);
    world.store(&server, [other, without, next]);
    world.set_ref(&server, "refs/heads/main", next);
    let back = world.commit(moved, &[next], 1_700_000_002);
    assert_eq!(verdict(&world, back, &[back, moved]).refusals, [MISSING]);
}

#[test]
fn a_wrong_clock_hides_no_history() {
    let Base { mut world, main, root, .. } = base();
    let server = world.server();
    // The branch is older than what it is built on, to go by the dates.
    let young = world.commit(root, &[main], 1_900_000_000);
    let old = world.commit(root, &[young], 1_000_000_000);
    world.store(&server, [young, old]);
    world.set_ref(&server, "refs/heads/main", old);
    let new = world.commit(root, &[young, main], 1_500_000_000);
    assert!(verdict(&world, new, &[new]).is_clean());
}

#[test]
fn gitlinks_are_never_looked_for() {
    let Base { mut world, main, .. } = base();
    let elsewhere = ObjectId::from_hex(&[b'7'; 40]).unwrap();
    let tree = world.tree(&[("160000", "module", elsewhere)]);
    let new = world.commit(tree, &[main], 1_700_000_001);
    assert!(verdict(&world, new, &[tree, new]).is_clean());
}

#[test]
fn tags_are_followed_to_what_they_name_whatever_that_is() {
    let Base { mut world, main, lib, blob, .. } = base();
    for target in [main, lib, blob] {
        let inner = world.tag(target, world.kind(target));
        let outer = world.tag(inner, Kind::Tag);
        assert!(verdict(&world, outer, &[inner, outer]).is_clean());
        assert_eq!(verdict(&world, outer, &[outer]).refusals, [MISSING]);
    }
    let absent = world.blob("absent");
    let tag = world.tag(absent, Kind::Blob);
    assert_eq!(verdict(&world, tag, &[tag]).refusals, [MISSING]);
    let tree = world.tree(&[("100644", "absent", absent)]);
    let tag = world.tag(tree, Kind::Tree);
    assert_eq!(verdict(&world, tag, &[tag, tree]).refusals, [MISSING]);
    let wrong = world.tag(blob, Kind::Commit);
    let (ours, _) = world.ours(&[("refs/x/new".into(), null(), wrong)], &[wrong]);
    assert_eq!(ours.refusals, world.gits(&[("refs/x/new".into(), null(), wrong)], &[wrong]).refusals);
    assert_eq!(ours.refusals, [MISSING]);
}

#[test]
fn trees_and_blobs_can_be_pushed_by_themselves() {
    let Base { mut world, .. } = base();
    let blob = world.blob("alone");
    let tree = world.tree(&[("100644", "alone", blob)]);
    assert!(verdict(&world, blob, &[blob]).is_clean());
    assert!(verdict(&world, tree, &[blob, tree]).is_clean());
    assert_eq!(verdict(&world, blob, &[]).refusals, [MISSING]);
    assert_eq!(verdict(&world, tree, &[tree]).refusals, [MISSING]);
}

#[test]
fn a_value_has_to_be_there_whoever_vouches_for_it() {
    let Base { world, root, lib, blob, .. } = base();
    let server = world.server();
    world.set_ref(&server, "refs/x/tree", root);
    for value in [lib, blob] {
        assert!(verdict(&world, value, &[]).is_clean());
        world.lose(&server, value);
        assert_eq!(verdict(&world, value, &[]).refusals, [MISSING]);
    }
}

#[test]
fn an_entry_that_is_no_tree_or_a_known_tree_that_is_called_a_blob_is_refused() {
    let Base { mut world, main, lib, blob, .. } = base();
    let new_blob = world.blob("new");
    let absent = world.blob("absent");
    let new_tree = world.tree(&[("100644", "absent", absent)]);
    let cases = [("100644", lib, true), ("40000", blob, true), ("40000", new_blob, true), ("100644", new_tree, false)];
    for (mode, id, is_refused) in cases {
        let tree = world.tree(&[(mode, "x", id)]);
        let commit = world.commit(tree, &[main], 1_700_000_001);
        let brought: Vec<_> = [commit, tree, new_blob, new_tree].to_vec();
        let commands = [("refs/x/new".to_owned(), null(), commit)];
        let ours = world.ours(&commands, &brought).0;
        assert_eq!(ours.refusals, world.gits(&commands, &brought).refusals, "{mode} {id}");
        assert_eq!(!ours.is_clean(), is_refused, "{mode} {id}");
    }
    let tree_is_blob = world.commit(blob, &[main], 1_700_000_001);
    let parent_is_tree = world.commit(lib, &[lib], 1_700_000_001);
    for commit in [tree_is_blob, parent_is_tree] {
        let commands = [("refs/x/new".to_owned(), null(), commit)];
        let ours = world.ours(&commands, &[commit]).0;
        assert_eq!(ours.refusals, [MISSING]);
        assert_eq!(ours.refusals, world.gits(&commands, &[commit]).refusals);
    }
}

#[test]
fn a_malformed_tree_is_refused() {
    let Base { mut world, main, .. } = base();
    for content in [&b"100644 x\0abc"[..], b"x", b"100644 \0aaaaaaaaaaaaaaaaaaaa", b"9 x\0aaaaaaaaaaaaaaaaaaaa"] {
        let tree = world.add(Kind::Tree, content.to_vec());
        let commit = world.commit(tree, &[main], 1_700_000_001);
        let commands = [("refs/x/new".to_owned(), null(), commit)];
        let ours = world.ours(&commands, &[commit, tree]).0;
        assert_eq!(ours.refusals, [MISSING]);
        assert_eq!(ours.refusals, world.gits(&commands, &[commit, tree]).refusals);
    }
}

#[test]
fn only_the_command_with_the_hole_is_refused() {
    let Base { mut world, main, root, .. } = base();
    let blob = world.blob("absent");
    let tree = world.tree(&[("100644", "absent", blob)]);
    let bad = world.commit(tree, &[main], 1_700_000_001);
    let good = world.commit(root, &[main], 1_700_000_002);
    let commands = [
        ("refs/heads/main".to_owned(), main, good),
        ("refs/heads/bad".to_owned(), null(), bad),
        ("refs/heads/same".to_owned(), null(), main),
    ];
    let ours = world.ours(&commands, &[bad, tree, good]).0;
    assert_eq!(ours, world.gits(&commands, &[bad, tree, good]));
    assert_eq!(ours.refusals, ["", MISSING, ""]);
}

#[test]
fn a_broken_ref_hurts_no_push_and_proves_nothing() {
    let Base { mut world, main, root, .. } = base();
    let server = world.server();
    let absent = world.commit(root, &[main], 1_700_000_001);
    world.set_ref(&server, "refs/heads/broken", absent);
    let new = world.commit(root, &[main], 1_700_000_002);
    // git refuses every push here.
    assert!(world.ours(&[("refs/heads/new".into(), null(), new)], &[new]).0.is_clean());
    let commands = [("refs/heads/new".to_owned(), null(), absent)];
    assert_eq!(world.ours(&commands, &[]).0.refusals, [MISSING]);
    let above = world.commit(root, &[absent], 1_700_000_003);
    assert_eq!(world.ours(&[("refs/heads/new".into(), null(), above)], &[above]).0.refusals, [MISSING]);
    // Nor does what the client says that a ref has.
    assert_eq!(world.ours(&[("refs/heads/broken".into(), absent, above)], &[above]).0.refusals, [MISSING]);
}

#[test]
fn the_refs_of_an_alternate_count_and_hidden_ones_do_not() {
    let Base { mut world, main, root, .. } = base();
    let alternate = world.alternate();
    let tree = world.tree(&[]);
    let absent = world.blob("absent");
    let holed = world.tree(&[("100644", "absent", absent)]);
    let there = world.commit(holed, &[main], 1_700_000_001);
    world.store(&alternate, [there, holed]);
    let new = world.commit(holed, &[there], 1_700_000_002);
    assert_eq!(verdict(&world, new, &[new]).refusals, [MISSING]);
    world.set_ref(&alternate, "refs/heads/there", there);
    assert!(verdict(&world, new, &[new]).is_clean());

    fs::remove_file(alternate.join("refs/heads/there")).unwrap();
    world.set_ref(&world.server(), "refs/hid/there", there);
    assert!(verdict(&world, new, &[new]).is_clean());
    world.hidden.push("refs/hid".into());
    let commands = [("refs/heads/new".to_owned(), null(), new)];
    assert_eq!(world.ours(&commands, &[new]).0.refusals, [MISSING]);
    // HEAD counts, hidden or not.
    fs::write(world.server().join("HEAD"), "ref: refs/hid/there\n").unwrap();
    assert!(world.ours(&commands, &[new]).0.is_clean());
    let whole = world.commit(root, &[main], 1_700_000_001);
    world.store(&world.server(), [whole, tree]);
    world.set_ref(&world.server(), "refs/hid/there", whole);
    assert!(verdict(&world, whole, &[]).is_clean());
}

#[test]
fn history_ends_where_the_repository_is_shallow() {
    let Base { mut world, main, root, .. } = base();
    let absent = world.commit(root, &[], 1_600_000_000);
    let cut = world.commit(root, &[absent], 1_600_000_001);
    let new = world.commit(root, &[cut], 1_700_000_002);
    world.store(&world.server(), [cut]);
    assert_eq!(verdict(&world, new, &[new]).refusals, [MISSING]);
    world.shallow(&[cut]);
    assert!(verdict(&world, new, &[new]).is_clean());
    assert!(verdict(&world, main, &[]).is_clean());
}

#[test]
fn a_ref_that_needs_a_root_of_a_shallow_client_is_refused() {
    let Base { mut world, main, root, .. } = base();
    let absent = world.commit(root, &[main], 1_700_000_001);
    let cut = world.commit(root, &[absent], 1_700_000_002);
    let new = world.commit(root, &[cut], 1_700_000_003);
    let other = world.commit(root, &[main], 1_700_000_004);
    world.client_shallow = vec![cut];
    let commands = [("refs/heads/new".to_owned(), null(), new), ("refs/heads/other".to_owned(), null(), other)];
    let ours = world.ours(&commands, &[cut, new, other]).0;
    assert_eq!(ours.refusals, ["shallow update not allowed", ""]);
    assert_eq!(ours, world.gits(&commands, &[cut, new, other]));
    // One that the repository has, history and all, is no root that it needs.
    world.client_shallow = vec![main];
    assert!(verdict(&world, other, &[other]).is_clean());
}

#[test]
fn what_a_promisor_owes_is_not_missed() {
    let mut world = World::new();
    let (owed, absent) = (world.blob("owed"), world.blob("absent"));
    let root = world.tree(&[("100644", "owed", owed)]);
    let main = world.commit(root, &[], 1_700_000_000);
    world.promise(&[main, root]);
    world.set_ref(&world.server(), "refs/heads/main", main);
    let tree = world.tree(&[("100644", "moved", owed)]);
    let new = world.commit(tree, &[main], 1_700_000_001);
    assert!(verdict(&world, new, &[new, tree]).is_clean());
    let tree = world.tree(&[("100644", "moved", owed), ("100644", "z", absent)]);
    let new = world.commit(tree, &[main], 1_700_000_001);
    assert_eq!(verdict(&world, new, &[new, tree]).refusals, [MISSING]);
}

#[test]
fn depth_and_width_need_no_stack() {
    let Base { mut world, main, .. } = base();
    let mut brought = Vec::new();
    let blob = world.blob("one");
    // Not the empty one, which is everywhere.
    let mut tree = world.tree(&[("100644", "end", blob)]);
    brought.push(tree);
    for _ in 0..10_000 {
        tree = world.tree(&[("40000", "d", tree)]);
        brought.push(tree);
    }
    let names: Vec<String> = (0..100_000).map(|number| format!("{number:06}")).collect();
    let wide = world.tree(&names.iter().map(|name| ("100644", name.as_str(), blob)).collect::<Vec<_>>());
    let parents: Vec<_> = (0..1000).map(|number| world.commit(wide, &[main], 1_700_000_001 + number)).collect();
    let merge = world.commit(tree, &parents, 1_700_010_000);
    brought.extend([blob, wide, merge]);
    brought.extend(&parents);
    let mut tag = world.tag(merge, Kind::Commit);
    brought.push(tag);
    for _ in 0..10_000 {
        tag = world.tag(tag, Kind::Tag);
        brought.push(tag);
    }
    let commands = [("refs/tags/deep".to_owned(), null(), tag)];
    assert!(world.ours(&commands, &brought).0.is_clean());
    let end = brought.remove(0);
    assert_eq!(world.ours(&commands, &brought).0.refusals, [MISSING], "without {end}");
}

/// How many objects are looked at for a push of one commit that changes `0/0` of `width` directories of `width` files,
/// onto a history of `length` commits.
fn cost(width: usize, length: u64) -> u64 {
    let mut world = World::new();
    let server = world.server();
    let names: Vec<String> = (0..width).map(|number| format!("{number:04}")).collect();
    let dirs: Vec<ObjectId> = (0..width)
        .map(|dir| {
            let blobs: Vec<_> = (0..width).map(|file| world.blob(&format!("{dir} {file}"))).collect();
            world.tree(&names.iter().zip(blobs).map(|(name, id)| ("100644", name.as_str(), id)).collect::<Vec<_>>())
        })
        .collect();
    let entries = |first: ObjectId| -> Vec<(&str, &str, ObjectId)> {
        let dirs = [first].into_iter().chain(dirs[1..].iter().copied());
        names.iter().map(String::as_str).zip(dirs).map(|(name, id)| ("40000", name, id)).collect()
    };
    let root = world.tree(&entries(dirs[0]));
    let mut tip = world.commit(root, &[], 1_600_000_000);
    for number in 1..length {
        tip = world.commit(root, &[tip], 1_600_000_000 + number);
    }
    world.store(&server, world.ids());
    world.set_ref(&server, "refs/heads/main", tip);
    let blob = world.blob("new");
    let changed = world.tree(&[("100644", "0000", blob)]);
    let new_root = world.tree(&entries(changed));
    let new = world.commit(new_root, &[tip], 1_700_000_000);
    let (verdict, count) = world.ours(&[("refs/heads/main".into(), tip, new)], &[blob, changed, new_root, new]);
    assert!(verdict.is_clean());
    count
}

#[test]
fn the_cost_of_a_push_is_what_it_brings() {
    assert_eq!(cost(5, 3), cost(30, 200));
    assert!(cost(5, 3) < 10);
}
