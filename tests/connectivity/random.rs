//! Random histories with random holes: the same verdict from both programs.

use std::collections::BTreeSet;

use gix::{
    ObjectId,
    hash::Kind::{Sha1, Sha256},
    objs::Kind,
};

use crate::{support::dice::Dice, world::World};

/// Two levels of trees, as names and blobs.
#[derive(Clone, Default)]
struct Files(std::collections::BTreeMap<(usize, usize), usize>);

impl Files {
    fn write(&self, world: &mut World) -> ObjectId {
        let names = ["a", "b", "c", "d"];
        let mut root = Vec::new();
        for (place, dir) in ["", "lib", "src"].into_iter().enumerate() {
            let mut entries = Vec::new();
            for (number, name) in names.iter().enumerate() {
                if let Some(text) = self.0.get(&(place, number)) {
                    entries.push(("100644", *name, world.blob(&format!("text {text}"))));
                }
            }
            if dir.is_empty() {
                root = entries;
            } else if !entries.is_empty() {
                let tree = world.tree(&entries);
                root.push(("40000", dir, tree));
            }
        }
        world.tree(&root)
    }

    fn change(&mut self, dice: &mut Dice) {
        for _ in 0..=dice.roll(3) {
            self.0.insert((dice.roll(3), dice.roll(4)), dice.roll(40));
        }
        if dice.one_in(6) {
            // What was below one directory is now below the other.
            for number in 0..4 {
                if let Some(text) = self.0.remove(&(1, number)) {
                    self.0.insert((2, number), text);
                }
            }
        }
    }
}

