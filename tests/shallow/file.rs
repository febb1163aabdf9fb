//! The `shallow` file itself: as it is found, locked, written, and left; and how a push comes to it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use crate::{
    farm::Farm,
    support::{
        alike::Place,
        gits,
        in_front::{exec_path, was_served_by_us},
        ours,
        ssh::SshServer,
        web::WebServer,
    },
};

#[test]
fn a_file_is_read_as_git_reads_it() {
    let farm = Farm::new();
    farm.shallow_server(2);
    let shallow = farm.path("server.git/shallow");
    let root = fs::read_to_string(&shallow).unwrap().trim().to_owned();
    let place = Place::new(&farm.scene, ".");
    for (what, content) in [
        ("as it is", format!("{root}\n")),
        ("twice", format!("{root}\n{root}\n")),
        ("without its last end of line", root.clone()),
        ("with more behind it", format!("{root} and more\n")),
        ("in capitals", root.to_uppercase()),
        ("empty", String::new()),
    ] {
        fs::write(&shallow, content).unwrap();
        place.alike(what, &["server.git"]);
    }
    for content in ["nothing\n", "\n", &format!("{root}\n\n{root}\n"), &root[..39]] {
        fs::write(&shallow, content).unwrap();
        // git has told its refs by then.
        let [expected, actual] = [gits(), ours().to_owned()].map(|program| place.answer(program, &["server.git"]));
        assert_eq!((actual.status, actual.stderr), (expected.status, expected.stderr), "{content:?}");
        assert_eq!(expected.status, Some(128));
    }
    fs::remove_file(&shallow).unwrap();
    fs::create_dir(&shallow).unwrap();
    place.alike("a directory", &["server.git"]);
    fs::remove_dir(&shallow).unwrap();
    symlink("shallow", &shallow).unwrap();
    place.alike("a link to itself", &["server.git"]);
}

#[test]
fn another_file_may_stand_in_for_it() {
    let farm = Farm::new();
    farm.shallow_server(2);
    fs::write(farm.path("server.git/other"), format!("{}\n", farm.id("source.git", "fork"))).unwrap();
    for file in ["other", "SCENE/server.git/other", "", "nowhere"] {
        Place::new(&farm.scene, ".").env("GIT_SHALLOW_FILE", file).alike(file, &["server.git"]);
    }
    // Nobody knows which of the two is to be believed, and added to; git dies.
    farm.client(1);
    let new = ["aside:refs/heads/new"];
    let push = |file: &str| {
        let program = format!("--receive-pack=GIT_SHALLOW_FILE='{file}' {}", ours().display());
        let mut git = farm.scene.command("client.git", "git");
        farm.pushed(git.args(["push", "--porcelain", &program, "../server.git"]).args(new)).expect("an answer")
    };
    farm.scene.git("server.git", &["update-ref", "-d", "refs/heads/main"]);
    let before = farm.roots();
    let pushed = push("other");
    assert_eq!((pushed.words(), &pushed.roots), (vec!["shallow error"], &before));
    assert_eq!(push("shallow").words(), ["ok"]);
}

#[test]
fn a_lock_that_another_holds_refuses_only_what_needs_it() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.client(2);
    farm.scene.write("server.git/shallow.lock", "");
    farm.scene.git("server.git", &["config", "receive.denyDeleteCurrent", "ignore"]);
    let pushed = farm.push_with(ours(), "client.git", &["more:refs/heads/new", ":refs/heads/main"]);
    assert_eq!(pushed.words().len(), 2);
    let verdicts = pushed.verdicts;
    assert_eq!(verdicts[0], ("refs/heads/main".into(), "ok".into()));
    assert_eq!(verdicts[1], ("refs/heads/new".into(), "shallow error".into()));
    assert!(pushed.roots.is_empty() && farm.path("server.git/shallow.lock").exists());
}

#[test]
fn what_others_did_to_the_file_meanwhile_is_kept() {
    let farm = Farm::new();
    farm.shallow_server(2);
    farm.client(1);
    // git dies of this: the shallow file has changed since it was read.
    let other = farm.id("source.git", "fork~1");
    farm.scene.hook("pre-receive", &format!("cat >/dev/null; echo {other} >>shallow"));
    farm.scene.git("server.git", &["update-ref", "-d", "refs/heads/main"]);
    let expected: Vec<_> = farm.roots().into_iter().chain([other, farm.id("client.git", "main")]).collect();
    assert_eq!(farm.push(&["aside:refs/heads/new"]).words(), ["ok"]);
    assert_eq!(farm.roots(), expected.into_iter().collect());

    // A root that the repository had when it was looked at, and has no more, is taken over like any other.
    let farm = Farm::new();
    farm.shallow_server(1);
    farm.client(1);
    let (root, fork) = (farm.id("source.git", "main"), farm.id("source.git", "fork"));
    for name in ["refs/heads/main", "refs/heads/fork"] {
        farm.scene.git("server.git", &["update-ref", "-d", name]);
    }
    let tree = farm.scene.git("client.git", &["rev-parse", "main^{tree}"]);
    let merge = farm.scene.git("client.git", &["commit-tree", &tree, "-p", &root, "-p", &fork, "-m", "merge"]);
    fs::write(farm.path("server.git/shallow"), format!("{root}\n")).unwrap();
    farm.scene.hook("pre-receive", "cat >/dev/null; echo 1111111111111111111111111111111111111111 >shallow");
    let pushed = farm.push_with(ours(), "client.git", &[&format!("{merge}:refs/heads/merge")]);
    assert_eq!(pushed.words(), ["ok"]);
    assert!(pushed.roots.contains(&root));
}

