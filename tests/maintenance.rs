//! What follows a push: git's maintenance where there is a git, and the files that dumb clients read.

pub mod support;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Output, Stdio},
};

use support::{
    ours,
    push::{pkt_line, push},
    scene::Scene,
    server,
};

/// Delete the branch `topic` of `server.git`, with `PATH` and `settings`.
fn delete_topic(scene: &Scene, path: &str, settings: &[(&str, &str)]) -> Output {
    let topic = scene.git("server.git", &["rev-parse", "topic"]);
    let line = format!("{topic} {} refs/heads/topic\0report-status side-band-64k", "0".repeat(40));
    let mut command = scene.command(".", ours());
    command.args(["--stateless-rpc", "server.git"]).env("PATH", path);
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (at, (key, value)) in settings.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[pkt_line(line.as_bytes()), b"0000".to_vec()].concat()).unwrap();
    child.wait_with_output().unwrap()
}

/// A directory with a `git` that says how it was called, as the whole `PATH`.
fn talking_git(scene: &Scene) -> String {
    scene.write("bin/git", "#!/bin/sh\necho \"git $* in $GIT_DIR\"\nexit 1\n");
    fs::set_permissions(scene.path("bin/git"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", scene.path("bin").display())
}

#[test]
fn maintenance_is_run_as_configured_and_heard_by_the_client() {
    let calls = [
        (vec![("receive.autogc", "true")], Some("--detach")),
        (vec![("receive.autogc", "true"), ("maintenance.autoDetach", "false")], Some("--no-detach")),
        (vec![("receive.autogc", "true"), ("gc.autoDetach", "false")], Some("--no-detach")),
        (vec![("receive.autogc", "true"), ("gc.auto", "0")], None),
        (vec![("receive.autogc", "true"), ("gc.auto", "0"), ("maintenance.auto", "true")], Some("--detach")),
        (vec![("receive.autogc", "true"), ("maintenance.auto", "false")], None),
        (vec![("receive.autogc", "false")], None),
    ];
    for (settings, detach) in calls {
        let scene = Scene::new("sha1", "files");
        let output = delete_topic(&scene, &talking_git(&scene), &settings);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("ok refs/heads/topic"), "{said}");
        let call = detach.map(|detach| format!("\u{2}git maintenance run --auto --quiet {detach} in .\n0000"));
        match call {
            Some(call) => assert!(said.ends_with(&call), "{settings:?}: {said}"),
            None => assert!(!said.contains("maintenance"), "{settings:?}: {said}"),
        }
    }
}

/// Loose objects in the one directory that is counted, packs, settings, and whether git finds that a `gc` is due.
type State = (usize, usize, &'static [(&'static str, &'static str)], bool);

const STATES: [State; 12] = [
    (0, 1, &[], false),
    (27, 1, &[], false),
    (28, 1, &[], true),
    (0, 50, &[], false),
    (0, 51, &[], true),
    (0, 51, &[("gc.autoPackLimit", "0")], false),
    (0, 2, &[("gc.autoPackLimit", "1")], true),
    (1, 0, &[("gc.auto", "256")], false),
    (2, 0, &[("gc.auto", "256")], true),
    (2, 0, &[("gc.auto", "257")], false),
    (4, 0, &[("gc.auto", "1k")], false),
    (28, 1, &[("gc.auto", "0"), ("maintenance.auto", "true")], false),
];

/// Let `server.git` have so many loose objects below `objects/17`, and packs, and no others.
fn fill(scene: &Scene, objects: usize, packs: usize) {
    scene.git("server.git", &["repack", "-a", "-d", "-q"]);
    for number in 1..packs {
        scene.write("blob", &format!("{number}"));
        let blob = scene.git("server.git", &["hash-object", "-w", "../blob"]);
        scene.feed("server.git", &["pack-objects", "-q", "objects/pack/pack"], format!("{blob}\n").as_bytes());
    }
    scene.git("server.git", &["prune-packed", "-q"]);
    fs::remove_dir_all(scene.path("server.git/objects/17")).ok();
    for number in 0..objects {
        scene.write(&format!("server.git/objects/17/{number:038x}"), "");
    }
}

#[test]
fn a_gc_comes_about_where_it_does_after_gits_own_push() {
    for (objects, packs, settings, due) in STATES {
        let push = push().config("receive.autogc", "true").config("maintenance.autoDetach", "false");
        let push = settings.iter().fold(push, |push, (key, value)| push.config(key, value));
        let push = push.hook("pre-auto-gc", "echo a gc is due; exit 1").delete("refs/heads/topic", "topic");
        fill(&push.scene, objects, packs);
        let (theirs, mine) = server::pushed_to_both(&push);
        let came_about = [theirs, mine].map(|outcome| outcome.told.contains("a gc is due"));
        assert_eq!(came_about, [due; 2], "{objects} loose objects, {packs} packs, {settings:?}: git's and ours");
    }
}

#[test]
fn maintenance_is_not_started_where_it_would_do_nothing() {
    let is_started = |scene: &Scene, settings: &[(&str, &str)]| {
        let output = delete_topic(scene, &talking_git(scene), &[&[("receive.autogc", "true")], settings].concat());
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).contains("git maintenance run --auto")
    };
    // As `make install` leaves it: the programs show which version it is.
    let installed = |programs: &[&str]| {
        let scene = Scene::new("sha1", "files");
        programs.iter().for_each(|program| scene.write(&format!("libexec/git-core/{program}"), ""));
        scene
    };
    for (objects, packs, settings, due) in STATES {
        let scene = installed(&["git-maintenance"]);
        fill(&scene, objects, packs);
        assert_eq!(is_started(&scene, settings), due, "{objects} loose objects, {packs} packs, {settings:?}");
    }
    for setting in [
        ("maintenance.commit-graph.enabled", "false"),
        ("maintenance.strategy", "none"),
        ("gc.pruneExpire", "nonsense"),
        ("gc.autoPackLimit", "nonsense"),
    ] {
        assert!(is_started(&installed(&["git-maintenance"]), &[setting]), "{setting:?}");
    }
    assert!(is_started(&installed(&["git-maintenance", "git-repo"]), &[]), "a newer git looks at more");
    assert!(is_started(&installed(&["git-upload-pack"]), &[]), "nobody knows what an older git does");
    assert!(is_started(&installed(&[]), &[]), "nobody knows what this git does");
}

#[test]
fn where_there_is_no_git_nothing_is_said() {
    let scene = Scene::new("sha1", "files");
    let output = delete_topic(&scene, "/nowhere", &[("receive.autogc", "true")]);
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("ok refs/heads/topic\n00000000"));
}

