//! Whole stories of a real `git push` over a local path.

pub mod support;

use std::{io::Write, path::Path, time::Duration};

use support::{
    gits,
    observe::Outcome,
    ours,
    push::push,
    scene::Scene,
    server::{self, git_push, pushed},
};

fn scene() -> Scene {
    Scene::new("sha1", "files")
}

/// What a revision names in one of the repositories.
fn id(scene: &Scene, repository: &str, revision: &str) -> String {
    scene.git(repository, &["rev-parse", "--verify", revision])
}

#[test]
fn a_new_branch_and_a_tag_arrive_and_can_be_cloned() {
    let scene = scene();
    let (pushed, said) = git_push(&scene, &["../server.git", "next:main", "side", "v2"]);
    assert!(pushed, "{said}");
    scene.git(".", &["clone", "-q", "server.git", "clone"]);
    assert_eq!(id(&scene, "clone", "HEAD"), id(&scene, "client.git", "next"));
    assert_eq!(id(&scene, "clone", "v2^{commit}"), id(&scene, "client.git", "next"));
    assert_eq!(id(&scene, "clone", "origin/side"), id(&scene, "client.git", "side"));
    scene.git("server.git", &["fsck", "--full", "--strict"]);
}

#[test]
fn another_history_needs_force() {
    let scene = scene();
    let (accepted, said) = git_push(&scene, &["../server.git", "alien:topic"]);
    assert!(!accepted && said.contains("non-fast-forward"), "{said}");
    let (accepted, said) = git_push(&scene, &["--force", "../server.git", "alien:topic"]);
    assert!(accepted, "{said}");
    assert_eq!(id(&scene, "server.git", "topic"), id(&scene, "client.git", "alien"));
}

#[test]
fn a_lease_that_ran_out_changes_nothing() {
    let scene = scene();
    let before = Outcome::found_in(&scene);
    let (accepted, said) = git_push(&scene, &["--force-with-lease=topic:old", "../server.git", "alien:topic"]);
    assert!(!accepted && said.contains("stale info"), "{said}");
    assert_eq!(Outcome::found_in(&scene).refs, before.refs);
}

#[test]
fn a_mirror_becomes_the_same() {
    let scene = scene();
    scene.git("server.git", &["symbolic-ref", "HEAD", "refs/heads/elsewhere"]);
    let (accepted, said) = git_push(&scene, &["--mirror", "../server.git"]);
    assert!(accepted, "{said}");
    let refs = |repository| scene.git(repository, &["for-each-ref"]);
    assert_eq!(refs("server.git"), refs("client.git"));
}

#[test]
fn a_declined_push_tells_why_and_leaves_no_object_behind() {
    let scene = scene();
    scene.hook("pre-receive", "echo closed for today; exit 1");
    let before = Outcome::found_in(&scene);
    let (accepted, said) = git_push(&scene, &["../server.git", "many:main"]);
    assert!(!accepted && said.contains("remote: closed for today"), "{said}");
    assert!(said.contains("! [remote rejected] many -> main (pre-receive hook declined)"), "{said}");
    let after = Outcome::found_in(&scene);
    assert_eq!((after.objects, after.refs, after.files), (before.objects, before.refs, before.files));
}

#[test]
fn one_bad_ref_stops_an_atomic_push() {
    let scene = scene();
    scene.hook("update", "test $1 != refs/heads/b");
    let before = Outcome::found_in(&scene);
    let (accepted, said) = git_push(&scene, &["--atomic", "../server.git", "next:main", "side:b", ":topic"]);
    assert!(!accepted && said.contains("side -> b (hook declined)"), "{said}");
    assert!(said.contains("next -> main (atomic push failure)"), "{said}");
    assert_eq!(Outcome::found_in(&scene).refs, before.refs);
}

#[test]
fn one_bad_ref_does_not_stop_the_others() {
    let scene = scene();
    scene.hook("update", "test $1 != refs/heads/b");
    let (accepted, said) = git_push(&scene, &["../server.git", "next:main", "side:b", ":topic"]);
    assert!(!accepted && said.contains("side -> b (hook declined)"), "{said}");
    assert_eq!(id(&scene, "server.git", "main"), id(&scene, "client.git", "next"));
    assert!(!scene.try_git("server.git", &["rev-parse", "--verify", "-q", "topic"]).status.success());
}

