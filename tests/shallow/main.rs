//! Pushing from shallow clones and into shallow repositories, beside git's own program.
//!
//! Where more than one ref of a push needs a new root git 2.47 forgets all refs after the first (it reports nothing about
//! them), and of the last it does not look whether its history is whole: such pushes have no oracle.

#[path = "../support/mod.rs"]
pub mod support;

mod farm;
mod file;
mod random;
mod voted;

use std::fs;

use farm::{Farm, commit_at};
use support::push::pkt_line;

#[test]
fn roots_are_taken_over_at_every_depth() {
    for depth in 1..=3 {
        let farm = Farm::new();
        farm.empty_server();
        farm.client(depth);
        let pushed = farm.push_beside_git(&["more:refs/heads/new"]);
        assert_eq!(pushed.words(), ["ok"]);
        assert_eq!(pushed.roots, farm.ids(&[&format!("main~{}", depth - 1)]));
    }
}

#[test]
fn a_repository_that_takes_no_roots_over_refuses_what_needs_them() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.allow(false);
    farm.client(3);
    assert_eq!(farm.push_beside_git(&["more:refs/heads/new"]).words(), ["shallow update not allowed"]);
    assert!(!farm.path("server.git/shallow").exists());
    // The default.
    farm.scene.git("server.git", &["config", "--unset", "receive.shallowUpdate"]);
    let pushed = farm.push_beside_git(&["more:refs/heads/new", "main~2^{tree}:refs/tags/tree"]);
    let mut words = pushed.words();
    words.sort();
    assert_eq!(words, ["ok", "shallow update not allowed"]);
}

#[test]
fn a_root_that_the_repository_has_with_its_history_is_not_taken_over() {
    let farm = Farm::new();
    farm.server_behind(1);
    farm.client(3);
    for refspec in ["more:refs/heads/main", "aside:refs/heads/aside", "main~1:refs/heads/old", "v"] {
        assert_eq!(farm.push_beside_git(&[refspec]).words(), ["ok"], "{refspec}");
    }
    assert!(farm.roots().is_empty());
    // git makes an empty file here, which makes a shallow repository of a whole one.
    let deep = farm.scene.git("client.git", &["commit-tree", "main^{tree}", "-p", "main~2", "-m", "deep"]);
    assert_eq!(farm.push(&[&format!("{deep}:refs/heads/deep")]).words(), ["ok"]);
    assert!(!farm.path("server.git/shallow").exists());
}

#[test]
fn history_is_whole_whatever_its_clocks_say() {
    for (pace, limit) in [(0, "100"), (0, "1"), (-60, "100"), (-60, "1"), (60, "1")] {
        let farm = Farm::new();
        farm.empty_server();
        farm.scene.git("server.git", &["config", "receive.unpackLimit", limit]);
        farm.init("line.git", &[]);
        let line: String =
            (1..=5).map(|number| commit_at("main", number, 1_600_000_000 + number * pace, None)).collect();
        farm.scene.feed("line.git", &["fast-import", "--quiet"], line.as_bytes());
        for cut_off_at in 1..=4 {
            farm.scene
                .git("line.git", &["push", "-q", "-f", "../server.git", &format!("main~{cut_off_at}:refs/heads/main")]);
            farm.clone_of("server.git", "client.git", 1);
            let more = farm.scene.git("client.git", &["commit-tree", "main^{tree}", "-p", "main", "-m", "more"]);
            farm.scene.git("line.git", &["push", "-q", "-f", "../server.git", "main"]);
            farm.allow(false);
            let refspec = format!("{more}:refs/heads/new{cut_off_at}");
            assert_eq!(
                farm.push_beside_git(&[&refspec]).words(),
                ["ok"],
                "pace {pace}, unpacked below {limit}, {refspec}"
            );
            fs::remove_dir_all(farm.path("client.git")).unwrap();
        }
    }
}

#[test]
fn history_behind_hidden_refs_is_not_cut_off() {
    let farm = Farm::new();
    farm.server_behind(0);
    farm.scene.git("server.git", &["update-ref", "refs/hidden/main", "main"]);
    farm.scene.git("server.git", &["update-ref", "-d", "refs/heads/main"]);
    farm.scene.git("server.git", &["config", "receive.hideRefs", "refs/hidden"]);
    farm.client(3);
    assert_eq!(farm.push_beside_git(&["more:refs/heads/new"]).words(), ["ok"]);
    let deep = farm.scene.git("client.git", &["commit-tree", "main^{tree}", "-p", "main~2", "-m", "deep"]);
    farm.scene.git("server.git", &["update-ref", "-d", "refs/heads/new"]);
    assert_eq!(farm.push_beside_git(&[&format!("{deep}:refs/heads/deep")]).words(), ["ok"]);
    assert!(farm.roots().is_empty());
}

