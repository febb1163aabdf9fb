//! The hooks in fixtures/hooks, which balanced_update(5) offers to start from, do what they say.

pub mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{
    balanced::{Balanced, Pushed, eventually, listing, succeed},
    scene::Scene,
};

const EVERY_KIND: [&str; 4] = ["next:main", "side:old", "next2:deep/in/here", ":refs/tags/v1"];

fn with(fixture: &str) -> Balanced {
    let balanced = Balanced::new();
    balanced.fixture(fixture);
    balanced
}

#[test]
fn always_yes_and_always_no_are_what_they_are_called() {
    let balanced = with("always-no");
    let before = balanced.listing();
    let pushed = balanced.push(&EVERY_KIND);
    pushed.expect_no("balanced_update hook declined");
    assert!(pushed.said.contains("remote: this repository takes no pushes"), "{}", pushed.said);
    assert_eq!(balanced.listing(), before);
    balanced.fixture("always-yes");
    balanced.push(&EVERY_KIND).expect_yes();
    balanced.check_clean();
}

#[test]
fn slow_is_slower_than_the_time_limit_if_that_is_short() {
    let balanced = with("slow");
    balanced.config("balanced.pause", "0.1");
    balanced.push(&["side:old"]).expect_yes();
    balanced.config("balanced.pause", "1000");
    balanced.config("receive.balancedTimeout", "1");
    balanced.push(&EVERY_KIND).expect_no("balanced_update hook timed out");
    balanced.check_clean();
}

/// Two repositories that get the same pushes, and the ballots that they share.
fn two_voters() -> [Balanced; 2] {
    let voters = [with("vote-by-hash"), with("vote-by-hash")];
    let ballots = voters[0].path("ballots");
    for (voter, name) in voters.iter().zip(["one", "two"]) {
        voter.config("balanced.ballots", &ballots.display().to_string());
        voter.config("balanced.replica", name);
    }
    voters
}

#[test]
fn replicas_that_are_about_to_do_the_same_agree() {
    let [one, two] = two_voters();
    let pushes = [one.start_push(&EVERY_KIND), two.start_push(&EVERY_KIND)];
    pushes.into_iter().for_each(|push| Pushed::of(push).expect_yes());
    assert_eq!(one.refs(), two.refs());
    one.check_clean();
    two.check_clean();
}

#[test]
fn a_replica_is_not_taken_in_by_what_was_said_of_the_same_push_before() {
    let voters = two_voters();
    let main = voters[0].value("main");
    let push =
        || voters.each_ref().map(|voter| voter.start_push(&["next:main"])).map(|push| Pushed::of(push).expect_yes());
    push();
    for voter in &voters {
        voter.scene.git("server.git", &["update-ref", "refs/heads/main", &main]);
    }
    let [one, _] = &voters;
    for name in listing(&one.path("ballots")).into_keys() {
        succeed(one.scene.command("ballots", "touch").args(["-d", "1 hour ago", &name]));
    }
    one.config("receive.balancedTimeout", "1");
    one.push(&["next:main"]).expect_no("balanced_update hook timed out");
    one.config("receive.balancedTimeout", "60");
    push();
}

#[test]
fn replicas_that_would_differ_both_refuse() {
    let [one, two] = two_voters();
    let before = [one.listing(), two.listing()];
    let pushes = [one.start_push(&["next:main"]), two.start_push(&["next2:main"])];
    pushes.into_iter().for_each(|push| Pushed::of(push).expect_no("balanced_update hook declined"));
    assert_eq!([one.listing(), two.listing()], before);
}

/// A server with two mirrors that have what it has.
fn with_mirrors() -> Balanced {
    let balanced = with("two-phase-commit");
    for mirror in ["mirror1.git", "mirror2.git"] {
        balanced.scene.git(".", &["clone", "-q", "--mirror", "server.git", mirror]);
        balanced.config("balanced.mirror", &balanced.path(mirror).display().to_string());
    }
    balanced
}

fn refs(scene: &Scene, repository: &str) -> String {
    scene.git(repository, &["for-each-ref", "--format=%(refname) %(objectname)"])
}

#[test]
fn two_mirrors_are_in_step_when_the_client_hears_so() {
    let balanced = with_mirrors();
    balanced.push(&EVERY_KIND).expect_yes();
    for mirror in ["mirror1.git", "mirror2.git"] {
        assert_eq!(refs(&balanced.scene, mirror), balanced.refs());
        balanced.scene.git(mirror, &["fsck", "--full", "--strict"]);
    }
    balanced.check_clean();
    assert!(!balanced.path("server.git/two-phase-commit").exists());
}

