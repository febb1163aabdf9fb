//! Pushing into a partial clone: what its promisor owes is not missed, and nothing is fetched for a push.

pub mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
};

use support::{gits, ours, scene::Scene, strace::Watched};

/// `source.git`, the promisor, which writes to `fetched` when somebody fetches from it; `server.git`, a clone of it that `filter`
/// has kept small; and `client.git`, which has it all, and the branches that the tests push.
fn scene(hash: &str, filter: &str) -> Scene {
    let scene = Scene::new(hash, "files");
    fs::rename(scene.path("server.git"), scene.path("source.git")).unwrap();
    for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        scene.git("source.git", &["config", setting, "true"]);
    }
    let url = format!("file://{}", scene.path("source.git").display());
    scene.git(".", &["clone", "-q", "--bare", &format!("--filter={filter}"), &url, "server.git"]);
    let script =
        format!("#!/bin/sh\necho fetched >>'{}'\nexec git-upload-pack \"$@\"\n", scene.path("fetched").display());
    fs::write(scene.path("promisor"), script).unwrap();
    fs::set_permissions(scene.path("promisor"), fs::Permissions::from_mode(0o755)).unwrap();
    scene.git("server.git", &["config", "remote.origin.uploadpack", &scene.path("promisor").display().to_string()]);
    scene.git("server.git", &["config", "gc.auto", "0"]);
    scene
}

fn push(scene: &Scene, program: &Path, arguments: &[&str]) -> Output {
    let mut git = scene.command("client.git", "git");
    git.args(["push", "--porcelain", &format!("--receive-pack={}", program.display()), "../server.git"]);
    git.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What the client says of the refs, and the refs that there are then.
fn pushed(scene: &Scene, program: &Path, arguments: &[&str]) -> (String, String) {
    let output = push(scene, program, arguments);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = lines.lines().filter(|line| line.contains('\t')).map(|line| format!("{line}\n")).collect();
    (told, scene.git("server.git", &["for-each-ref", "--format=%(refname) %(objectname)"]))
}

/// Fails unless both programs say the same, and ours fetches nothing. Returns what they say.
fn same(scene: &Scene, arguments: &[&str]) -> String {
    scene.save();
    let expected = pushed(scene, &gits(), arguments);
    scene.restore();
    let actual = pushed(scene, ours(), arguments);
    assert_eq!(actual, expected, "ours on the left, git's on the right");
    assert!(!was_fetched(scene));
    actual.0
}

fn was_fetched(scene: &Scene) -> bool {
    scene.path("fetched").exists()
}

/// How many objects the server names and does not have.
fn owed(scene: &Scene) -> usize {
    let arguments = ["rev-list", "--objects", "--all", "--missing=print"];
    scene.git("server.git", &arguments).lines().filter(|line| line.starts_with('?')).count()
}

#[test]
fn what_is_promised_is_not_missed() {
    for hash in ["sha1", "sha256"] {
        let scene = scene(hash, "blob:none");
        let before = owed(&scene);
        assert!(before > 0 && !was_fetched(&scene));
        let said = same(&scene, &["--no-thin", "next2:main", "side", ":topic", "v2", "many"]);
        assert_eq!(said.matches("\t[new").count(), 3, "{said}");
        assert!(!said.contains('!'), "{said}");
        assert!(owed(&scene) >= before - 1, "what was owed still is");
    }
}

#[test]
fn what_nobody_promised_is_missed() {
    let scene = scene("sha1", "blob:none");
    // A blob that only the client ever had, in a tree that is otherwise the promisor's.
    let blob = scene.git("client.git", &["rev-parse", "next2:new/deep/file"]);
    let packed = scene.git("client.git", &["rev-list", "--objects", "next2", "^main"]);
    let ids: String =
        packed.lines().filter(|line| !line.starts_with(&blob)).map(|line| line[..40].to_owned() + "\n").collect();
    let pack = scene.feed("client.git", &["pack-objects", "--stdout", "-q"], ids.as_bytes());
    let (old, new) =
        (scene.git("client.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next2"]));
    let line = format!("{old} {new} refs/heads/main\0report-status");
    let request = [&support::push::pkt_line(line.as_bytes())[..], b"0000", &pack].concat();
    for program in [gits(), ours().to_owned()] {
        fs::write(scene.path("request"), &request).unwrap();
        let mut command = scene.command(".", program);
        command.args(["--stateless-rpc", "server.git"]).stdin(fs::File::open(scene.path("request")).unwrap());
        let said = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
        assert!(said.contains("ng refs/heads/main missing necessary objects"), "{said}");
    }
}

/// git 2.47 does not come to an end here.
#[test]
fn a_clone_without_trees_can_be_pushed_to() {
    let scene = scene("sha1", "tree:0");
    scene.git("server.git", &["config", "receive.denyNonFastForwards", "true"]);
    for (arguments, verdict) in [
        (["main:refs/heads/same"], "[new branch]"),
        (["old:refs/heads/older"], "[new branch]"),
        (["alien"], "[new branch]"),
        (["+topic:main"], "(non-fast-forward)"),
        ([":topic"], "[deleted]"),
    ] {
        let (said, _) = pushed(&scene, ours(), &arguments);
        assert!(said.contains(verdict) && !was_fetched(&scene), "{arguments:?}: {said}");
    }
}

#[test]
fn no_program_is_started_and_nobody_asked() {
    let scene = scene("sha1", "blob:none");
    scene.git("server.git", &["config", "receive.autogc", "false"]);
    let Some(watched) = Watched::new(&scene) else { return };
    let push = scene
        .command("client.git", "git")
        .args(["push", "-q", "--no-thin", &watched.receive_pack()])
        .args(["../server.git", "next2:main", "many"])
        .output();
    let push = push.unwrap();
    assert!(push.status.success(), "{}", String::from_utf8_lossy(&push.stderr));
    assert_eq!(watched.started(), Vec::<String>::new());
    assert!(!was_fetched(&scene));
}

/// git asks the promisor for it: an unbounded wait for another server, in the middle of a push.
#[test]
fn the_base_of_a_delta_is_not_fetched() {
    let scene = scene("sha1", "blob:none");
    scene.save();
    let numbers = "next:main";
    assert!(push(&scene, &gits(), &["--thin", numbers]).status.success());
    assert!(was_fetched(&scene), "the pack is thin");
    scene.restore();
    let (said, refs) = pushed(&scene, ours(), &["--thin", numbers]);
    assert!(said.contains("unpacker error"), "{said}");
    assert!(!was_fetched(&scene) && refs.contains(&scene.git("client.git", &["rev-parse", "main"])));
    let (said, _) = pushed(&scene, ours(), &["--no-thin", numbers]);
    assert!(!said.contains('!') && !was_fetched(&scene), "{said}");
}