#[test]
fn an_alternate_makes_no_history_whole() {
    for (allowed, verdict) in [(false, "shallow update not allowed"), (true, "ok")] {
        let farm = Farm::new();
        farm.empty_server();
        farm.allow(allowed);
        farm.scene.write("server.git/objects/info/alternates", "../../source.git/objects\n");
        farm.client(3);
        let pushed = farm.push_beside_git(&["more:refs/heads/new"]);
        assert_eq!(pushed.words(), [verdict]);
        assert_eq!(pushed.roots, farm.ids(if allowed { &["main~2"] } else { &[] }));
    }
}

#[test]
fn a_root_under_an_existing_branch_is_taken_over_when_the_branch_is_forced() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.client(2);
    let pushed = farm.push_beside_git(&["+more:refs/heads/main"]);
    assert_eq!((pushed.words(), &pushed.roots), (vec!["ok"], &farm.ids(&["main~1"])));
}

#[test]
fn a_shallow_repository_is_built_upon() {
    let farm = Farm::new();
    farm.shallow_server(2);
    let roots = farm.roots();
    // From one that has more, as much, and less.
    for depth in [5, 2] {
        farm.client(depth);
        assert_eq!(farm.push_beside_git(&["more:refs/heads/main"]).words(), ["ok"]);
        assert_eq!(farm.roots(), roots);
        fs::remove_dir_all(farm.path("client.git")).unwrap();
        farm.scene.git("server.git", &["update-ref", "refs/heads/main", "main~1"]);
    }
    farm.client(1);
    assert_eq!(farm.push_beside_git(&["main:refs/heads/same"]).words(), ["ok"]);
    assert_eq!(farm.roots(), roots, "its root lies above the server's");
}

#[test]
fn a_push_may_bring_what_was_cut_off() {
    let farm = Farm::new();
    farm.shallow_server(2);
    let roots = farm.roots();
    farm.scene.git(".", &["clone", "-q", "--bare", "source.git", "client.git"]);
    // The client takes it for something that the server has, since it lies behind the server's branch.
    assert_eq!(farm.push_beside_git(&["main~5:refs/heads/past"]).words(), ["missing necessary objects"]);
    farm.scene.git("server.git", &["update-ref", "-d", "refs/heads/main"]);
    farm.scene.git("server.git", &["update-ref", "-d", "refs/heads/fork"]);
    assert_eq!(farm.push_beside_git(&["main~5:refs/heads/past"]).words(), ["ok"]);
    assert_eq!(farm.roots(), roots, "only a fetch unshallows");
}

#[test]
fn an_annotated_tag_brings_the_root_of_what_it_names() {
    let farm = Farm::new();
    farm.empty_server();
    farm.client(4);
    let pushed = farm.push_beside_git(&["v"]);
    assert_eq!((pushed.words(), &pushed.roots), (vec!["ok"], &farm.ids(&["main~3"])));
}

#[test]
fn a_deletion_needs_no_root() {
    let farm = Farm::new();
    farm.server_behind(2);
    farm.client(1);
    farm.scene.git("server.git", &["config", "receive.denyDeleteCurrent", "ignore"]);
    // git dies of a segmentation fault.
    let pushed = farm.push(&[":refs/heads/main"]);
    assert_eq!((pushed.words(), pushed.roots.len()), (vec!["ok"], 0));
}

#[test]
fn each_accepted_ref_brings_its_own_roots() {
    let farm = Farm::new();
    farm.empty_server();
    farm.client(2);
    farm.scene.hook("update", "test \"$1\" != refs/heads/no");
    let refs = ["main:refs/heads/no", "fork:refs/heads/yes", "more:refs/heads/also", "v"];
    let pushed = farm.push(&refs);
    let verdicts = &pushed.verdicts;
    let refused = ("refs/heads/no".to_owned(), "hook declined".to_owned());
    assert_eq!((verdicts.len(), verdicts.contains(&refused)), (4, true), "{verdicts:?}");
    assert_eq!(pushed.roots, farm.ids(&["fork~1", "main~1"]));
}

#[test]
fn roots_of_a_refused_ref_are_not_taken_over() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.client(2);
    farm.scene.hook("update", "test \"$1\" != refs/heads/no");
    assert_eq!(farm.push_beside_git(&["fork:refs/heads/no"]).words(), ["hook declined"]);
    assert!(farm.roots().is_empty());
    let pushed = farm.push_beside_git(&["fork:refs/heads/no", "more:refs/heads/yes"]);
    assert_eq!(pushed.roots, farm.ids(&["main~1"]));
    farm.scene.hook("pre-receive", "exit 1");
    assert_eq!(farm.push_beside_git(&["fork"]).words(), ["pre-receive hook declined"]);
    assert_eq!(farm.roots(), pushed.roots);
}

/// git leaves them in the file.
#[test]
fn roots_of_a_ref_that_fails_under_its_lock_are_not_taken_over() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.client(2);
    farm.scene.hook("update", "case $1 in refs/heads/new*) git update-ref $1 refs/heads/main; esac");
    let pushed = farm.push(&["more:refs/heads/new", "fork:refs/heads/other"]);
    assert_eq!(pushed.words(), ["reference already exists", "ok"]);
    assert_eq!(pushed.roots, farm.ids(&["fork~1"]));
    let pushed = farm.push(&["--atomic", "more:refs/heads/newer", "aside:refs/heads/another"]);
    assert!(!pushed.words().contains(&"ok"), "{pushed:?}");
    assert_eq!(farm.roots(), farm.ids(&["fork~1"]));
}

