//! Which processes a push starts: its hooks and, where it may be due, `git maintenance`, and no other.

pub mod support;

use support::{scene::Scene, strace::Watched};

/// What our program started to serve a push; `None` without an strace.
fn watched_push(scene: &Scene, refs: &[&str]) -> Option<Vec<String>> {
    let watched = Watched::new(scene)?;
    let receive_pack = watched.receive_pack();
    let arguments = ["push", &receive_pack, "../server.git"].into_iter().chain(refs.iter().copied());
    scene.git("client.git", &arguments.collect::<Vec<_>>());
    Some(watched.started())
}

#[test]
fn a_push_without_hooks_starts_git_maintenance_alone() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["config", "receive.autogc", "true"]);
    // Whatever else is said of it, only git can tell whether it is due.
    scene.git("server.git", &["config", "maintenance.commit-graph.enabled", "false"]);
    for refs in [&["next:main"][..], &["many", ":topic", "v2"]] {
        let Some(started) = watched_push(&scene, refs) else { return };
        assert_eq!(started, ["git maintenance run --auto --quiet --detach"]);
    }
}

#[test]
fn a_push_that_needs_no_process_starts_none() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["config", "receive.autogc", "true"]);
    scene.git("server.git", &["config", "receive.updateServerInfo", "true"]);
    scene.git("server.git", &["config", "receive.denyNonFastForwards", "true"]);
    let Some(started) = watched_push(&scene, &["next:main", "side", "v2", ":topic"]) else { return };
    assert_eq!(started, [""; 0]);
}

#[test]
fn a_push_into_a_reftable_starts_one_git_that_changes_the_refs() {
    let scene = Scene::new("sha1", "reftable");
    scene.git("server.git", &["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]);
    scene.add_work_tree();
    scene.git("server.git", &["checkout", "-q", "--detach"]);
    for refs in [&["next:main"][..], &["side", "v2"], &["--atomic", "+next:alias", "many", ":old"]] {
        let Some(started) = watched_push(&scene, refs) else { return };
        assert!(matches!(&started[..], [git] if git.ends_with(" update-ref -m push --stdin -z")), "{started:#?}");
    }
}

#[test]
fn hooks_are_started_once_and_a_push_for_them_alone() {
    let scene = Scene::new("sha1", "files");
    for hook in ["pre-receive", "update", "post-receive", "post-update"] {
        scene.hook(hook, "exit 0");
    }
    let Some(started) = watched_push(&scene, &["next:main"]) else { return };
    let new = scene.git("client.git", &["rev-parse", "next"]);
    let old = scene.git("client.git", &["rev-parse", "main"]);
    assert_eq!(
        started,
        [
            "hooks/pre-receive",
            &format!("hooks/update refs/heads/main {old} {new}"),
            "hooks/post-receive",
            "hooks/post-update refs/heads/main",
        ]
    );
}