#[test]
fn push_options_reach_the_hooks() {
    let scene = scene();
    scene.git("server.git", &["config", "receive.advertisePushOptions", "true"]);
    scene.hook("pre-receive", "echo $GIT_PUSH_OPTION_COUNT: $GIT_PUSH_OPTION_0, $GIT_PUSH_OPTION_1");
    let (accepted, said) = git_push(&scene, &["-o", "ci.skip", "-o", "why=no time", "../server.git", "next:main"]);
    assert!(accepted && said.contains("remote: 2: ci.skip, why=no time"), "{said}");
}

#[test]
fn the_work_tree_follows() {
    let scene = scene();
    scene.add_work_tree();
    let (accepted, said) = git_push(&scene, &["../server.git", "next2:main"]);
    assert!(!accepted && said.contains("branch is currently checked out"), "{said}");
    scene.git("server.git", &["config", "receive.denyCurrentBranch", "updateInstead"]);
    let (accepted, said) = git_push(&scene, &["../server.git", "next2:main"]);
    assert!(accepted, "{said}");
    assert_eq!(std::fs::read_to_string(scene.path("server.git/new/deep/file")).expect("checked out"), "four\n");
    assert_eq!(scene.git("server.git", &["status", "--porcelain"]), "");
}

#[test]
fn a_push_from_a_shallow_clone_lands() {
    let scene = scene();
    let url = format!("file://{}", scene.path("server.git").display());
    scene.git(".", &["clone", "-q", "--depth=1", "--bare", &url, "shallow.git"]);
    scene.git(".", &["clone", "-q", "shallow.git", "shallow"]);
    scene.write("shallow/more", "more\n");
    scene.git("shallow", &["add", "more"]);
    scene.git("shallow", &["commit", "-q", "-m", "more"]);
    let receive_pack = format!("--receive-pack={}", support::ours().display());
    scene.git("shallow", &["push", "-q", &receive_pack, &url, "main"]);
    assert_eq!(id(&scene, "server.git", "main"), id(&scene, "shallow", "main"));
    scene.git("server.git", &["fsck", "--full", "--strict"]);
}

#[test]
fn a_remote_can_name_the_program() {
    let scene = scene();
    scene.git("client.git", &["remote", "add", "ours", "../server.git"]);
    scene.git("client.git", &["config", "remote.ours.receivepack", &support::ours().display().to_string()]);
    let packets = scene.path("packets");
    let mut command = scene.command("client.git", "git");
    command.args(["push", "-q", "ours", "next:main"]).env("GIT_TRACE_PACKET", &packets);
    assert!(command.status().expect("git runs").success());
    let packets = std::fs::read_to_string(packets).expect("packets");
    assert!(packets.contains("agent=balanced-receive-pack/"), "{packets}");
}

#[test]
fn progress_is_told_to_one_who_watches() {
    let scene = scene();
    scene.git("server.git", &["config", "receive.unpackLimit", "1"]);
    let (accepted, said) = git_push(&scene, &["--progress", "../server.git", "many:main"]);
    assert!(accepted && said.contains("remote: Resolving deltas: 100%"), "{said}");
}

#[test]
fn sha256_repositories_work_alike() {
    let scene = Scene::new("sha256", "files");
    let (accepted, said) = git_push(&scene, &["../server.git", "many:main", ":topic", "v2"]);
    assert!(accepted, "{said}");
    scene.git("server.git", &["fsck", "--full", "--strict"]);
}

#[test]
fn reftable_repositories_work_alike() {
    let scene = Scene::new("sha1", "reftable");
    let (accepted, said) = git_push(&scene, &["--atomic", "../server.git", "many:main", ":topic", "v2"]);
    assert!(accepted, "{said}");
    assert_eq!(id(&scene, "server.git", "main"), id(&scene, "client.git", "many"));
}

