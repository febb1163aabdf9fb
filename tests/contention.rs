//! Pushes beside each other: those of the same refs win whole or lose whole, those of different refs do not wait for each other.

pub mod support;

use std::{
    collections::BTreeMap,
    fs,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use support::{
    balanced::{Balanced, Pushed},
    beside::{few_or_all, with_beside},
};

const REFS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
fn pushes_of_the_same_refs_win_whole_or_lose_whole() {
    let balanced = Balanced::new();
    balanced.config("core.logAllRefUpdates", "always");
    balanced.config("core.filesRefLockTimeout", "1000");
    balanced.push(&REFS.map(|name| format!("main:{name}")).each_ref().map(String::as_str)).expect_yes();
    let (pushers, rounds, time) = few_or_all((4, 6, Duration::ZERO), (8, 6, Duration::from_secs(60)));
    // How many pushes changed each ref, how many won, and how many there were.
    let tally = Mutex::new((BTreeMap::<&str, usize>::new(), 0, 0));
    let pack = || drop(balanced.scene.try_git("server.git", &["pack-refs", "--all", "--prune"]));
    let look = || {
        let values: Vec<String> = REFS.map(|name| balanced.value(name)).into();
        assert!(values.iter().all(|value| !value.is_empty()), "{values:?}");
    };
    let start = Instant::now();
    with_beside(&[&pack, &look], || {
        thread::scope(|scope| {
            for pusher in 0..pushers {
                let (balanced, tally) = (&balanced, &tally);
                scope.spawn(move || {
                    for round in (0..).take_while(|round| *round < rounds || start.elapsed() < time) {
                        // Three refs of the six, which other pushes share in part; a value that none of them has now.
                        let refs = [0, 1, 3].map(|step| REFS[(pusher + round + step) % REFS.len()]);
                        let value = format!("many~{}", (pusher + pushers * round) % 50);
                        let refspecs = refs.map(|name| format!("+{value}:{name}"));
                        let pushed = balanced.push(&refspecs.each_ref().map(String::as_str));
                        let refused = pushed.said.matches("rejected]").count();
                        let lines = pushed.said.lines().filter(|line| line.contains(" -> ")).count();
                        // Whole, of what was sent: a ref that has the value already is no part of it.
                        assert!(refused == 0 || refused == lines, "{}", pushed.said);
                        assert_eq!(pushed.accepted, refused == 0, "{}", pushed.said);
                        let mut tally = tally.lock().unwrap();
                        tally.1 += usize::from(pushed.accepted);
                        tally.2 += 1;
                        for name in refs.into_iter().filter(|name| pushed.accepted && sent(&pushed, name)) {
                            *tally.0.entry(name).or_default() += 1;
                        }
                    }
                });
            }
        });
    });
    let (changes, won, pushes) = tally.into_inner().unwrap();
    eprintln!("{won} of {pushes} pushes won");
    assert!(won >= 1);
    for name in REFS {
        let log = fs::read_to_string(balanced.path("server.git/logs/refs/heads").join(name)).unwrap();
        let steps: Vec<_> = log.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>()).collect();
        // Every push that won left a line, and each goes on where the one before ended.
        assert_eq!(steps.len(), 1 + changes.get(name).copied().unwrap_or_default(), "{name}");
        assert!(steps.windows(2).all(|pair| pair[0][1] == pair[1][0]), "{log}");
        assert_eq!(steps.last().unwrap()[1], balanced.value(name));
    }
    balanced.check_clean();
}

/// True if the client says that it changed branch `name`.
fn sent(pushed: &Pushed, name: &str) -> bool {
    pushed
        .said
        .lines()
        .any(|line| line.split_once(" -> ").is_some_and(|(_, rest)| rest.split(' ').next() == Some(name)))
}

/// Says yes when all of them have been asked.
const MEETS: &str = r#"
[ "$1" = prepared ] || exit 0
mkdir -p "$SEEN.all" && : >"$SEEN.all/$GIT_BALANCED_TRANSACTION"
until [ "$(ls "$SEEN.all" | wc -l)" = 16 ]; do sleep 0.02; done
"#;

#[test]
fn votes_on_different_refs_are_held_side_by_side() {
    let balanced = Balanced::with_hook(MEETS);
    let refs: Vec<String> = (0..16).map(|number| format!("b{number}")).collect();
    // One that changes a ref and makes another, each.
    let pushes: Vec<_> =
        refs.iter().map(|name| balanced.start_push(&[&format!("next:{name}/x"), &format!("side:{name}/y")])).collect();
    for push in pushes {
        Pushed::of(push).expect_yes();
    }
    for name in refs {
        assert_eq!(balanced.value(&format!("{name}/x")), balanced.theirs("next"));
    }
    balanced.check_clean();
}