fn case(hash: gix::hash::Kind, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = World::with(hash);
    let server = world.server();
    let mut commits: Vec<(ObjectId, Files)> = Vec::new();
    let mut seconds = 1_700_000_000;
    for _ in 0..3 + dice.roll(14) {
        let mut parents: Vec<usize> = Vec::new();
        if !commits.is_empty() && !dice.one_in(12) {
            let recent = commits.len().min(4);
            for _ in 0..[1, 1, 1, 2, 2, 3][dice.roll(6)] {
                parents.push(commits.len() - 1 - dice.roll(recent));
            }
            parents.dedup();
        }
        let mut files = parents.first().map(|at| commits[*at].1.clone()).unwrap_or_default();
        if dice.one_in(8) && !commits.is_empty() {
            files = commits[dice.roll(commits.len())].1.clone();
        }
        files.change(&mut dice);
        let tree = files.write(&mut world);
        seconds += [0, 1, 60][dice.roll(3)];
        let parents: Vec<ObjectId> = parents.iter().map(|at| commits[*at].0).collect();
        commits.push((world.commit(tree, &parents, seconds), files));
    }
    let ids: Vec<ObjectId> = commits.iter().map(|(id, _)| *id).collect();
    let mut others = Vec::new();
    for _ in 0..dice.roll(4) {
        let all = world.ids();
        let target = dice.pick(&all);
        others.push(world.tag(target, world.kind(target)));
    }

    // Where the server's history is cut off, and what is there.
    let roots: BTreeSet<ObjectId> = if dice.one_in(6) { [dice.pick(&ids)].into() } else { BTreeSet::new() };
    let is_root = |id| roots.contains(&id);
    let alternate = dice.one_in(5).then(|| world.alternate());
    let mut tips = Vec::new();
    let mut shown = BTreeSet::new();
    for number in 0..dice.roll(5) {
        let all = world.ids();
        let value = match dice.roll(6) {
            0 if !others.is_empty() => dice.pick(&others),
            1 => dice.pick(&all),
            _ => dice.pick(&ids),
        };
        let dir = alternate.as_ref().filter(|_| dice.one_in(3)).unwrap_or(&server);
        let name = match (world.kind(value), dice.one_in(6)) {
            (Kind::Commit, false) => format!("refs/heads/r{number}"),
            (_, false) => format!("refs/x/r{number}"),
            (_, true) => format!("refs/hid/r{number}"),
        };
        world.store(dir, world.closure(value, &is_root));
        world.set_ref(dir, &name, value);
        tips.push(value);
        if dir == &server {
            shown.insert((name, value));
        }
    }
    if !roots.is_empty() {
        world.shallow(&roots.iter().copied().collect::<Vec<_>>());
    }
    let has_hidden = dice.one_in(2);
    if has_hidden {
        world.hidden.push("refs/hid".into());
    }
    // What hangs on nothing, whole or in part.
    for _ in 0..dice.roll(3) {
        let all = world.ids();
        let dangling = dice.pick(&all);
        let kept: Vec<_> = world.closure(dangling, &is_root).into_iter().filter(|_| !dice.one_in(5)).collect();
        world.store(&server, kept);
    }
    // Holes; a ref's own value is not among them, since that makes git refuse every push.
    if dice.one_in(3) {
        let all: Vec<_> = world.ids().into_iter().filter(|id| !tips.contains(id)).collect();
        for _ in 0..=dice.roll(3) {
            let lost = dice.pick(&all);
            world.lose(&server, lost);
            if let Some(alternate) = &alternate {
                world.lose(alternate, lost);
            }
        }
    }

    let mut commands = Vec::new();
    let mut brought = BTreeSet::new();
    for number in 0..=dice.roll(3) {
        let all = world.ids();
        let new = match dice.roll(8) {
            0 => dice.pick(&all),
            1 if !others.is_empty() => dice.pick(&others),
            _ => dice.pick(&ids),
        };
        let known: BTreeSet<ObjectId> = tips.iter().flat_map(|tip| world.closure(*tip, &is_root)).collect();
        brought.extend(world.closure(new, &|_| false).into_iter().filter(|id| !known.contains(id)));
        let null = world.null();
        let replaced = shown.iter().filter(|(name, _)| name.starts_with("refs/heads/")).nth(number).cloned();
        match replaced.filter(|_| world.kind(new) == Kind::Commit && dice.one_in(2)) {
            Some((name, old)) => commands.push((name, old, new)),
            None => commands.push((format!("refs/y/n{number}"), null, new)),
        }
    }
    let mut brought: Vec<ObjectId> = brought.into_iter().collect();
    if !dice.one_in(3) && !brought.is_empty() {
        for _ in 0..=dice.roll(2) {
            let lost = dice.roll(brought.len().max(1));
            if lost < brought.len() {
                brought.remove(lost);
            }
        }
    }
    if dice.one_in(5) {
        // More than was needed.
        let all = world.ids();
        brought.push(dice.pick(&all));
        brought.sort();
        brought.dedup();
    }

    let (ours, _) = world.ours(&commands, &brought);
    let theirs = world.gits(&commands, &brought);
    if has_hidden {
        // To git's check the repository is an alternate of its quarantine, all of whose refs count, hidden ones too.
        for (ours, theirs) in ours.refusals.iter().zip(&theirs.refusals) {
            assert!(theirs.is_empty() || ours == theirs, "{hash}, seed {seed}: {commands:?}\n{ours:?}\n{theirs:?}");
        }
    } else {
        assert_eq!(ours.refusals, theirs.refusals, "{hash}, seed {seed}: {commands:?}\n{ours:?}\n{theirs:?}");
    }
}

/// How many cases each test has; they are spread over several tests so that they run side by side.
const CASES: u64 = 40;

macro_rules! seeds {
    ($($name:ident: $hash:expr, $first:expr;)*) => {$(
        #[test]
        fn $name() {
            ($first..$first + CASES).for_each(|seed| case($hash, seed));
        }
    )*};
}

seeds! {
    random_holes_get_gits_verdict_1: Sha1, 0;
    random_holes_get_gits_verdict_2: Sha1, 1000;
    random_holes_get_gits_verdict_3: Sha1, 2000;
    random_holes_get_gits_verdict_4: Sha1, 3000;
    random_holes_get_gits_verdict_with_sha256_1: Sha256, 4000;
    random_holes_get_gits_verdict_with_sha256_2: Sha256, 5000;
}
