//! The rows of the table: what is measured, and what the aim is.

use anyhow::Result;

use crate::{
    generate::{Store, Update},
    measure::Case,
};

/// One line of the benchmark.
pub struct Row {
    pub name: &'static str,
    /// The ratio of wall times, ours to git's, that is aimed at.
    pub aim: f64,
    pub prepare: fn(&Store) -> Result<Case>,
}

impl Row {
    /// True if the instructions of one run are worth their time under valgrind, and repeat.
    pub fn is_counted(&self) -> bool {
        ![INDEX, ONE_BY_ONE, AT_ONCE].contains(&self.name)
    }
}

const INDEX: &str = "index a pack of 400,000 objects";
const ONE_BY_ONE: &str = "200 pushes, one after the other, of one commit each";
const AT_ONCE: &str = "16 pushes at once of one commit each into one repository";

const UNPACKED: &str = "unpack ok";

/// Every row, in the order of the table.
pub fn all() -> Vec<Row> {
    vec![
        Row { name: "advertise 500,000 packed refs", aim: 0.15, prepare: advertise_packed },
        Row { name: "advertise 20,000 loose refs on top of 100,000 packed", aim: 0.5, prepare: advertise_loose },
        Row { name: "one-commit push, 500,000 refs in the repository", aim: 0.02, prepare: commit_among_refs },
        Row { name: "one-commit push, small repository, no hooks", aim: 0.15, prepare: commit_small },
        Row {
            name: "one-commit push, small repository, pre-receive, update and post-receive hooks (shell)",
            aim: 0.5,
            prepare: commit_with_hooks,
        },
        Row { name: "one-commit push, tree of 300,000 files", aim: 0.05, prepare: commit_large_tree },
        Row { name: "create 10,000 refs, atomic", aim: 0.15, prepare: create_atomic },
        Row { name: "create 10,000 refs, not atomic", aim: 0.2, prepare: create_each },
        Row { name: "create 10,000 refs with `core.fsync=committed`", aim: 0.03, prepare: create_synced },
        Row { name: "delete 10,000 of 500,000 packed refs", aim: 0.5, prepare: delete_packed },
        Row { name: "unpack 99 objects loose", aim: 0.3, prepare: unpack_loose },
        Row { name: INDEX, aim: 0.45, prepare: index_pack },
        Row { name: ONE_BY_ONE, aim: 0.15, prepare: one_after_the_other },
        Row { name: AT_ONCE, aim: 0.3, prepare: at_once },
    ]
}

fn advertise_packed(store: &Store) -> Result<Case> {
    store.case("refs-500k", |seed| seed.packed_refs(500_000), |_| Ok(vec![]), "refs/heads/")
}

fn advertise_loose(store: &Store) -> Result<Case> {
    store.case(
        "refs-loose",
        |seed| {
            seed.packed_refs(100_000)?;
            seed.loose_refs(20_000)
        },
        |_| Ok(vec![]),
        "refs/heads/",
    )
}

fn commit_among_refs(store: &Store) -> Result<Case> {
    store.case("commit-500k", |seed| seed.packed_refs(500_000), |seed| seed.one_commit(), UNPACKED)
}

fn commit_small(store: &Store) -> Result<Case> {
    store.case("commit-small", |_| Ok(()), |seed| seed.one_commit(), UNPACKED)
}

fn commit_with_hooks(store: &Store) -> Result<Case> {
    store.case(
        "commit-hooks",
        |seed| seed.hooks(&["pre-receive", "update", "post-receive"]),
        |seed| seed.one_commit(),
        UNPACKED,
    )
}

fn commit_large_tree(store: &Store) -> Result<Case> {
    store.case("commit-tree", |seed| seed.large_tree(300_000), |seed| seed.one_commit(), UNPACKED)
}

fn create_atomic(store: &Store) -> Result<Case> {
    store.case("create-atomic", |_| Ok(()), |seed| seed.create_refs(10_000, Update::Atomic), UNPACKED)
}

fn create_each(store: &Store) -> Result<Case> {
    store.case("create-each", |_| Ok(()), |seed| seed.create_refs(10_000, Update::Each), UNPACKED)
}

fn create_synced(store: &Store) -> Result<Case> {
    store.case(
        "create-synced",
        |seed| seed.configure("core.fsync", "committed"),
        |seed| seed.create_refs(10_000, Update::Each),
        UNPACKED,
    )
}

fn one_after_the_other(store: &Store) -> Result<Case> {
    store.case_of_many("one-by-one", |_| Ok(()), |seed| seed.one_after_the_other(200), false, UNPACKED)
}

fn at_once(store: &Store) -> Result<Case> {
    store.case_of_many("at-once", |_| Ok(()), |seed| seed.side_by_side(16), true, UNPACKED)
}

fn delete_packed(store: &Store) -> Result<Case> {
    store.case("delete-500k", |seed| seed.packed_refs(500_000), |seed| seed.delete_refs(500_000, 50), UNPACKED)
}

fn unpack_loose(store: &Store) -> Result<Case> {
    store.case("unpack-99", |_| Ok(()), |seed| seed.commit_of_files(97), UNPACKED)
}

fn index_pack(store: &Store) -> Result<Case> {
    store.case("index-400k", |_| Ok(()), |seed| seed.history(400_000), UNPACKED)
}