#[test]
fn an_atomic_push_takes_all_roots_over_or_none() {
    let farm = Farm::new();
    farm.server_behind(6);
    farm.client(2);
    farm.scene.hook("update", "test \"$1\" != refs/heads/no");
    let pushed = farm.push(&["--atomic", "more:refs/heads/a", "fork:refs/heads/b", "aside:refs/heads/no"]);
    assert!(!pushed.words().contains(&"ok") && pushed.roots.is_empty(), "{pushed:?}");
    let pushed = farm.push(&["--atomic", "more:refs/heads/a", "fork:refs/heads/b", "aside:refs/heads/c"]);
    assert_eq!(pushed.words(), ["ok"; 3]);
    assert_eq!(pushed.roots, farm.ids(&["main~1", "fork~1"]));
}

#[test]
fn hooks_see_the_roots_before_they_are_taken_over() {
    let hooks = ["pre-receive", "update", "post-receive", "post-update"];
    for (arguments, server_has_it) in [(["more:refs/heads/x"], false), (["more:refs/heads/main"], true)] {
        let farm = Farm::new();
        farm.server_behind(if server_has_it { 0 } else { 6 });
        farm.client(2);
        farm.recording(&hooks);
        let seen = farm.push_beside_git(&arguments).seen;
        assert_eq!(seen.matches("server.git/shallow_…").count(), hooks.len(), "{seen}");
        assert_eq!(seen.matches(&farm.id("source.git", "main~1")).count(), hooks.len(), "{seen}");
        // Without permission they are on their own.
        farm.allow(false);
        let seen = farm.push_beside_git(&["aside:refs/heads/y"]).seen;
        assert!(!seen.contains("shallow_"), "{seen}");
    }
}

#[test]
fn a_hook_can_walk_the_new_history() {
    let farm = Farm::new();
    farm.empty_server();
    farm.client(3);
    farm.scene.hook("pre-receive", "read old new name && git rev-list --objects $new >&2");
    farm.scene.hook("reference-transaction", "read old new name && git rev-list --objects $new >&2");
    assert_eq!(farm.push_beside_git(&["more:refs/heads/x"]).words(), ["ok"]);
}

#[test]
fn a_rewind_is_told_from_a_new_history() {
    let farm = Farm::new();
    farm.server_behind(2);
    farm.scene.git("server.git", &["config", "receive.denyNonFastForwards", "true"]);
    farm.client(5);
    assert_eq!(farm.push_beside_git(&["more:refs/heads/main"]).words(), ["ok"]);
    assert_eq!(farm.push_beside_git(&["+main:refs/heads/main"]).words(), ["non-fast-forward"]);
    // git dies of the first parent that is not there.
    fs::remove_dir_all(farm.path("client.git")).unwrap();
    farm.client(1);
    farm.scene.git("server.git", &["update-ref", "refs/heads/main", "main~4"]);
    assert_eq!(farm.push(&["+aside:refs/heads/main"]).words(), ["non-fast-forward"]);
    assert!(farm.roots().is_empty());
}

#[test]
fn what_does_not_connect_is_a_shallow_error() {
    for atomic in [false, true] {
        let farm = Farm::new();
        farm.server_behind(6);
        farm.client(2);
        let (root, blob) = (farm.id("client.git", "more"), farm.id("client.git", "main:f10"));
        // A client whose history is as cut off as it says, but that leaves an object out.
        let objects = farm.scene.git("client.git", &["rev-list", "--objects", "more", "fork"]);
        let ids: String =
            objects.lines().filter(|line| !line.starts_with(&blob)).map(|line| line[..40].to_owned() + "\n").collect();
        let pack = farm.scene.feed("client.git", &["pack-objects", "--stdout", "-q"], ids.as_bytes());
        let null = "0".repeat(40);
        let shallow = fs::read_to_string(farm.path("client.git/shallow")).unwrap();
        let capabilities = if atomic { "\0report-status atomic" } else { "\0report-status" };
        let lines = shallow.lines().map(|id| format!("shallow {id}")).chain([
            format!("{null} {root} refs/heads/bad{capabilities}"),
            format!("{null} {} refs/heads/good", farm.id("client.git", "fork")),
        ]);
        let mut request: Vec<u8> = lines.flat_map(|line| pkt_line(line.as_bytes())).collect();
        request.extend_from_slice(b"0000");
        request.extend(pack);
        let said = farm.serve(&request);
        assert!(said.contains("ng refs/heads/bad shallow error"), "{said}");
        let other = if atomic { "ng refs/heads/good atomic push failure" } else { "ok refs/heads/good" };
        assert!(said.contains(other), "{said}");
        assert_eq!(farm.roots(), if atomic { farm.ids(&[]) } else { farm.ids(&["fork~1"]) });
        farm.check();
    }
}