#[test]
fn one_mirror_that_cannot_prepare_rolls_all_three_back() {
    let balanced = with_mirrors();
    // It has moved on alone.
    balanced.scene.git("mirror2.git", &["update-ref", "refs/heads/main", "refs/heads/old"]);
    let before = balanced.listing();
    let mirrors = ["mirror1.git", "mirror2.git"].map(|mirror| refs(&balanced.scene, mirror));
    let pushed = balanced.push(&EVERY_KIND);
    pushed.expect_no("balanced_update hook declined");
    assert!(pushed.said.contains("mirror2.git: "), "{}", pushed.said);
    assert_eq!(balanced.listing(), before);
    for (mirror, refs_before) in ["mirror1.git", "mirror2.git"].iter().zip(mirrors) {
        assert_eq!(refs(&balanced.scene, mirror), refs_before);
        let locks: Vec<_> =
            listing(&balanced.path(mirror)).into_keys().filter(|path| path.ends_with(".lock")).collect();
        assert_eq!(locks, Vec::<String>::new());
    }
}

#[test]
fn one_mirror_that_dies_over_it_rolls_all_three_back() {
    let balanced = with_mirrors();
    // Neither a yes nor a word why not.
    let hook = balanced.path("mirror2.git/hooks/reference-transaction");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\n[ \"$1\" != prepared ] || kill -9 $PPID\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let before = balanced.refs();
    balanced.push(&EVERY_KIND).expect_no("balanced_update hook declined");
    assert_eq!([balanced.refs(), refs(&balanced.scene, "mirror1.git")], [before.clone(), before]);
    balanced.check_clean();
    assert!(!balanced.path("server.git/two-phase-commit").exists());
}

#[test]
fn one_mirror_that_dies_prepared_is_named_when_the_others_commit() {
    let balanced = with_mirrors();
    let hook = balanced.path("server.git/hooks/balanced_update");
    let fixture = fs::read_to_string(&hook).unwrap();
    let answer = "until [ -e ../seen.answer ]; do sleep 0.01; done";
    let held =
        fixture.replace("prepared) prepare ;;", &format!("prepared) prepare && : >../seen.asked && {answer} ;;"));
    assert_ne!(held, fixture);
    fs::write(&hook, held).unwrap();
    let push = balanced.start_push(&EVERY_KIND);
    eventually("the vote", || balanced.path("seen.asked").exists().then_some(()));
    let session = format!("--git-dir={}\0update-ref", balanced.path("mirror2.git").display());
    let is_session = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.windows(session.len()).any(|window| window == session.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    kill(Pid::from_raw(processes.find(is_session).expect("a session")), Signal::SIGKILL).unwrap();
    balanced.answer("0");
    let pushed = Pushed::of(push);
    pushed.expect_yes();
    assert!(pushed.said.contains("mirror2.git has to be brought up to date by hand"), "{}", pushed.said);
    assert_eq!(refs(&balanced.scene, "mirror1.git"), balanced.refs());
    assert_ne!(refs(&balanced.scene, "mirror2.git"), balanced.refs());
    balanced.check_clean();
}

#[test]
fn a_push_that_dies_prepared_leaves_no_mirror_waiting() {
    let balanced = with_mirrors();
    // Stays asked when both mirrors are prepared.
    let hook = balanced.path("server.git/hooks/balanced_update");
    let fixture = fs::read_to_string(&hook).unwrap();
    let held =
        fixture.replace("prepared) prepare ;;", "prepared) prepare && echo $PPID >../seen.push && sleep 1000 ;;");
    assert_ne!(held, fixture);
    fs::write(&hook, held).unwrap();
    let before = balanced.refs();
    let push = balanced.start_push(&EVERY_KIND);
    kill(support::balanced::process_in(&balanced.path("seen.push")), Signal::SIGKILL).unwrap();
    assert!(!Pushed::of(push).accepted);
    let (exit, printed) = balanced.recover();
    assert!(exit == 0 && printed.contains("rolled back"), "{printed}");
    for repository in ["server.git", "mirror1.git", "mirror2.git"] {
        assert_eq!(refs(&balanced.scene, repository), before);
    }
    // Nobody has a lock there any more.
    eventually("the end of the sessions", || {
        let locks = listing(&balanced.path("mirror1.git")).into_keys().filter(|path| path.ends_with(".lock")).count();
        (locks == 0).then_some(())
    });
    balanced.check_clean();
    fs::write(&hook, fixture).unwrap();
    balanced.push(&EVERY_KIND).expect_yes();
    assert_eq!(refs(&balanced.scene, "mirror2.git"), balanced.refs());
}

#[test]
fn the_hooks_are_fit_for_any_shell() {
    for hook in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/hooks")).unwrap() {
        succeed(std::process::Command::new("sh").arg("-n").arg(hook.unwrap().path()));
    }
}
