//! Dead pushes, and votes, in repositories of every kind: linked worktrees, namespaces, alternates, names that are hard to
//! write, packed-refs on another device, none that may be written to.

pub mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::geteuid,
};
use support::{
    balanced::{Balanced, EVERY_KIND, Pushed, eventually, process_in},
    optional_program, ours, skipped,
};

/// The push dies when it asks; asked in doubt, it is a yes.
const DIES: &str = r#"echo "$1" >>"$SEEN"; [ "$1" != prepared ] || { kill -9 $PPID; exit 1; }"#;

/// `git push` of these to a repository beside the client's, with this in the environment.
fn push_to(balanced: &Balanced, repository: &str, variables: &[(&str, &str)], refspecs: &[&str]) -> Pushed {
    let mut command = balanced.scene.command("client.git", "git");
    command.args(["push", &format!("--receive-pack={}", ours().display()), repository]).args(refspecs);
    command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Pushed::of(command.spawn().unwrap())
}

fn recover(balanced: &Balanced, directory: &str) -> String {
    let mut command = balanced.scene.command("client.git", ours());
    support::balanced::succeed(command.arg("--recover").arg(directory))
}

#[test]
fn a_dead_push_into_a_linked_worktree_is_settled_from_anywhere() {
    for from in ["../server.git", "../linked"] {
        let balanced = Balanced::with_hook(DIES);
        balanced.scene.git("server.git", &["worktree", "add", "-q", "../linked", "topic"]);
        let refspecs = ["next:main", "side:refs/worktree/own", "side:refs/bisect/bad"];
        assert!(!push_to(&balanced, "../linked", &[], &refspecs).accepted);
        assert_eq!(balanced.seen(), "prepared\n");
        assert!(recover(&balanced, from).contains("carried out"), "{from}");
        assert_eq!(balanced.value("main"), balanced.theirs("next"));
        for name in ["refs/worktree/own", "refs/bisect/bad"] {
            assert_eq!(balanced.scene.git("linked", &["rev-parse", name]), balanced.theirs("side"));
            assert_eq!(balanced.value(name), "");
        }
        balanced.check_clean();
    }
}

#[test]
fn a_dead_push_into_a_namespace_is_settled_by_one_into_another() {
    let balanced = Balanced::with_hook(DIES);
    let (one, other) = ([("GIT_NAMESPACE", "one")], [("GIT_NAMESPACE", "other")]);
    assert!(!push_to(&balanced, "../server.git", &one, &["next:main", "side:old"]).accepted);
    balanced.hook("");
    push_to(&balanced, "../server.git", &other, &["next2:main"]).expect_yes();
    eventually("the end of the recovery", || (!balanced.path("server.git/balanced").exists()).then_some(()));
    let value = |name: &str| balanced.value(&format!("refs/namespaces/{name}"));
    assert_eq!(value("one/refs/heads/main"), balanced.theirs("next"));
    assert_eq!(value("one/refs/heads/old"), balanced.theirs("side"));
    assert_eq!(value("other/refs/heads/main"), balanced.theirs("next2"));
    balanced.check_clean();
}

#[test]
fn a_dead_push_is_settled_where_objects_are_borrowed() {
    let balanced = Balanced::with_hook(DIES);
    // All that the server has, it has from another.
    let aside = balanced.path("lender.git");
    fs::create_dir(&aside).unwrap();
    fs::rename(balanced.path("server.git/objects"), aside.join("objects")).unwrap();
    fs::create_dir_all(balanced.path("server.git/objects/info")).unwrap();
    fs::write(balanced.path("server.git/objects/info/alternates"), format!("{}\n", aside.join("objects").display()))
        .unwrap();
    assert!(!balanced.push(&EVERY_KIND).accepted);
    let (exit, printed) = balanced.recover();
    assert!(exit == 0 && printed.contains("carried out"), "{printed}");
    assert_eq!(balanced.value("main"), balanced.theirs("next"));
    balanced.check_clean();
}

