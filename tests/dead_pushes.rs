//! What a push does about dead ones that it finds, while somebody has to be asked or told about those: no push waits for that
//! which has nothing to do with it.

pub mod support;

use std::fs;

use support::balanced::{Balanced, Pushed, eventually, killed_while_asked, process_in};

/// Waits for [an answer](Balanced::answer) when it is asked in doubt, or told, about a push of `old`.
const WAITS_LATER: &str = r#"
grep -q refs/heads/old || exit 0
echo "$1" >>"$SEEN"
echo "$$" >"$SEEN.later"
until [ -e "$SEEN.answer" ]; do sleep 0.01; done
exit "$(cat "$SEEN.answer")"
"#;

/// Wait until nothing of a transaction is left.
fn await_the_end(balanced: &Balanced) {
    eventually("the end of the recovery", || (!balanced.path("server.git/balanced").exists()).then_some(()));
    balanced.check_clean();
}

#[test]
fn a_push_of_other_refs_does_not_wait_for_the_word_of_a_hook() {
    for (status, expected) in [("0", "next"), ("1", "main")] {
        let balanced = killed_while_asked(true);
        balanced.hook(WAITS_LATER);
        balanced.push(&["next2:unrelated"]).expect_yes();
        // It was asked, and nobody has answered yet.
        process_in(&balanced.path("seen.later"));
        assert!(balanced.path("server.git/refs/heads/main.lock").is_symlink());
        balanced.push(&["next2:another"]).expect_yes();
        balanced.answer(status);
        await_the_end(&balanced);
        assert_eq!(balanced.value("main"), balanced.theirs(expected));
    }
}

#[test]
fn a_push_of_the_same_refs_waits_for_it() {
    // The same name, one that leads there, one below, and one above.
    for refspec in ["next2:main", "next2:alias", "next2:main/below", "next2:deep"] {
        let balanced = killed_while_asked(true);
        balanced.scene.git("server.git", &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
        balanced.hook(WAITS_LATER);
        let push = balanced.start_push(&[refspec]);
        process_in(&balanced.path("seen.later"));
        balanced.answer("1");
        let pushed = Pushed::of(push);
        let is_possible = !refspec.contains("main/");
        assert_eq!(pushed.accepted, is_possible, "{refspec}: {}", pushed.said);
        if !is_possible {
            assert!(pushed.said.contains("'refs/heads/main' exists"), "{}", pushed.said);
        }
        await_the_end(&balanced);
    }
}

#[test]
fn refs_whose_outcome_is_known_are_free_before_the_hook_hears_of_it() {
    // Killed by its own hook when the refs have their values, or when they will not get them.
    for (status, phase, expected) in [(0, "committed", "next"), (1, "aborted", "main")] {
        let balanced = Balanced::with_hook(&format!(
            "echo \"$1\" >>\"$SEEN\"; case $1 in prepared) exit {status} ;; *) kill -9 $PPID ;; esac"
        ));
        assert!(!balanced.push(&["next:main", "side:old"]).accepted);
        assert_eq!(balanced.seen(), format!("prepared\n{phase}\n"));
        assert_eq!(balanced.value("main"), balanced.theirs(expected));
        balanced.hook(WAITS_LATER);
        balanced.push(&["next2:main"]).expect_yes();
        process_in(&balanced.path("seen.later"));
        balanced.answer("0");
        await_the_end(&balanced);
        assert_eq!(balanced.value("main"), balanced.theirs("next2"));
        assert_eq!(balanced.seen().lines().filter(|line| *line == phase).count(), 2, "{}", balanced.seen());
    }
}

#[test]
fn what_stays_in_doubt_is_told_the_person_who_pushes() {
    let balanced = killed_while_asked(true);
    balanced.hook(r#"[ "$1" != in-doubt ] || exit 2"#);
    let pushed = balanced.push(&["next2:main"]);
    assert!(
        !pushed.accepted && pushed.said.contains("warning: ") && pushed.said.contains("in doubt"),
        "{}",
        pushed.said
    );
    let pushed = balanced.push(&["next2:other"]);
    assert!(pushed.accepted && pushed.said.contains("in doubt"), "{}", pushed.said);
    let mut beside = balanced.scene.command(".", support::ours());
    let output = beside.arg("--recover-beside").arg(balanced.path("server.git")).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("in doubt"));
    fs::remove_file(balanced.path("server.git/hooks/balanced_update")).unwrap();
    let output = beside.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    balanced.check_clean();
}

#[test]
fn objects_are_found_where_the_dead_push_had_them() {
    let balanced = Balanced::with_hook("[ \"$1\" != prepared ] || { kill -9 $PPID; exit 1; }");
    let (elsewhere, objects) = (balanced.path("elsewhere"), balanced.path("server.git/objects"));
    fs::create_dir(&elsewhere).unwrap();
    let program = format!(
        "env GIT_OBJECT_DIRECTORY={} GIT_ALTERNATE_OBJECT_DIRECTORIES={} {}",
        elsewhere.display(),
        objects.display(),
        support::ours().display()
    );
    assert!(!Pushed::of(balanced.start_push_through(&program, &["next:main", "next2:new"])).accepted);
    let is_quarantine = |name: &str| name.starts_with("incoming-");
    assert!(fs::read_dir(&elsewhere).unwrap().any(|entry| is_quarantine(entry.unwrap().file_name().to_str().unwrap())));
    // Whoever recovers knows nothing of that place.
    let (exit, printed) = balanced.recover();
    assert!(exit == 0 && printed.contains("carried out"), "{printed}");
    let main = fs::read_to_string(balanced.path("server.git/refs/heads/main")).unwrap();
    assert_eq!(main.trim_end(), balanced.theirs("next"));
    assert!(
        fs::read_dir(&elsewhere).unwrap().all(|entry| !is_quarantine(entry.unwrap().file_name().to_str().unwrap()))
    );
    // There they are.
    fs::write(objects.join("info/alternates"), format!("{}\n", elsewhere.display())).unwrap();
    balanced.check_clean();
}
