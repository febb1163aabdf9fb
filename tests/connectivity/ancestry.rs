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

#[test]
fn a_commit_graph_that_names_commits_it_does_not_have_is_not_believed() {
    let mut world = World::new();
    let tree = world.tree(&[]);
    let mut commits: Vec<ObjectId> = Vec::new();
    for number in 0..5 {
        let parents: Vec<_> = commits.last().copied().into_iter().collect();
        commits.push(world.commit(tree, &parents, 1_700_000_000 + number));
    }
    let server = world.server();
    world.store(&server, world.ids());
    world.set_ref(&server, "refs/heads/main", commits[4]);
    run(Command::new("git").args(["commit-graph", "write", "--reachable"]).current_dir(&server).env("GIT_DIR", "."));
    let path = server.join("objects/info/commit-graph");
    let mut graph = std::fs::read(&path).unwrap();
    let entry = graph.windows(4).position(|name| name == b"CDAT").unwrap();
    let start = u64::from_be_bytes(*graph[entry + 4..].first_chunk().unwrap()) as usize;
    for record in graph[start..].chunks_mut(20 + 16).take(commits.len()) {
        // The first parent, where there is one.
        if record[20..24] != 0x7000_0000_u32.to_be_bytes() {
            record[20..24].copy_from_slice(&0x12_3456_u32.to_be_bytes());
        }
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, graph).unwrap();
    let repository = world.repository();
    let database = Database::open(&repository).unwrap();
    let shallow = Shallow::default();
    let history = History::new(&repository, &database, &shallow);
    assert!(history.recorded(&commits[0]).is_some() && history.recorded(&commits[4]).is_none());
    assert_eq!(history.recall(&commits[4]).unwrap().parents[0].id, commits[3]);
    assert!(is_ancestor(&history, commits[0], commits[4]).unwrap());
    assert!(!is_ancestor(&history, commits[4], commits[0]).unwrap());
}