#[test]
fn a_path_may_hold_anything() {
    let name = "a b\n%41:\"ü'$x\\.git";
    let balanced = Balanced::with_hook(DIES);
    fs::rename(balanced.path("server.git"), balanced.path(name)).unwrap();
    assert!(!push_to(&balanced, &format!("../{name}"), &[], &EVERY_KIND).accepted);
    assert!(recover(&balanced, &format!("../{name}")).contains("carried out"));
    fs::rename(balanced.path(name), balanced.path("server.git")).unwrap();
    assert_eq!(balanced.value("main"), balanced.theirs("next"));
    balanced.check_clean();
}

#[test]
fn a_repository_that_was_moved_is_settled_where_it_is() {
    for answer in ["0", "1"] {
        let balanced = Balanced::with_hook(DIES);
        let before = balanced.refs();
        assert!(!balanced.push(&EVERY_KIND).accepted);
        fs::rename(balanced.path("server.git"), balanced.path("moved.git")).unwrap();
        fs::create_dir(balanced.path("server.git")).unwrap();
        let hook = balanced.path("moved.git/hooks/balanced_update");
        fs::write(&hook, format!("#!/bin/sh\nexit {answer}\n")).unwrap();
        assert!(recover(&balanced, "../moved.git").contains(if answer == "0" { "carried out" } else { "rolled back" }));
        fs::remove_dir(balanced.path("server.git")).unwrap();
        fs::rename(balanced.path("moved.git"), balanced.path("server.git")).unwrap();
        assert_eq!(balanced.refs() == before, answer == "1");
        balanced.check_clean();
    }
}

/// A file system of its own, which goes when this is dropped.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn packed_refs_may_be_a_link_to_another_device_and_refs_a_device_of_their_own() {
    for (own_device, dies) in
        [("elsewhere", false), ("elsewhere", true), ("server.git/refs", false), ("server.git/refs", true)]
    {
        let balanced = Balanced::with_hook(if dies { DIES } else { "" });
        let (place, aside) = (balanced.path(own_device), balanced.path("aside"));
        if place.exists() {
            fs::rename(&place, &aside).unwrap();
        }
        fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&place).output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            skipped("only root can mount");
            return;
        }
        let _mounted = Mounted(place.clone());
        if aside.exists() {
            assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&place).status().unwrap().success());
        } else {
            let packed = balanced.path("server.git/packed-refs");
            fs::copy(&packed, place.join("packed")).unwrap();
            fs::remove_file(&packed).unwrap();
            symlink(place.join("packed"), packed).unwrap();
        }
        let pushed = balanced.push(&EVERY_KIND);
        assert_eq!(pushed.accepted, !dies, "{}", pushed.said);
        if dies {
            let (exit, printed) = balanced.recover();
            assert!(exit == 0 && printed.contains("carried out"), "{printed}");
        }
        assert_eq!(balanced.value("main"), balanced.theirs("next"));
        assert_eq!(balanced.path("server.git/packed-refs").is_symlink(), own_device == "elsewhere");
        balanced.check_clean();
    }
}

#[test]
fn where_nobody_may_write_a_push_is_refused_and_a_dead_one_left() {
    let Some(setpriv) = optional_program("setpriv", "util-linux") else { return };
    if !geteuid().is_root() {
        skipped("only root can be two users");
        return;
    }
    let balanced = Balanced::with_hook(DIES);
    fs::write(balanced.path("home/.gitconfig"), "[safe]\n\tdirectory = *\n").unwrap();
    let outside = balanced.path("..").canonicalize().unwrap();
    assert!(Command::new("chmod").args(["-R", "go+rX"]).arg(outside).status().unwrap().success());
    assert!(!balanced.push(&EVERY_KIND).accepted);
    let before = balanced.listing();
    let program = format!("{} --reuid=65534 --regid=65534 --clear-groups {}", setpriv.display(), ours().display());
    for refspec in ["next:main", "next:other", ":topic"] {
        let pushed = Pushed::of(balanced.start_push_through(&program, &[refspec]));
        assert!(!pushed.accepted && pushed.said.contains("cannot be settled yet"), "{refspec}: {}", pushed.said);
        assert_eq!(balanced.listing(), before);
    }
    let (exit, printed) = balanced.recover();
    assert!(exit == 0 && printed.contains("carried out"), "{printed}");
    balanced.check_clean();
}