#[test]
fn the_file_has_the_mode_that_the_repository_wants() {
    for (shared, mode) in [("umask", 0o644), ("group", 0o664), ("all", 0o664), ("0660", 0o660)] {
        let farm = Farm::new();
        farm.empty_server();
        farm.scene.git("server.git", &["config", "core.sharedRepository", shared]);
        farm.client(2);
        farm.scene.save();
        let modes = [gits(), ours().to_owned()].map(|program| {
            farm.scene.restore();
            let program = format!("--receive-pack=umask 022; {}", program.display());
            let mut git = farm.scene.command("client.git", "git");
            farm.pushed(git.args(["push", "--porcelain", &program, "../server.git", "more"])).expect("an answer");
            fs::metadata(farm.path("server.git/shallow")).unwrap().permissions().mode() & 0o777
        });
        assert_eq!(modes, [mode; 2], "{shared}");
    }
}

#[test]
fn a_signal_leaves_nothing_of_a_shallow_push() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.client(2);
    for hook in ["pre-receive", "reference-transaction"] {
        // The second is run when the refs are locked.
        farm.scene.hook(hook, "test \"$1\" = committed || kill -TERM $PPID; cat >/dev/null; exec sleep 5");
        assert!(farm.try_push_with(ours(), "client.git", &["more:refs/heads/new"]).is_err());
        fs::remove_file(farm.path("server.git/hooks").join(hook)).unwrap();
        assert!(farm.roots().is_empty() && !farm.refs().contains("new"));
        farm.check();
    }
    assert_eq!(farm.push(&["more:refs/heads/new"]).words(), ["ok"]);
}

#[test]
fn grafts_are_not_heeded() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.scene.git(".", &["clone", "-q", "--bare", "source.git", "client.git"]);
    farm.scene.git("server.git", &["config", "receive.denyNonFastForwards", "true"]);
    let graft = format!("{} {}\n", farm.id("source.git", "fork"), farm.id("source.git", "main~6"));
    farm.scene.write("server.git/info/grafts", &graft);
    assert_eq!(farm.push_with(ours(), "client.git", &["+fork:main"]).words(), ["non-fast-forward"]);
    assert_eq!(farm.push_with(&gits(), "client.git", &["+fork:main"]).words(), ["ok"]);
}

#[test]
fn a_link_to_the_file_stays_one() {
    let farm = Farm::new();
    farm.shallow_server(2);
    farm.client(1);
    let shallow = farm.path("server.git/shallow");
    fs::rename(&shallow, farm.path("elsewhere")).unwrap();
    symlink(farm.path("elsewhere"), &shallow).unwrap();
    farm.scene.git("server.git", &["update-ref", "-d", "refs/heads/main"]);
    farm.push_beside_git(&["aside:refs/heads/new"]);
    assert!(shallow.symlink_metadata().unwrap().is_symlink());
    assert!(farm.roots().contains(&farm.id("client.git", "main")));
}

#[test]
fn every_format_of_repository_takes_roots_over() {
    for (hash, refs) in [("sha1", "reftable"), ("sha256", "files"), ("sha256", "reftable")] {
        let farm = Farm::of(hash);
        farm.init("server.git", &[&format!("--ref-format={refs}")]);
        farm.allow(true);
        farm.client(2);
        assert_eq!(farm.push_beside_git(&["more:refs/heads/new"]).words(), ["ok"]);
        assert_eq!(farm.push(&["fork", "v"]).words(), ["ok", "ok"]);
        assert_eq!(farm.roots(), farm.ids(&["main~1", "fork~1"]), "{hash} {refs}");
    }
}

#[test]
fn a_push_through_ssh_brings_its_roots() {
    let farm = Farm::new();
    farm.empty_server();
    farm.client(3);
    let Some(server) = SshServer::start(&farm.scene, &std::env::var("PATH").unwrap()) else { return };
    let receive_pack = format!("--receive-pack={}", ours().display());
    let (pushed, said) = server.push(&farm.scene, &[&receive_pack], &["more:main", "fork"]);
    assert!(pushed && was_served_by_us(&farm.scene), "{said}");
    assert_eq!(farm.roots(), farm.ids(&["main~2", "fork~2"]));
    farm.check();
}

#[test]
fn so_does_one_over_http() {
    let farm = Farm::new();
    farm.empty_server();
    farm.scene.git("server.git", &["config", "http.receivepack", "true"]);
    farm.client(3);
    let settings = format!("fastcgi_param GIT_EXEC_PATH {};\n", exec_path(&farm.scene).display());
    let Some(server) = WebServer::start(&farm.scene, &settings) else { return };
    farm.allow(false);
    let (pushed, said) = server.push(&farm.scene, &[], &["v"]);
    assert!(!pushed && said.contains("shallow update not allowed"), "{said}");
    farm.allow(true);
    let (pushed, said) = server.push(&farm.scene, &[], &["more:main", "fork"]);
    assert!(pushed && was_served_by_us(&farm.scene), "{said}");
    assert_eq!(farm.roots(), farm.ids(&["main~2", "fork~2"]));
    farm.check();
}