#[test]
fn pushes_of_different_branches_at_the_same_time_all_land() {
    let scene = scene();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let scene = &scene;
            scope.spawn(move || {
                let (accepted, said) = git_push(scene, &["../server.git", &format!("many:parallel/{number}")]);
                assert!(accepted, "{said}");
            });
        }
    });
    assert_eq!(scene.git("server.git", &["for-each-ref", "refs/heads/parallel"]).lines().count(), 6);
    scene.git("server.git", &["fsck", "--full", "--strict"]);
}

#[test]
fn of_two_pushes_of_one_branch_at_the_same_time_one_wins() {
    let scene = scene();
    // Both have read the same old value before either writes.
    scene.hook("pre-receive", "echo here >>there; until test $(wc -l <there) -ge 2; do :; done");
    let landed: usize = std::thread::scope(|scope| {
        let both = ["next:main", "next2:main"].map(|refs| {
            let scene = &scene;
            scope.spawn(move || usize::from(git_push(scene, &["../server.git", refs]).0))
        });
        both.into_iter().map(|push| push.join().expect("a push")).sum()
    });
    assert_eq!(landed, 1);
    assert_ne!(id(&scene, "server.git", "main"), id(&scene, "client.git", "main"));
}

#[test]
fn the_line_is_kept_alive_while_a_hook_thinks() {
    let push = push().config("receive.keepAlive", "1").update("refs/heads/main", "main", "next");
    let outcome = pushed(&push.hook("pre-receive", "sleep 3"));
    assert!(outcome.keepalives > 0, "{outcome:?}");
    assert_eq!(outcome.report[1], "ok refs/heads/main");
}

#[test]
fn the_line_may_fall_silent_where_that_is_wanted() {
    let push = push().config("receive.keepAlive", "0").update("refs/heads/main", "main", "next");
    assert_eq!(pushed(&push.hook("pre-receive", "sleep 2")).keepalives, 0);
}

#[test]
fn a_client_that_takes_its_time_with_the_pack_is_left_in_peace() {
    let push = push().config("receive.keepAlive", "1").update("refs/heads/main", "main", "next");
    let request = push.bytes();
    let said = |program: &Path| {
        push.scene.save();
        let mut child = server::start(program, &push);
        let mut stdin = child.stdin.take().expect("piped");
        let (first, rest) = request.split_at(request.len() - 30);
        stdin.write_all(first).expect("the program reads");
        // Longer than the silence that is broken later.
        std::thread::sleep(Duration::from_millis(1500));
        stdin.write_all(rest).expect("the program reads");
        drop(stdin);
        let outcome = Outcome::of(&push, &request, &child.wait_with_output().expect("the program ends"));
        push.scene.restore();
        (outcome.keepalives, outcome.report)
    };
    let (theirs, ours) = (said(&gits()), said(ours()));
    assert_eq!(ours, theirs);
    assert_eq!(ours.0, 0);
}

#[test]
fn a_ref_that_goes_while_the_pack_comes_in_vouches_for_nothing() {
    let push = push().create("refs/heads/new", "next");
    let request = push.bytes();
    let (commands, pack) = request.split_at(request.windows(4).position(|bytes| bytes == b"PACK").expect("a pack"));
    let mut child = server::start(ours(), &push);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(commands).expect("the program reads");
    server::await_patience(&child);
    let below = id(&push.scene, "server.git", "main~1");
    push.scene.git("server.git", &["update-ref", "-d", "refs/heads/main"]);
    let (directory, file) = below.split_at(2);
    std::fs::remove_file(push.scene.path("server.git/objects").join(directory).join(file)).expect("it is loose");
    // Refs that were read less than a moment ago are not read again.
    std::thread::sleep(Duration::from_millis(30));
    stdin.write_all(pack).expect("the program reads");
    drop(stdin);
    let outcome = Outcome::of(&push, &request, &child.wait_with_output().expect("the program ends"));
    assert_eq!(outcome.report[1], "ng refs/heads/new missing necessary objects", "{outcome:#?}");
}
