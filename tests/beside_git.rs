//! git beside balanced pushes: its `pack-refs` and `gc` while a vote lasts and while refs are written. Nothing is lost.

pub mod support;

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use balanced_receive_pack::refs::transaction::Mode;
use support::{
    balanced::{Balanced, Pushed, eventually, is_of_a_transaction, process_in},
    beside::{few_or_all, with_beside},
    in_process::Server,
};

/// git may lose against a push, and says so.
fn git_beside(balanced: &Balanced, arguments: &[&str]) {
    balanced.scene.try_git("server.git", arguments);
}

#[test]
fn no_push_is_lost_to_pack_refs_beside_it() {
    let server = Server::make();
    let loose: Vec<String> = (0..500).map(|number| format!("refs/tags/t{number}")).collect();
    let (one, two) = ("refs/heads/one", "refs/heads/two");
    [one, two].iter().for_each(|name| server.set(name, 0));
    let busy = AtomicUsize::new(0);
    let rewrite = || {
        // Values change, or there would be nothing to pack.
        let value = server.commits[busy.fetch_add(1, Ordering::Relaxed) % 3];
        let lines: String = loose.iter().map(|name| format!("update {name} {value}\n")).collect();
        server.scene.feed("server.git", &["update-ref", "--stdin"], lines.as_bytes());
    };
    // It may lose against the rewriting.
    let pack = || drop(server.scene.try_git("server.git", &["pack-refs", "--all", "--prune", "--auto"]));
    with_beside(&[&rewrite, &pack], || {
        for round in 0..few_or_all(100, 2_000) {
            let (old, new) = (round % 3, (round + 1) % 3);
            let edits = [one, two].map(|name| server.edit(name, Some(old), Some(new)));
            server.commit(Mode::AllOrNone, edits.into()).unwrap();
            for name in [one, two] {
                assert_eq!(server.git(&["rev-parse", name]), server.commits[new].to_string(), "{name}, push {round}");
            }
        }
    });
    assert!(busy.into_inner() > 1);
    server.check_clean();
}

/// Says that it is asked, and waits until it is told to go on.
const WAITS: &str = r#"
[ "$1" = prepared ] || exit 0
echo "$$" >"$SEEN.asked"
until [ -e "$SEEN.go" ]; do sleep 0.01; done
"#;

#[test]
fn git_may_tidy_up_while_a_vote_lasts() {
    let balanced = Balanced::with_hook(WAITS);
    let refspecs = ["next:main", "side:old", "next2:deep/in/here", ":refs/tags/v1"];
    let push = balanced.start_push(&refspecs);
    process_in(&balanced.path("seen.asked"));
    let before = balanced.refs();
    for arguments in [
        &["gc", "--prune=now", "--quiet"][..],
        &["pack-refs", "--all", "--prune"],
        &["prune", "--expire=now"],
        &["repack", "-a", "-d", "-q"],
    ] {
        git_beside(&balanced, arguments);
    }
    assert_eq!(balanced.refs(), before);
    // Nobody takes the name of a ref that waits, or one below it.
    for name in ["refs/heads/deep/in/here", "refs/heads/deep/in/here/too", "refs/heads/deep/in"] {
        assert!(!balanced.scene.try_git("server.git", &["update-ref", name, "main"]).status.success(), "{name}");
    }
    balanced.scene.git(".", &["clone", "-q", "server.git", "clone"]);
    fs::write(balanced.path("seen.go"), "").unwrap();
    Pushed::of(push).expect_yes();
    assert_eq!(balanced.value("main"), balanced.theirs("next"));
    assert_eq!(balanced.value("refs/tags/v1"), "");
    balanced.check_clean();
}

#[test]
fn a_value_that_is_gone_after_the_vote_aborts_it() {
    let balanced = Balanced::with_hook(WAITS);
    // Objects that the server has, and no ref of it reaches: nothing of them is in quarantine.
    balanced.scene.git("server.git", &["fetch", "-q", "../client.git", "side:refs/heads/gone"]);
    balanced.scene.git("server.git", &["update-ref", "-d", "refs/heads/gone"]);
    let before = balanced.refs();
    let push = balanced.start_push(&["side:again"]);
    process_in(&balanced.path("seen.asked"));
    git_beside(&balanced, &["gc", "--prune=now", "--quiet"]);
    fs::write(balanced.path("seen.go"), "").unwrap();
    let pushed = Pushed::of(push);
    assert!(!pushed.accepted && pushed.said.contains("removed during the vote"), "{}", pushed.said);
    assert_eq!(balanced.refs(), before);
    balanced.check_clean();
}

#[test]
fn a_decided_push_passes_a_dead_writer_of_packed_refs() {
    // One dies with packed-refs locked; another that is decided by then waits for it, and settles it.
    let Some(strace) = support::optional_program("strace", "strace") else { return };
    let balanced = Balanced::new();
    let waits = WAITS.replace("prepared ]", "prepared ] && grep -q refs/heads/waits \"$SEEN.in\"");
    balanced.hook(&format!("cat >\"$SEEN.in\"\n{waits}"));
    let push = balanced.start_push(&["next:waits", "side:old"]);
    process_in(&balanced.path("seen.asked"));
    // The third rename is the one that would have put packed-refs in its place.
    let dying = format!(
        "{} -qqq -o /dev/null -e inject=rename:signal=KILL:when=3 {}",
        strace.display(),
        support::ours().display()
    );
    assert!(!Pushed::of(balanced.start_push_through(&dying, &["next:main", "next2:b"])).accepted);
    assert!(balanced.path("server.git/packed-refs.lock").is_symlink());
    fs::write(balanced.path("seen.go"), "").unwrap();
    Pushed::of(push).expect_yes();
    eventually("what the dead one left", || {
        let (status, _) = balanced.recover();
        (status == 0 && !balanced.listing().keys().any(|path| is_of_a_transaction(path))).then_some(())
    });
    assert_eq!(balanced.value("main"), balanced.theirs("next"));
    assert_eq!(balanced.value("waits"), balanced.theirs("next"));
    balanced.check_clean();
}
