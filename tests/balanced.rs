//! The contract of balanced-atomic mode: a yes commits all refs, anything else leaves no trace, and the hook is told.

pub mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use nix::sys::signal::{Signal, kill};
use support::{
    balanced::{Balanced, EVERY_KIND, Pushed, WAITS, eventually, killed_while_asked, process_in},
    ours,
};

/// Writes down what it is told; a yes.
const RECORDS: &str = r#"{ echo "== $1"; cat; } >>"$SEEN""#;

/// Says how it is called, and no.
const NO: &str = r#"echo "$1" >>"$SEEN"; [ "$1" != prepared ]"#;

#[test]
fn a_yes_commits_every_ref() {
    let balanced = Balanced::with_hook(RECORDS);
    balanced.push(&EVERY_KIND).expect_yes();
    for (theirs, ours) in [("next", "main"), ("side", "old"), ("next2", "deep/in/here")] {
        assert_eq!(balanced.value(ours), balanced.theirs(theirs));
    }
    assert_eq!(balanced.value("refs/tags/v1"), "");
    balanced.check_clean();
}

#[test]
fn the_hook_is_told_exactly_what_changes() {
    let balanced = Balanced::with_hook(
        r#"{ echo "== $#: $1"; env | grep -E '^GIT_(BALANCED|QUARANTINE|OBJECT|ALTERNATE|PUSH|DIR)' | sort; cat; } >>"$SEEN""#,
    );
    balanced.config("receive.advertisePushOptions", "true");
    let [main, old, v1] = ["main", "old", "v1"].map(|name| balanced.value(name));
    balanced.push(&["-o", "why not", "next:main", "side:old", "next2:deep/in/here", ":refs/tags/v1"]).expect_yes();
    let (next, side, next2) = (balanced.theirs("next"), balanced.theirs("side"), balanced.theirs("next2"));
    let null = "0".repeat(40);
    let lines = format!(
        "{null} {next2} refs/heads/deep/in/here\n{main} {next} refs/heads/main\n{old} {side} refs/heads/old\n{v1} {null} refs/tags/v1\n"
    );
    fs::write(balanced.path("lines"), &lines).unwrap();
    let mut sum = balanced.scene.command(".", "sha256sum");
    let sum = support::balanced::succeed(sum.arg("lines"));
    let hash = sum.split(' ').next().unwrap();
    let seen = balanced.seen();
    let id = seen.lines().find_map(|line| line.strip_prefix("GIT_BALANCED_TRANSACTION=")).unwrap();
    let objects = balanced.path("server.git").canonicalize().unwrap();
    let objects = format!("{}/./objects", objects.display());
    let always = format!("GIT_BALANCED_TRANSACTION={id}\nGIT_BALANCED_UPDATE_HASH={hash}\nGIT_DIR=.\n");
    let option = "GIT_PUSH_OPTION_0=why not\nGIT_PUSH_OPTION_COUNT=1\n";
    let quarantine = format!("{objects}/incoming-{id}");
    let prepared = format!(
        "== 1: prepared\nGIT_ALTERNATE_OBJECT_DIRECTORIES={objects}\n{always}GIT_OBJECT_DIRECTORY={quarantine}\n{option}GIT_QUARANTINE_PATH={quarantine}\n{lines}"
    );
    assert_eq!(seen, format!("{prepared}== 1: committed\n{always}{option}{lines}"));
}

#[test]
fn a_no_leaves_the_repository_as_if_nothing_had_been_sent() {
    let pushes: [&[&str]; 6] = [
        &EVERY_KIND,
        &["next:main"],
        &["next2:brand/new"],
        // More objects than become loose ones.
        &["many:many", "next:main"],
        &[":refs/tags/v1", ":old"],
        &[":topic"],
    ];
    for refspecs in pushes {
        let balanced = Balanced::with_hook(NO);
        balanced.config("receive.unpackLimit", "20");
        balanced.config("core.logAllRefUpdates", "always");
        fs::remove_dir_all(balanced.path("server.git/objects/pack")).unwrap();
        let before = balanced.listing();
        balanced.push(refspecs).expect_no("balanced_update hook declined");
        assert_eq!(balanced.listing(), before, "{refspecs:?}");
        assert_eq!(balanced.seen(), "prepared\naborted\n");
        // It was for the hook alone to say.
        balanced.hook(RECORDS);
        balanced.push(refspecs).expect_yes();
        balanced.check_clean();
    }
}

