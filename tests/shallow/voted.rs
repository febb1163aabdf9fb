//! Balanced mode: the `shallow` file is in step with the vote.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::{
    farm::Farm,
    support::{
        balanced::{eventually, listing},
        ours,
    },
};

/// A server in balanced mode with `main`, a client whose `more` and `fork` need roots there, and the hook.
fn farm(hook: &str) -> Farm {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.scene.git("server.git", &["config", "receive.balancedAtomic", "true"]);
    fs::create_dir_all(farm.path("server.git/hooks")).unwrap();
    farm.client(2);
    farm.scene.hook("balanced_update", hook);
    farm
}

fn server(farm: &Farm) -> BTreeMap<String, String> {
    listing(&farm.path("server.git"))
}

const BOTH: [&str; 2] = ["more:refs/heads/more", "fork:refs/heads/fork"];

#[test]
fn a_yes_takes_all_roots_over() {
    let farm = farm("");
    let hook = farm.record("cat; git rev-list --objects --not --all --not refs/heads/main >/dev/null");
    farm.scene.hook("balanced_update", &hook);
    let pushed = farm.push(&BOTH);
    assert_eq!((pushed.words(), &pushed.roots), (vec!["ok"; 2], &farm.ids(&["main~1", "fork~1"])));
    let seen: Vec<_> = pushed.seen.split("hooks/balanced_update ").skip(1).collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    // While the objects are in quarantine the roots are with them; afterwards they are in their place.
    assert!(seen[0].starts_with("prepared") && seen[0].contains("/objects/incoming-"), "{}", seen[0]);
    assert!(seen[0].contains(&farm.id("source.git", "main~1")), "{}", seen[0]);
    assert!(seen[1].starts_with("committed") && seen[1].contains("file \n"), "{}", seen[1]);
}

#[test]
fn a_hook_that_votes_can_walk_the_new_history() {
    let farm = farm("while read old new name; do git rev-list --objects $new >/dev/null || exit 1; done");
    assert_eq!(farm.push(&BOTH).words(), ["ok"; 2]);
}

#[test]
fn a_no_leaves_the_file_as_it_was() {
    for before in ["whole", "cut off"] {
        let farm = farm("test $1 != prepared");
        if before == "cut off" {
            fs::write(farm.path("server.git/shallow"), format!("{}\n", farm.id("source.git", "main~8"))).unwrap();
        }
        let files = server(&farm);
        assert_eq!(farm.push(&BOTH).words(), ["balanced_update hook declined"; 2]);
        assert_eq!(server(&farm), files, "{before}");
    }
}

#[test]
fn a_signal_during_the_vote_leaves_the_file_as_it_was() {
    let farm = farm("test $1 != prepared || { kill -TERM $PPID; exec sleep 60; }");
    let files = server(&farm);
    assert!(farm.try_push_with(ours(), "client.git", &BOTH).is_err());
    // The client may be gone before the server is.
    eventually("the end of the push", || (server(&farm) == files).then_some(()));
}

#[test]
fn a_vote_that_died_is_taken_up_with_its_roots() {
    for answer in ["0", "1"] {
        let farm = farm(&format!("case $1 in prepared) kill -KILL $PPID;; in-doubt) exit {answer};; esac"));
        assert!(farm.try_push_with(ours(), "client.git", &BOTH).is_err());
        assert!(farm.path("server.git/shallow.lock").symlink_metadata().is_ok() && farm.roots().is_empty());
        // As a hook must be able to tell.
        let hook = format!(
            "test $1 != in-doubt || {{ while read old new name; do git rev-list --objects $new >/dev/null || exit 2; done; exit {answer}; }}"
        );
        farm.scene.hook("balanced_update", &hook);
        let output = farm.scene.command(".", ours()).args(["--recover", "server.git"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let expected = if answer == "0" { farm.ids(&["main~1", "fork~1"]) } else { farm.ids(&[]) };
        assert_eq!(farm.roots(), expected);
        assert_eq!(farm.refs().contains("refs/heads/more"), answer == "0");
        farm.check();
    }
}

#[test]
fn the_lock_is_held_through_the_vote() {
    let farm = farm("test $1 != prepared || test -L shallow.lock");
    assert_eq!(farm.push(&BOTH).words(), ["ok"; 2]);
    // Who needs no root waits for nobody.
    farm.scene.hook("balanced_update", "! test -L shallow.lock");
    assert_eq!(farm.push(&["aside:refs/heads/more", "-f"]).words(), ["ok"]);
}

#[test]
fn what_cannot_be_is_not_put_to_a_vote() {
    let farm = farm("echo asked >>asked");
    farm.scene.write("server.git/shallow.lock", "");
    farm.scene.git("server.git", &["config", "receive.balancedTimeout", "1"]);
    let pushed = farm.push_with(ours(), "client.git", &BOTH);
    let mut words = pushed.words();
    words.sort();
    assert!(words.contains(&"shallow error") && !words.contains(&"ok"), "{words:?}");
    assert!(pushed.roots.is_empty());
    fs::remove_file(farm.path("server.git/shallow.lock")).unwrap();
    farm.allow(false);
    let pushed = farm.push(&["more:refs/heads/more", "main~1:refs/heads/x", ":refs/heads/main"]);
    assert!(pushed.words().iter().all(|word| word.contains("atomic push failure") || word.contains("not allowed")));
    assert!(!farm.path("server.git/asked").exists());
}

#[test]
fn two_pushes_that_bring_roots_take_turns() {
    let farm = farm("");
    // The first waits in its vote until the second has been refused the lock or waits for it.
    let gate: PathBuf = farm.path("gate");
    let status = std::process::Command::new("mkfifo").arg(&gate).status().unwrap();
    assert!(status.success());
    farm.scene.hook(
        "balanced_update",
        &format!(
            "read old new name; if test $1-$name = prepared-refs/heads/more; then read go <'{}'; fi",
            gate.display()
        ),
    );
    std::thread::scope(|scope| {
        let first = scope.spawn(|| farm.push_with(ours(), "client.git", &["more:refs/heads/more"]));
        let opened = fs::OpenOptions::new().write(true).open(&gate).unwrap();
        // Open for writing: the first is in its vote.
        let second = scope.spawn(|| farm.push_with(ours(), "client.git", &["fork:refs/heads/fork"]));
        eventually("the second push", || {
            let journals = fs::read_dir(farm.path("server.git/balanced")).ok()?;
            let journals = journals.flatten().filter(|entry| entry.file_name().len() == 36).count();
            (journals == 2).then_some(())
        });
        std::io::Write::write_all(&mut &opened, b"go\n").unwrap();
        drop(opened);
        assert_eq!(first.join().unwrap().words(), ["ok"]);
        assert_eq!(second.join().unwrap().words(), ["ok"]);
    });
    assert_eq!(farm.roots(), farm.ids(&["main~1", "fork~1"]));
    farm.check();
}
