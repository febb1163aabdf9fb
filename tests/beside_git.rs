//! git beside balanced pushes: its readers, its `pack-refs` and `gc`, and pushes beside each other. Nothing is lost, and
//! nobody sees half of a push.

pub mod support;

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use balanced_receive_pack::refs::transaction::Mode;
use support::{
    balanced::{Balanced, Pushed, eventually, is_of_a_transaction, process_in},
    in_process::Server,
};

/// Do `work` while others do `beside` again and again.
fn with_beside(beside: &[&(dyn Fn() + Sync)], work: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for again in beside {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    again();
                }
            });
        }
        let over = Over(&is_over);
        work();
        drop(over);
    });
}

/// Ends the others also if the work fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// git may lose against a push, and says so.
fn git_beside(balanced: &Balanced, arguments: &[&str]) {
    balanced.scene.try_git("server.git", arguments);
}

#[test]
fn readers_see_all_or_nothing_of_a_push() {
    let server = Server::make();
    let names: Vec<String> = (0..10).map(|number| format!("refs/heads/r{number}")).collect();
    names.iter().take(5).for_each(|name| server.set(name, 0));
    server.git(&["pack-refs", "--all"]);
    names.iter().skip(5).for_each(|name| server.set(name, 0));
    let (reads, mixtures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let read = || {
        let values = server.git(&["for-each-ref", "--format=%(objectname)", "refs/heads/"]);
        assert_eq!(values.lines().count(), names.len());
        reads.fetch_add(1, Ordering::Relaxed);
        if values.lines().collect::<BTreeSet<_>>().len() > 1 {
            mixtures.fetch_add(1, Ordering::Relaxed);
        }
    };
    with_beside(&[&read, &read], || {
        let mut push = 0;
        // Whatever the machine is busy with, there are readers and writers side by side.
        while push < 100 || reads.load(Ordering::Relaxed) < 300 {
            let (old, new) = (push % 2, (push + 1) % 2);
            let edits = names.iter().map(|name| server.edit(name, Some(old), Some(new))).collect();
            server.commit(Mode::AllOrNone, edits).unwrap();
            push += 1;
        }
    });
    let (reads, mixtures) = (reads.into_inner(), mixtures.into_inner());
    eprintln!("{mixtures} mixtures in {reads} reads");
    // A reader that is not given the processor between loose refs and packed ones may still meet one. With git's own atomic
    // push it is more than one in ten.
    assert!(mixtures * 50 <= reads, "{mixtures} of {reads}");
    server.check_clean();
}

#[test]
fn pushes_of_the_same_refs_win_whole_or_lose_whole() {
    let balanced = Balanced::new();
    balanced.config("core.logAllRefUpdates", "always");
    balanced.config("core.filesRefLockTimeout", "1000");
    balanced.push(&["main:a", "main:b", "main:c"]).expect_yes();
    // Each push has a value of its own, which its three refs get or none.
    let (pushers, rounds) = (4, 6);
    let won = AtomicUsize::new(0);
    let pack = || git_beside(&balanced, &["pack-refs", "--all", "--prune"]);
    let look = || {
        let values: Vec<String> = ["a", "b", "c"].map(|name| balanced.value(name)).into();
        assert!(values.iter().all(|value| !value.is_empty()), "{values:?}");
    };
    with_beside(&[&pack, &look], || {
        thread::scope(|scope| {
            for pusher in 0..pushers {
                let (balanced, won) = (&balanced, &won);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let value = format!("many~{}", pusher * rounds + round);
                        let refs = ["a", "b", "c"].map(|name| format!("+{value}:{name}"));
                        let refspecs: Vec<&str> = refs.iter().map(String::as_str).collect();
                        let pushed = balanced.push(&refspecs);
                        let refused = pushed.said.matches("rejected]").count();
                        assert!(refused == 0 || refused == 3, "{}", pushed.said);
                        assert_eq!(pushed.accepted, refused == 0, "{}", pushed.said);
                        won.fetch_add(usize::from(pushed.accepted), Ordering::Relaxed);
                    }
                });
            }
        });
    });
    let won = won.into_inner();
    eprintln!("{won} of {} pushes won", pushers * rounds);
    assert!(won >= 1);
    for name in ["a", "b", "c"] {
        let log = fs::read_to_string(balanced.path("server.git/logs/refs/heads").join(name)).unwrap();
        let steps: Vec<_> = log.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>()).collect();
        // Every push that won left a line, and each goes on where the one before ended.
        assert_eq!(steps.len(), 1 + won);
        assert!(steps.windows(2).all(|pair| pair[0][1] == pair[1][0]), "{log}");
        assert_eq!(steps[won][1], balanced.value(name));
        assert_eq!(balanced.value(name), balanced.value("a"));
    }
    balanced.check_clean();
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
    assert!(!pushed.accepted && pushed.said.contains("is gone"), "{}", pushed.said);
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