#[test]
fn server_info_is_what_git_writes() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["repack", "-q", "-d"]);
    let tag = scene.git("server.git", &["rev-parse", "v1"]);
    scene.git("server.git", &["tag", "-a", "-m", "a tag of a tag", "v1.1", &tag]);
    let path = std::env::var("PATH").unwrap();
    let output = delete_topic(&scene, &path, &[("receive.updateServerInfo", "true")]);
    assert!(output.status.success() && output.stderr.is_empty());
    let files = ["server.git/info/refs", "server.git/objects/info/packs"].map(|file| scene.path(file));
    let read = || files.clone().map(|file| fs::read_to_string(file).unwrap());
    let ours = read();
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    scene.git("server.git", &["update-server-info"]);
    assert_eq!(ours, read());
    assert!(ours[0].contains("refs/tags/v1.1^{}\n") && ours[1].starts_with("P pack-"));
}

#[test]
fn the_directory_of_server_info_is_shared_like_all_others() {
    let scene = Scene::new("sha1", "files");
    fs::remove_dir_all(scene.path("server.git/info")).ok();
    delete_topic(&scene, "/usr/bin:/bin", &[("core.sharedRepository", "0660"), ("receive.updateServerInfo", "true")]);
    let mode = |path| fs::metadata(scene.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("server.git/info"), mode("server.git/info/refs")], [0o2770, 0o660]);
}
