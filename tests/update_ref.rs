//! Refs that git locks and writes for us: sessions that end badly, and files where case does not count.

pub mod support;

use std::{fs, path::PathBuf, process::Child};

use nix::{sys::signal::Signal, sys::stat::Mode, unistd::Pid};
use support::{
    balanced::git_session_of,
    observe::Outcome,
    ours,
    push::{Push, push_to},
    server::{self, pushed},
};

/// A push into a reftable whose reference-transaction hook, when all is locked, says so and waits for a word.
fn halted_push() -> Push {
    let script = "test $1 = prepared || exit 0; echo >../locked; read word <../go; exit 0";
    let push = push_to("sha1", "reftable").hook("reference-transaction", script);
    for fifo in ["locked", "go"] {
        nix::unistd::mkfifo(&push.scene.path(fifo), Mode::S_IRWXU).expect("a fifo");
    }
    push.atomic().update("refs/heads/main", "main", "next").create("refs/heads/new", "side")
}

/// The program, with git holding the lock of all refs.
fn start_and_halt(push: &Push) -> Child {
    let request = push.bytes();
    let mut child = server::start(ours(), push);
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), &request).expect("the program reads");
    fs::read(push.scene.path("locked")).expect("the hook speaks");
    assert!(lock(push).exists());
    child
}

fn lock(push: &Push) -> PathBuf {
    push.scene.path("server.git/reftable/tables.list.lock")
}

#[test]
fn when_the_pusher_dies_git_lets_go_of_the_refs() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let push = halted_push();
        let before = Outcome::found_in(&push.scene);
        let mut child = start_and_halt(&push);
        nix::sys::signal::kill(Pid::from_raw(child.id().cast_signed()), signal).expect("a signal");
        child.wait().expect("it ends");
        // The hook outlives it; git does not, and takes its lock along.
        let started = std::time::Instant::now();
        while lock(&push).exists() {
            assert!(started.elapsed().as_secs() < 60, "the lock stays after {signal}");
            std::thread::yield_now();
        }
        fs::write(push.scene.path("go"), "\n").expect("the hook listens");
        assert_eq!(Outcome::found_in(&push.scene).refs, before.refs, "{signal}");
        fs::remove_file(push.scene.path("server.git/hooks/reference-transaction")).expect("a hook");
        let (accepted, said) = server::git_push(&push.scene, &["../server.git", "next:main", "side:new"]);
        assert!(accepted, "{said}");
    }
}

#[test]
fn when_git_dies_nothing_has_changed_and_the_report_says_so() {
    let push = halted_push();
    let before = Outcome::found_in(&push.scene);
    let child = start_and_halt(&push);
    nix::sys::signal::kill(git_session_of(Pid::from_raw(child.id().cast_signed())), Signal::SIGKILL).expect("a signal");
    fs::write(push.scene.path("go"), "\n").expect("the hook listens");
    let output = child.wait_with_output().expect("it ends");
    let after = Outcome::of(&push, &push.bytes(), &output);
    let refused = "atomic transaction failed";
    assert_eq!(
        after.report[1..3],
        [format!("ng refs/heads/main {refused}"), format!("ng refs/heads/new {refused}")],
        "{after:#?}"
    );
    assert!(after.told.contains("'git update-ref' ended: signal: 9"), "{after:#?}");
    assert_eq!(after.refs, before.refs);
}

#[test]
fn a_lock_that_another_holds_refuses_all_and_stays() {
    let push = push_to("sha1", "reftable").update("refs/heads/main", "main", "next").create("refs/heads/new", "side");
    fs::write(lock(&push), "").expect("a lock");
    let after = pushed(&push);
    let refused = "failed to update ref";
    assert_eq!(
        after.report[1..3],
        [format!("ng refs/heads/main {refused}"), format!("ng refs/heads/new {refused}")],
        "{after:#?}"
    );
    assert!(after.told.contains("error: cannot lock references\n"), "{after:#?}");
    assert!(lock(&push).exists(), "it is not ours to remove");
    fs::remove_file(lock(&push)).expect("it is there");
    assert_eq!(pushed(&push).report[1..3], ["ok refs/heads/main", "ok refs/heads/new"]);
}

#[test]
fn a_work_tree_that_cannot_follow_takes_its_branch_alone_out_of_the_push() {
    let push = push_to("sha1", "reftable").work_tree().config("receive.denyCurrentBranch", "updateInstead");
    let push = push.hook("push-to-checkout", "exit 1").config("core.logAllRefUpdates", "true");
    let push = push.update("refs/heads/main", "main", "next").create("refs/heads/new", "side");
    let after = pushed(&push);
    let expected = ["ng refs/heads/main push-to-checkout hook declined", "ok refs/heads/new"];
    assert_eq!(after.report[1..3], expected, "{after:#?}");
    assert!(after.refs.contains(&format!("refs/heads/main {} ", push.id("main"))), "{after:#?}");
    assert!(after.logs.iter().any(|line| line.contains("refs/heads/new: ") && line.ends_with(" push")), "{after:#?}");
}

/// What hooks saw, without `preparing`, of which git 2.47 does not tell.
fn as_newer(mut outcome: Outcome) -> Outcome {
    let blocks = outcome.seen.split_inclusive("== end\n");
    outcome.seen = blocks.filter(|block| !block.starts_with("== preparing\n")).collect();
    outcome
}

/// Each story is a test of its own name: told to both programs, it must have the same end, where case does not count.
macro_rules! alike {
    ($($name:ident: |$push:ident| $story:expr;)*) => {$(
        #[test]
        fn $name() {
            let $push = push_to("sha1", "files").config("core.ignoreCase", "true");
            let push: Push = $story;
            let (theirs, mine) = server::pushed_to_both(&push);
            let (theirs, mine) = (as_newer(theirs), as_newer(mine));
            let differences = mine.differences(&theirs, push.own_words);
            assert!(differences.is_empty(), "they differ in\n{differences}\ngit: {theirs:#?}");
        }
    )*};
}

alike! {
    refs_are_created_updated_and_deleted: |push| push.config("core.logAllRefUpdates", "true").create("refs/heads/new", "side").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic").delete("refs/heads/old", "old").create("refs/tags/v2", "v2");
    refs_are_created_updated_and_deleted_at_once: |push| push.atomic().create("refs/heads/new", "side").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic").delete("refs/heads/old", "old").create("refs/tags/v2", "v2");
    at_once_with_a_stale_value: |push| push.atomic().create("refs/heads/new", "next").update("refs/heads/main", "old", "next");
    an_alias_that_dangles: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/absent"]).create("refs/heads/alias", "next").create("refs/heads/absent", "next");
    a_deletion_makes_room: |push| push.delete("refs/heads/topic", "topic").create("refs/heads/topic/x", "next");
    the_work_tree_is_updated: |push| push.work_tree().config("core.ignoreCase", "true").config("receive.denyCurrentBranch", "updateInstead").update("refs/heads/main", "main", "next");
    what_the_reference_transaction_hook_hears: |push| push.hook("reference-transaction", "{ echo \"== $1\"; cat; echo '== end'; } >>../seen").atomic().delete("refs/heads/old", "old").delete("refs/heads/topic", "topic").create("refs/heads/new", "next");
    what_the_reference_transaction_hook_hears_of_loose_refs: |push| push.server(&["update-ref", "refs/heads/loose", "main"]).hook("reference-transaction", "{ echo \"== $1\"; cat; echo '== end'; } >>../seen").delete("refs/heads/loose", "main").create("refs/heads/new", "next");
}
