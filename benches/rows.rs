//! The rows of the table: what is measured, and what the aim is.

use anyhow::Result;

use crate::{generate::Store, measure::Case, requests::Update};

/// One line of the benchmark.
pub struct Row {
    pub name: &'static str,
    /// The ratio of wall times, ours to git's, that is aimed at, if one is.
    pub aim: Option<f64>,
    pub prepare: fn(&Store) -> Result<Case>,
    /// What this program is compared with doing, where it is not git with the same case.
    pub against: Option<fn(&Store) -> Result<Case>>,
}

impl Row {
    /// True if the instructions of one run are worth their time under valgrind, and repeat.
    pub fn is_counted(&self) -> bool {
        ![INDEX, CHECK, CREATE_EACH, CREATE_SYNCED, ONE_BY_ONE, AT_ONCE].contains(&self.name)
    }
}

const INDEX: &str = "index a pack of 400,000 objects";
const CHECK: &str = "the pack again with `receive.fsckObjects`";
const CREATE_EACH: &str = "create 10,000 refs, not atomic";
const CREATE_SYNCED: &str = "create 10,000 refs with `core.fsync=committed`";
const ONE_BY_ONE: &str = "200 pushes, one after the other, of one commit each";
const AT_ONCE: &str = "16 pushes at once of one commit each into one repository";

/// Says that the objects were taken in.
pub const UNPACKED: &str = "unpack ok";

/// Every row, in the order of the table.
pub fn all() -> Vec<Row> {
    vec![
        beside_git("advertise 500,000 packed refs", 0.15, advertise_packed),
        beside_git("advertise 20,000 loose refs on top of 100,000 packed", 0.5, advertise_loose),
        beside_git("one-commit push, 500,000 refs in the repository", 0.02, commit_among_refs),
        beside_git("one-commit push, small repository, no hooks", 0.15, commit_small),
        beside_git(
            "one-commit push, small repository, pre-receive, update and post-receive hooks (shell)",
            0.5,
            commit_with_hooks,
        ),
        beside_git("one-commit push, tree of 300,000 files", 0.05, commit_large_tree),
        beside_git("create 10,000 refs, atomic", 0.15, create_atomic),
        beside_git(CREATE_EACH, 0.2, create_each),
        beside_git(CREATE_SYNCED, 0.03, create_synced),
        beside_git("unpack 99 objects loose", 0.3, unpack_loose),
        beside_git(INDEX, 0.45, index_pack),
        beside_git(CHECK, 0.5, check_pack),
        beside_git(ONE_BY_ONE, 0.15, one_after_the_other),
        beside_git(AT_ONCE, 0.3, at_once),
        Row {
            name: "two refs in one atomic push, 500,000 refs in the repository",
            aim: None,
            prepare: two_among_refs,
            against: None,
        },
        Row {
            name: "one-commit push with a vote; for git read: the same hook as pre-receive, this program too",
            aim: None,
            prepare: commit_with_vote,
            against: Some(commit_with_pre_receive),
        },
        // One by one git 2.47 writes packed-refs anew for each, which takes it more than ten minutes. Last, for ext4 is slow to make
        // files for minutes after so many locks were removed.
        beside_git("delete 10,000 of 500,000 packed refs, atomic", 0.5, delete_packed),
    ]
}

fn beside_git(name: &'static str, aim: f64, prepare: fn(&Store) -> Result<Case>) -> Row {
    Row { name, aim: Some(aim), prepare, against: None }
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
    store.case(
        "delete-atomic",
        |seed| seed.packed_refs(500_000),
        |seed| seed.delete_refs(500_000, 50),
        "ok refs/heads/",
    )
}

fn unpack_loose(store: &Store) -> Result<Case> {
    store.case("unpack-99", |_| Ok(()), |seed| seed.commit_of_files(97), UNPACKED)
}

fn index_pack(store: &Store) -> Result<Case> {
    store.case("index-400k", |_| Ok(()), |seed| seed.history(400_000), UNPACKED)
}

fn check_pack(store: &Store) -> Result<Case> {
    store.case(
        "check-400k",
        |seed| seed.configure("receive.fsckObjects", "true"),
        |seed| seed.history(400_000),
        UNPACKED,
    )
}

fn two_among_refs(store: &Store) -> Result<Case> {
    store.case(
        "two-500k",
        |seed| seed.packed_refs(500_000),
        |seed| seed.update_refs(&[0, 250_000], Update::Atomic),
        UNPACKED,
    )
}

/// A hook as long as they are where it matters: it reads what is to change, and looks at each name.
const HOOK: &str = "#!/bin/sh
count=0
while read -r old new name; do
    case $name in
    refs/heads/* | refs/tags/*) count=$((count + 1)) ;;
    *) echo \"$name is not ours\" >&2; exit 1 ;;
    esac
done
[ \"$count\" -gt 0 ] || exit 1
exit 0
";

fn commit_with_vote(store: &Store) -> Result<Case> {
    store.case(
        "commit-vote",
        |seed| {
            seed.configure("receive.balancedAtomic", "true")?;
            seed.hook("balanced_update", HOOK)
        },
        |seed| seed.one_commit(),
        UNPACKED,
    )
}

fn commit_with_pre_receive(store: &Store) -> Result<Case> {
    store.case("commit-pre-receive", |seed| seed.hook("pre-receive", HOOK), |seed| seed.one_commit(), UNPACKED)
}