#[test]
fn without_a_hook_a_push_is_atomic_all_the_same() {
    let balanced = Balanced::new();
    let before = balanced.listing();
    balanced.scene.hook("update", r#"[ "$1" != refs/heads/new ]"#);
    let with_hook = balanced.listing();
    let pushed = balanced.push(&["next:main", "next2:new"]);
    assert!(pushed.said.contains("next -> main (atomic push failure)"), "{}", pushed.said);
    assert!(pushed.said.contains("next2 -> new (hook declined)"), "{}", pushed.said);
    assert_eq!(balanced.listing(), with_hook);
    fs::remove_file(balanced.path("server.git/hooks/update")).unwrap();
    assert_eq!(balanced.listing(), before);
    balanced.push(&["next:main", "next2:new"]).expect_yes();
    balanced.check_clean();
}

#[test]
fn nobody_is_asked_about_a_push_that_cannot_be() {
    for (key, value, reason) in [
        ("receive.hideRefs", "refs/heads/new", "deny updating a hidden ref"),
        ("receive.procReceiveRefs", "refs/heads/new", "proc-receive is not possible in balanced-atomic mode"),
    ] {
        let balanced = Balanced::with_hook(RECORDS);
        balanced.config(key, value);
        balanced.scene.hook("pre-receive", &format!("echo asked >>'{}'", balanced.path("seen").display()));
        let before = balanced.listing();
        let pushed = balanced.push(&["next:main", "next2:new"]);
        assert!(pushed.said.contains(&format!("next2 -> new ({reason})")), "{}", pushed.said);
        assert!(pushed.said.contains("next -> main (atomic push failure)"), "{}", pushed.said);
        assert_eq!(balanced.seen(), "");
        assert_eq!(balanced.listing(), before);
    }
}

#[test]
fn a_hook_that_takes_too_long_is_ended_with_its_children() {
    let balanced = Balanced::with_hook(
        r#"echo "$1" >>"$SEEN"; [ "$1" = prepared ] || exit 0
        sleep 1000 & echo $! >"$SEEN.child"; sleep 1000"#,
    );
    balanced.config("receive.balancedTimeout", "1");
    let before = balanced.listing();
    balanced.push(&EVERY_KIND).expect_no("balanced_update hook timed out");
    assert_eq!(balanced.listing(), before);
    assert_eq!(balanced.seen(), "prepared\naborted\n");
    let child = process_in(&balanced.path("seen.child"));
    eventually("the end of the hook's child", || has_ended(child).then_some(()));
}

fn has_ended(process: nix::unistd::Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn the_vote_counts_when_the_hook_exits() {
    let balanced = Balanced::with_hook(r#"sleep 1000 & echo $! >"$SEEN.child"; exit 0"#);
    balanced.push(&EVERY_KIND).expect_yes();
    kill(process_in(&balanced.path("seen.child")), Signal::SIGKILL).unwrap();
    balanced.check_clean();
}

#[test]
fn a_signal_during_the_vote_undoes_the_push_and_ends_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let balanced = Balanced::with_hook(WAITS);
        let before = balanced.listing();
        let push = balanced.start_push(&EVERY_KIND);
        let [program, hook] = ["seen.push", "seen.hook"].map(|file| process_in(&balanced.path(file)));
        kill(program, signal).unwrap();
        let pushed = Pushed::of(push);
        assert!(!pushed.accepted && !pushed.said.contains("[remote rejected]"), "{}", pushed.said);
        assert_eq!(balanced.listing(), before);
        assert_eq!(balanced.seen(), "prepared\naborted\n");
        assert!(has_ended(hook));
    }
}

#[test]
fn a_client_that_hangs_up_does_not_change_the_vote() {
    for (status, refspecs) in [("0", &EVERY_KIND[..]), ("1", &EVERY_KIND[..])] {
        let balanced = Balanced::with_hook(WAITS);
        let before = balanced.listing();
        let mut push = balanced.start_push(refspecs);
        let program = process_in(&balanced.path("seen.push"));
        push.kill().unwrap();
        push.wait().unwrap();
        balanced.answer(status);
        eventually("the end of the push", || has_ended(program).then_some(()));
        if status == "0" {
            assert_eq!(balanced.value("main"), balanced.theirs("next"));
            assert_eq!(balanced.seen(), "prepared\ncommitted\n");
            balanced.check_clean();
        } else {
            assert_eq!(balanced.listing(), before);
            assert_eq!(balanced.seen(), "prepared\naborted\n");
        }
    }
}

#[test]
fn a_hook_that_cannot_be_run_is_not_taken_for_a_yes() {
    let balanced = Balanced::with_hook(RECORDS);
    let hook = balanced.path("server.git/hooks/balanced_update");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap();
    let before = balanced.listing();
    let pushed = balanced.push(&EVERY_KIND);
    pushed.expect_no("balanced_update hook declined");
    assert!(pushed.said.contains("hooks/balanced_update' is not executable"), "{}", pushed.said);
    assert_eq!(balanced.listing(), before);

    fs::write(&hook, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let before = balanced.listing();
    let pushed = balanced.push(&EVERY_KIND);
    pushed.expect_no("balanced_update hook declined");
    assert!(pushed.said.contains("cannot exec"), "{}", pushed.said);
    assert_eq!(balanced.listing(), before);
    assert_eq!(balanced.seen(), "");
}

#[test]
fn a_time_limit_that_is_no_number_is_named() {
    let balanced = Balanced::new();
    balanced.config("receive.balancedTimeout", "soon");
    let pushed = balanced.push(&["next:main"]);
    assert!(!pushed.accepted && pushed.said.to_lowercase().contains("receive.balancedtimeout"), "{}", pushed.said);
}

#[test]
fn hooks_before_the_yes_see_the_objects_in_quarantine() {
    let balanced = Balanced::with_hook(r#"[ "$1" != prepared ] || git cat-file -e "$(cut -d' ' -f2)""#);
    let look = r#"git cat-file -e "$new" && [ -n "$GIT_QUARANTINE_PATH" ] || exit 1"#;
    balanced.scene.hook("update", &format!("new=$3; {look}"));
    let phase = format!(
        r#"case $1 in
        prepar*) while read -r old new ref; do {look}; done ;;
        *) [ -z "$GIT_QUARANTINE_PATH" ] && echo "$1" >>'{}' ;;
        esac"#,
        balanced.path("seen").display()
    );
    balanced.scene.hook("reference-transaction", &phase);
    balanced.push(&["next2:new"]).expect_yes();
    assert!(balanced.seen().contains("committed"));
    balanced.check_clean();
}

#[test]
fn the_work_tree_is_touched_after_the_yes_alone() {
    let balanced = Balanced::new();
    balanced.scene.add_work_tree();
    balanced.config("receive.denyCurrentBranch", "updateInstead");
    balanced.hook(&format!("{RECORDS}\n[ \"$1\" != prepared ] || [ -e \"$SEEN.yes\" ]"));
    let before = support::balanced::listing(&balanced.path("server.git"));
    balanced.push(&["next:main"]).expect_no("balanced_update hook declined");
    let mut after = support::balanced::listing(&balanced.path("server.git"));
    // git status' own cache.
    let index = before[".git/index"].clone();
    after.insert(".git/index".into(), index);
    assert_eq!(after, before);
    fs::write(balanced.path("seen.yes"), "").unwrap();
    balanced.push(&["next:main"]).expect_yes();
    assert_eq!(fs::read_to_string(balanced.path("server.git/dir/b")).unwrap(), "two, changed\n");
    assert_eq!(balanced.scene.git("server.git", &["status", "--porcelain"]), "");
}

#[test]
fn a_work_tree_that_cannot_follow_refuses_all() {
    let balanced = Balanced::new();
    balanced.scene.add_work_tree();
    balanced.config("receive.denyCurrentBranch", "updateInstead");
    balanced.hook(RECORDS);
    balanced.scene.hook("push-to-checkout", "exit 1");
    let before = balanced.refs();
    let pushed = balanced.push(&["next:main", "next2:new"]);
    assert!(pushed.said.contains("push-to-checkout hook declined"), "{}", pushed.said);
    assert!(pushed.said.contains("next2 -> new (atomic push failure)"), "{}", pushed.said);
    assert_eq!(balanced.refs(), before);
    let phases: Vec<String> =
        balanced.seen().lines().filter_map(|line| line.strip_prefix("== ").map(str::to_owned)).collect();
    assert_eq!(phases, ["prepared", "aborted"]);
    balanced.check_clean();
}

#[test]
fn votes_on_other_refs_go_on_beside() {
    let balanced = Balanced::with_hook(
        r#"[ "$1" = prepared ] || exit 0
        mkdir -p "$SEEN.d"; : >"$SEEN.d/$$"
        until [ "$(ls "$SEEN.d" | wc -l)" -ge 4 ]; do sleep 0.01; done"#,
    );
    // Each waits for all the others to be asked: together, or never.
    let refspecs = [["next:a", "next2:a2"], ["next:b", "next2:b2"], ["next:c", ":old"], ["next:main", ":refs/tags/v1"]];
    let pushes: Vec<_> = refspecs.iter().map(|refspecs| balanced.start_push(refspecs)).collect();
    for push in pushes {
        Pushed::of(push).expect_yes();
    }
    balanced.check_clean();
}

#[test]
fn two_votes_on_one_ref_do_not_meet() {
    let balanced = Balanced::with_hook(WAITS);
    let first = balanced.start_push(&["next:main", "next:x"]);
    process_in(&balanced.path("seen.push"));
    let second = balanced.push(&["next2:y", "next:main"]);
    assert!(!second.accepted, "{}", second.said);
    balanced.answer("0");
    Pushed::of(first).expect_yes();
    assert_eq!(balanced.value("y"), "");
    balanced.check_clean();
}

#[test]
fn a_packed_refs_lock_that_nobody_frees_is_met_before_the_vote() {
    let balanced = Balanced::with_hook(RECORDS);
    balanced.config("core.packedRefsTimeout", "50");
    fs::write(balanced.path("server.git/packed-refs.lock"), "").unwrap();
    let before = balanced.listing();
    balanced.push(&EVERY_KIND).expect_no("atomic transaction failed");
    assert_eq!(balanced.seen(), "");
    assert_eq!(balanced.listing(), before);
}

#[test]
fn what_is_decided_and_cannot_be_written_is_finished_later() {
    let balanced = Balanced::with_hook(r#"echo "$1" >>"$SEEN"; [ "$1" != prepared ] || : >packed-refs.lock"#);
    balanced.config("receive.balancedTimeout", "1");
    balanced.config("core.packedRefsTimeout", "50");
    let before = balanced.refs();
    let pushed = balanced.push(&EVERY_KIND);
    assert!(!pushed.accepted && !pushed.said.contains("[remote rejected]"), "{}", pushed.said);
    assert_eq!((balanced.refs(), balanced.seen()), (before.clone(), "prepared\n".to_owned()));

    let (status, printed) = balanced.recover();
    assert!(status == 1 && printed.contains("decided, but cannot be carried out yet"), "{status} {printed}");
    // Its refs are refused meanwhile, others work.
    balanced.push(&["next2:main"]).expect_no("");
    fs::remove_file(balanced.path("server.git/hooks/balanced_update")).unwrap();
    balanced.push(&["next2:unrelated"]).expect_yes();
    balanced.hook(RECORDS);

    fs::remove_file(balanced.path("server.git/packed-refs.lock")).unwrap();
    let (status, printed) = balanced.recover();
    assert!(status == 0 && printed.contains("carried out"), "{status} {printed}");
    assert_eq!(balanced.value("main"), balanced.theirs("next"));
    assert_eq!(balanced.value("refs/tags/v1"), "");
    assert!(balanced.seen().contains("== committed"));
    balanced.check_clean();
}

#[test]
fn the_hook_is_asked_again_about_a_vote_that_was_lost() {
    for (status, both) in [(0, true), (1, true), (2, true), (0, false), (1, false)] {
        let balanced = killed_while_asked(both);
        let before = balanced.refs();
        balanced.hook(&format!("{RECORDS}\n[ \"$1\" != in-doubt ] || exit {status}"));
        let (exit, printed) = balanced.recover();
        // It does not live on while somebody else is asked.
        assert!(has_ended(process_in(&balanced.path("seen.hook"))));
        let phases: Vec<String> =
            balanced.seen().lines().filter_map(|line| Some(line.strip_prefix("== ")?.to_owned())).collect();
        match status {
            0 => {
                assert!(exit == 0 && printed.contains("carried out"), "{printed}");
                assert_eq!(phases, ["in-doubt", "committed"]);
                assert_eq!(balanced.value("main"), balanced.theirs("next"));
                balanced.check_clean();
            }
            1 => {
                assert!(exit == 0 && printed.contains("rolled back"), "{printed}");
                assert_eq!(phases, ["in-doubt", "aborted"]);
                assert_eq!(balanced.refs(), before);
                balanced.check_clean();
            }
            _ => {
                assert!(exit == 1 && printed.contains("in doubt"), "{printed}");
                assert_eq!(phases, ["in-doubt"]);
                assert_eq!(balanced.refs(), before);
                // Its refs are refused, others are not.
                assert!(!balanced.push(&["next2:main"]).accepted);
                balanced.push(&["next2:other"]).expect_yes();
            }
        }
    }
}

#[test]
fn the_next_push_settles_what_a_dead_one_left() {
    let balanced = killed_while_asked(true);
    fs::remove_file(balanced.path("server.git/hooks/balanced_update")).unwrap();
    // Nobody is left who could have said yes.
    balanced.push(&["next2:main"]).expect_yes();
    assert_eq!(balanced.value("main"), balanced.theirs("next2"));
    assert_eq!(balanced.value("deep/in/here"), "");
    balanced.check_clean();
}

#[test]
fn a_yes_in_doubt_does_not_count_if_objects_are_gone() {
    let balanced = killed_while_asked(true);
    let before = balanced.refs();
    let objects = fs::read_dir(balanced.path("server.git/objects")).unwrap().map(|entry| entry.unwrap().path());
    let quarantine = objects.into_iter().find(|path| path.to_string_lossy().contains("incoming-")).unwrap();
    let lost = fs::read_dir(&quarantine).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    fs::remove_dir_all(lost).unwrap();
    balanced.hook(RECORDS);
    let (exit, printed) = balanced.recover();
    assert!(
        exit == 0 && printed.contains("rolled back") && printed.contains("objects that it needs are gone"),
        "{printed}"
    );
    assert_eq!(balanced.refs(), before);
    balanced.check_clean();
}

#[test]
fn a_copy_made_during_a_vote_is_settled_by_name_and_asks_nobody() {
    let balanced = Balanced::with_hook(WAITS);
    let push = balanced.start_push(&EVERY_KIND);
    process_in(&balanced.path("seen.push"));
    let before = balanced.refs();
    let copy = balanced.path("copy.git");
    support::balanced::succeed(balanced.scene.command(".", "cp").arg("-a").arg("server.git").arg(&copy));
    // A push to the copy leaves what is not its own alone.
    let mut other = balanced.scene.command("client.git", "git");
    let receive_pack = format!("--receive-pack={}", ours().display());
    fs::remove_file(copy.join("hooks/balanced_update")).unwrap();
    let said = other.args(["push", &receive_pack, "../copy.git", "next2:other"]).output().unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stderr).contains("or of another directory"));
    assert!(copy.join("refs/heads/main.lock").is_symlink());
    let recovered = support::balanced::succeed(balanced.scene.command(".", ours()).arg("--recover").arg(&copy));
    assert!(recovered.contains("rolled back"), "{recovered}");
    assert_eq!(balanced.seen(), "prepared\n");
    assert!(
        balanced
            .scene
            .git("copy.git", &["for-each-ref", "--format=%(refname) %(objectname)"])
            .contains(before.lines().next().unwrap())
    );
    assert!(!copy.join("balanced").exists() && !copy.join("refs/heads/main.lock").is_symlink());
    // The vote itself has not noticed.
    balanced.answer("0");
    Pushed::of(push).expect_yes();
    balanced.check_clean();
}

