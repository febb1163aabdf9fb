//! Which commits come before which, with clocks that may be wrong, with and without a commit-graph.

use std::process::Command;

use balanced_receive_pack::objects::{ancestry::is_ancestor, database::Database, history::History, shallow::Shallow};
use gix::ObjectId;

use crate::{
    support::dice::Dice,
    world::{World, run},
};

#[test]
fn a_commit_is_an_ancestor_if_parents_lead_to_it() {
    for seed in 1..13 {
        let mut dice = Dice(seed);
        let mut world = World::new();
        let tree = world.tree(&[]);
        let mut commits: Vec<ObjectId> = Vec::new();
        for number in 0..25 {
            let mut parents: Vec<_> = (0..dice.roll(3)).filter(|_| number > 0).map(|_| dice.pick(&commits)).collect();
            parents.dedup();
            let seconds = if dice.one_in(4) { dice.roll(2_000_000_000) } else { 1_700_000_000 + number };
            commits.push(world.commit(tree, &parents, seconds as u64));
        }
        let server = world.server();
        world.store(&server, world.ids());
        for (number, id) in commits.iter().enumerate().take(15) {
            world.set_ref(&server, &format!("refs/heads/r{number}"), *id);
        }
        if dice.one_in(2) {
            run(Command::new("git")
                .args(["commit-graph", "write", "--reachable"])
                .current_dir(&server)
                .env("GIT_DIR", "."));
        }
        let repository = world.repository();
        let database = Database::open(&repository).unwrap();
        let shallow = Shallow::default();
        let history = History::new(&repository, &database, &shallow);
        for descendant in &commits {
            let reached = world.closure(*descendant, &|_| false);
            for ancestor in &commits {
                let expected = reached.contains(ancestor);
                assert_eq!(is_ancestor(&history, *ancestor, *descendant).unwrap(), expected, "seed {seed}");
            }
        }
        assert!(is_ancestor(&history, tree, commits[0]).is_err());
    }
}
