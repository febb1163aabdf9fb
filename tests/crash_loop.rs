//! The machine may die at any moment: a push, and recovery itself, killed at each system call that changes a file.
//!
//! strace kills the program right before such a call, so that all the states in between are met. By default only some of the
//! points are tried; with `CRASH_LOOP=all` in the environment it is every one.

pub mod support;

use std::path::Path;

use support::{
    balanced::{Balanced, Pushed},
    optional_program, ours,
    story::{
        CUT_OFF, Format, LOOSE, PACKED, Point, SIGNED, Story, check_settles, chosen, outcomes, points, scene, traced,
        try_all,
    },
};

/// The system calls that change files. What openat(2) creates is seen at the next of them.
const CALLS: &str = "write,pwrite64,writev,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,\
                     mkdirat,rmdir,fsync,fdatasync,syncfs,ftruncate,fallocate,utimensat,chmod,fchmod,fchmodat,flock,\
                     copy_file_range";

fn kill_at(strace: &Path, point: &Point, program: &str) -> String {
    let injection = format!("-o /dev/null -e inject={}:signal=KILL:when={}", point.call, point.count);
    traced(strace, &injection, program)
}

/// Refs that git changes, and that this program takes up again.
const BY_GIT: [Format; 3] =
    [Format("sha1", "reftable", false), Format("sha256", "reftable", false), Format("sha1", "files", true)];

/// How often the journal is synced by the time that the decision is on disk.
fn syncs_up_to_decision(format: Format) -> usize {
    // The locks that git has taken are known later than ours.
    if format.is_by_git() { 3 } else { 2 }
}

/// Kill the push at each point, and let recovery have its way.
fn kill_pushes(story: Story) {
    kill_pushes_that_meet("", story);
}

/// The same where strace does something else as well.
fn kill_pushes_that_meet(what: &str, story: Story) {
    let program = format!("{what} {}", ours().display());
    let Some(strace) = optional_program("strace", "strace") else { return };
    let make = || scene(story);
    let balanced = make();
    let (before, after) = outcomes(&balanced, story);
    let points = points(&strace, CALLS, balanced.path("log"), &program, |program| {
        assert_eq!(Pushed::of(balanced.start_push_through(program, &story.refs)).accepted, what.is_empty());
    });
    drop(balanced);
    try_all(&chosen(points), make, |balanced, number, point| {
        std::fs::write(balanced.path("seen.doubt"), if number % 2 == 0 { "yes" } else { "no" }).unwrap();
        let program = kill_at(&strace, point, &program);
        Pushed::of(balanced.start_push_through(&program, &story.refs));
        check_settles(balanced, story.format, &format!("{point:?}"), "", &before, &after);
    });
}

#[test]
fn a_push_killed_anywhere_is_all_old_or_all_new() {
    kill_pushes(PACKED);
}

#[test]
fn so_is_one_whose_objects_are_loose() {
    kill_pushes(LOOSE);
}

#[test]
fn so_is_one_that_brings_a_root_of_a_shallow_history() {
    kill_pushes(CUT_OFF);
}

#[test]
fn so_is_one_that_is_signed_and_says_why() {
    kill_pushes(SIGNED);
}

#[test]
fn so_is_one_whose_vote_there_is_no_room_to_write_down() {
    // Behind the room for packed-refs.
    kill_pushes_that_meet("-e inject=fallocate:error=ENOSPC:when=2+", CUT_OFF);
}

#[test]
fn so_is_one_whose_refs_are_kept_otherwise() {
    for format in [Format("sha256", "files", false)].into_iter().chain(BY_GIT) {
        kill_pushes(Story { format, ..LOOSE });
    }
    kill_pushes(Story { format: BY_GIT[0], ..CUT_OFF });
}

/// Kill the recovery of a push that was killed `late` or early in making its decision last, at each point; and let the next
/// recovery have its way.
fn kill_recoveries(story: Story, late: bool, doubt: &str) {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let program = ours().display().to_string();
    let balanced = scene(story);
    let pushed = points(&strace, CALLS, balanced.path("log"), &program, |program| {
        Pushed::of(balanced.start_push_through(program, &story.refs)).expect_yes();
    });
    // The journal is synced so before the vote, and so again when that was a yes.
    let count = syncs_up_to_decision(story.format);
    let synced = pushed.iter().position(|point| point.call == "fdatasync" && point.count == count).unwrap();
    let death = &pushed[if late { synced } else { synced - 1 }];
    assert!(late || death.call == "write");
    // A copy of what a dead push left would be another directory, which is another matter.
    let die = |balanced: &Balanced| {
        std::fs::write(balanced.path("seen.doubt"), doubt).unwrap();
        let killed = kill_at(&strace, death, &program);
        assert!(!Pushed::of(balanced.start_push_through(&killed, &story.refs)).accepted);
    };
    let make = || scene(story);
    let balanced = make();
    let (before, after) = outcomes(&balanced, story);
    let recover = |balanced: &Balanced, program: &str| {
        let line = format!("exec {program} --recover server.git");
        balanced.scene.command(".", "sh").args(["-c", &line]).output().expect("sh runs")
    };
    die(&balanced);
    let points = points(&strace, CALLS, balanced.path("log"), &program, |program| {
        assert!(recover(&balanced, program).status.success());
    });
    drop(balanced);
    try_all(&chosen(points), make, |balanced, _, point| {
        die(balanced);
        recover(balanced, &kill_at(&strace, point, &program));
        check_settles(balanced, story.format, &format!("{point:?}"), "", &before, &after);
    });
}

#[test]
fn a_recovery_that_goes_forward_is_finished_by_the_next() {
    kill_recoveries(PACKED, true, "yes");
}

#[test]
fn so_is_one_that_goes_forward_with_a_root_of_a_shallow_history() {
    kill_recoveries(CUT_OFF, true, "yes");
}

#[test]
fn so_is_one_that_asks_what_became_of_a_vote() {
    for doubt in ["yes", "no"] {
        kill_recoveries(PACKED, false, doubt);
        kill_recoveries(SIGNED, false, doubt);
    }
}

#[test]
fn so_are_those_of_refs_that_are_kept_otherwise() {
    for format in BY_GIT {
        kill_recoveries(Story { format, ..PACKED }, true, "yes");
        for doubt in ["yes", "no"] {
            kill_recoveries(Story { format, ..PACKED }, false, doubt);
        }
    }
    kill_recoveries(Story { format: BY_GIT[0], ..CUT_OFF }, true, "yes");
}