#[test]
fn journals_that_cannot_be_understood_are_named_and_left() {
    let balanced = Balanced::new();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let directory = balanced.path("server.git/balanced");
    fs::create_dir(&directory).unwrap();
    // CRC-32 of `journal 2 <id>` LF.
    let line = format!("journal 2 {id}");
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(format!("{line}\n").as_bytes());
    fs::write(directory.join(id), format!("{line} {:08x}\n", hasher.finalize())).unwrap();
    let (exit, printed) = balanced.recover();
    assert!(exit == 1 && printed.contains("it is of version 2"), "{printed}");
    let pushed = balanced.push(&["next:main"]);
    pushed.expect_yes();
    assert!(pushed.said.contains("it is of version 2"), "{}", pushed.said);
    fs::write(directory.join(id), "journal 1").unwrap();
    let (exit, printed) = balanced.recover();
    assert!(exit == 0 && printed.contains("undone"), "{printed}");
    balanced.check_clean();
}

#[test]
fn what_is_no_file_where_a_journal_would_be_holds_up_nobody() {
    let balanced = Balanced::new();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let server = balanced.path("server.git");
    fs::create_dir(server.join("balanced")).unwrap();
    for name in ["balanced/new-", "objects/incoming-", "balanced/"] {
        let pipe = server.join(format!("{name}{id}"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        balanced.push(&["next:main", "next:fresh"]).expect_yes();
        balanced.push(&["main:main", ":fresh", "--force"]).expect_yes();
        assert!(pipe.exists(), "it is not ours to remove");
    }
    let (exit, printed) = balanced.recover();
    assert!(exit == 1 && printed.contains("its journal cannot be understood: it is no file"), "{printed}");
}

#[test]
fn there_is_nothing_to_recover_in_a_repository_at_rest() {
    let balanced = Balanced::new();
    let before = balanced.listing();
    assert_eq!(balanced.recover(), (0, String::new()));
    assert_eq!(balanced.listing(), before);
}

/// What the shell says, run where a small file system may be mounted; `None`, and a word on it, where none may be.
fn on_a_small_disk(balanced: &Balanced, script: &str) -> Option<String> {
    let script = format!("set -e; mount -t tmpfs -o size=4m tmpfs server.git || exit 77; {script}");
    let mut command = balanced.scene.command(".", "unshare");
    let output = command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).output().ok();
    let Some(output) = output.filter(|output| output.status.code() != Some(77)) else {
        eprintln!("SKIPPED: no file system may be mounted here");
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    Some(said)
}

#[test]
fn a_full_disk_makes_no_half_a_push() {
    let balanced = Balanced::with_hook(RECORDS);
    balanced.scene.git("server.git", &["config", "receive.balancedTimeout", "1"]);
    // Many refs, so that packed-refs is of some size; and from nothing left upwards, a little more each time.
    let names: String =
        (0..2000).map(|number| format!("create refs/tags/{number} {}\n", balanced.value("main"))).collect();
    balanced.scene.feed("server.git", &["update-ref", "--stdin"], names.as_bytes());
    balanced.scene.git("server.git", &["pack-refs", "--all"]);
    let program = ours().display();
    let script = format!(
        r#"
        for left in 0 8 64 128 156 160 164 168 172 176 180 184 188 192 256; do
            rm -rf server.git/* && cp -a template/. server.git
            git -C server.git for-each-ref >before
            fallocate -l $(($(stat -f -c '%a * %S / 1024' server.git) - left))K server.git/filler
            if git -C client.git push -q '--receive-pack={program}' ../server.git next:main side:old next2:deep/in/here \
                :refs/tags/v1; then echo "$left KB: accepted"; else echo "$left KB: refused"; fi
            rm server.git/filler
            {program} --recover server.git
            git -C server.git for-each-ref >after
            if ! cmp -s before after; then
                [ "$(git -C server.git rev-parse main)" = "$(git -C client.git rev-parse next)" ]
                [ "$(git -C server.git rev-parse deep/in/here)" = "$(git -C client.git rev-parse next2)" ]
                echo "$left KB: all new"
            fi
            git -C server.git fsck --strict --no-dangling
            ! find server.git -name '*.lock' -o -name '*balanced-*' -o -name 'incoming-*' | grep .
        done"#
    );
    // The mount hides what was there.
    fs::rename(balanced.path("server.git"), balanced.path("template")).unwrap();
    fs::create_dir(balanced.path("server.git")).unwrap();
    let Some(said) = on_a_small_disk(&balanced, &script) else { return };
    assert!(said.contains("0 KB: refused"), "{said}");
    assert!(said.contains("256 KB: accepted\n256 KB: all new"), "{said}");
}