#[test]
fn a_hook_that_pushes_into_the_repository_it_is_asked_about_is_refused() {
    let balanced = Balanced::new();
    let push = format!("git push -q --receive-pack='{}' . main:nested", ours().display());
    balanced.hook(&format!("[ \"$1\" != prepared ] || {{ {push} && echo pushed; }} >>\"$SEEN\" 2>&1; exit 0"));
    balanced.push(&EVERY_KIND).expect_yes();
    let seen = balanced.seen();
    assert!(seen.contains("ref updates forbidden inside quarantine environment") && !seen.contains("pushed"), "{seen}");
    balanced.check_clean();
    // With an environment of its own it is a push like any other.
    let other =
        format!("env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES {push}");
    balanced.hook(&format!("[ \"$1\" != prepared ] || [ -n \"$NESTED\" ] || NESTED=1 {other} >&2"));
    balanced.push(&["next2:main", "next2:old", "--force"]).expect_yes();
    assert_eq!(balanced.value("nested"), balanced.theirs("next"));
    balanced.check_clean();
}

#[test]
fn a_signal_between_the_decision_and_the_end_waits() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let balanced = Balanced::with_hook(
            r#"[ "$1" != prepared ] || { : >packed-refs.lock; echo $PPID >"$SEEN.push"; }; echo "$1" >>"$SEEN""#,
        );
        let push = balanced.start_push(&EVERY_KIND);
        let program = process_in(&balanced.path("seen.push"));
        eventually("the decision", || {
            let journal =
                fs::read_dir(balanced.path("server.git/balanced")).ok()?.flatten().find(|it| it.path().is_file())?;
            fs::read_to_string(journal.path()).ok()?.contains("\ndecided ").then_some(())
        });
        kill(program, signal).unwrap();
        assert!(balanced.path("server.git/refs/heads/main.lock").is_symlink());
        fs::remove_file(balanced.path("server.git/packed-refs.lock")).unwrap();
        Pushed::of(push);
        assert_eq!(balanced.seen(), "prepared\ncommitted\n", "{signal}");
        assert_eq!(balanced.value("main"), balanced.theirs("next"));
        assert_eq!(balanced.recover(), (0, String::new()));
        balanced.check_clean();
    }
}

#[test]
fn many_recoveries_and_pushes_at_once_settle_a_dead_one_together() {
    for answer in [0, 1] {
        let balanced = Balanced::with_hook(DIES);
        assert!(!balanced.push(&["next:main", "side:old", "next:shared/one"]).accepted);
        balanced.hook(&format!("echo \"$1\" >>\"$SEEN\"; [ \"$1\" != in-doubt ] || exit {answer}"));
        let recoveries: Vec<_> = (0..6)
            .map(|_| {
                let mut command = balanced.scene.command(".", ours());
                command.args(["--recover", "server.git"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        let refspecs = ["next2:a", "next2:b", ":topic", "next2:shared/two"];
        let pushes = refspecs.map(|refspec| balanced.start_push(&[refspec]));
        for push in pushes {
            Pushed::of(push).expect_yes();
        }
        for mut recovery in recoveries {
            assert!(recovery.wait().unwrap().success());
        }
        assert_eq!(balanced.recover().0, 0);
        assert_eq!(balanced.value("main") == balanced.theirs("next"), answer == 0);
        assert_eq!(balanced.value("shared/one").is_empty(), answer == 1);
        // The journal is locked while somebody asks.
        assert_eq!(balanced.seen().lines().filter(|line| *line == "in-doubt").count(), 1, "{}", balanced.seen());
        balanced.check_clean();
    }
}

#[test]
fn a_hook_ended_by_a_signal_is_no_yes_and_without_a_limit_it_takes_its_time() {
    let balanced = Balanced::with_hook(r#"[ "$1" != prepared ] || kill -TERM $$"#);
    balanced.config("receive.balancedTimeout", "0");
    let before = balanced.listing();
    balanced.push(&EVERY_KIND).expect_no("balanced_update hook declined");
    assert_eq!(balanced.listing(), before);
    balanced.hook(r#"[ "$1" != prepared ] || sleep 1"#);
    balanced.push(&EVERY_KIND).expect_yes();
    balanced.check_clean();
}
