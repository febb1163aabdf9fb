//! Balanced-atomic mode keeps its promises with both hashes, however refs are stored, and where their case does not count.

pub mod support;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{
    balanced::{Balanced, Pushed, eventually, git_session_of, process_in},
    find_program, optional_program, ours,
    scene::{FORMATS, Scene},
};

/// A hash, how refs are stored, and whether names that differ in case are one.
type Format = (&'static str, &'static str, bool);

/// Where refs are changed by git.
const BY_GIT: [Format; 2] = [("sha1", "reftable", false), ("sha1", "files", true)];

fn every_format() -> impl Iterator<Item = Format> {
    FORMATS.into_iter().map(|(hash, refs)| (hash, refs, false)).chain([("sha1", "files", true)])
}

fn balanced((hash, refs, ignore_case): Format, hook: &str) -> Balanced {
    eprintln!("{hash}, {refs}, core.ignoreCase={ignore_case}");
    let balanced = Balanced::within(Scene::new(hash, refs));
    if ignore_case {
        balanced.config("core.ignoreCase", "true");
    }
    balanced.hook(hook);
    balanced
}

/// An update of a loose ref and of a packed one, a creation, the deletion of a packed ref.
const EVERY_KIND: [&str; 4] = ["next:main", "side:old", "next2:deep/in/here", ":refs/tags/v1"];

/// Writes down what it is told; a yes.
const RECORDS: &str = r#"{ echo "== $1"; cat; } >>"$SEEN""#;

/// Says how it is called, and no.
const NO: &str = r#"echo "$1" >>"$SEEN"; [ "$1" != prepared ]"#;

/// In `prepared` it tells the push that it is halted, and waits for ever. In doubt, the file `doubt` is its exit status.
const HALTS: &str = r#"
echo "$1" >>"$SEEN"
case $1 in
prepared) echo "$PPID" >"$SEEN.push"; while :; do sleep 0.01; done ;;
in-doubt) exit "$(cat "$SEEN.doubt")" ;;
esac
"#;

/// A push that was killed while its hook was thinking.
fn die_during_the_vote(balanced: &Balanced, refspecs: &[&str]) {
    let (push, program) = halt(balanced, refspecs);
    kill(program, Signal::SIGKILL).unwrap();
    assert!(!Pushed::of(push).accepted);
}

/// A push whose hook is thinking, and the process that serves it.
fn halt(balanced: &Balanced, refspecs: &[&str]) -> (std::process::Child, Pid) {
    let push = balanced.start_push(refspecs);
    let program = process_in(&balanced.path("seen.push"));
    fs::remove_file(balanced.path("seen.push")).unwrap();
    (push, program)
}

fn doubt(balanced: &Balanced, status: &str) {
    fs::write(balanced.path("seen.doubt"), status).unwrap();
}

const NOTHING: &[String] = &[];

/// The paths at which two listings differ.
fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let paths = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    paths.cloned().collect()
}

fn check_new(balanced: &Balanced) {
    for (theirs, ours) in [("next", "main"), ("side", "old"), ("next2", "deep/in/here")] {
        assert_eq!(balanced.value(ours), balanced.theirs(theirs));
    }
    assert_eq!(balanced.value("refs/tags/v1"), "");
    balanced.check_clean();
}

#[test]
fn a_yes_commits_every_ref_and_the_hook_is_told_which() {
    for format in every_format() {
        let balanced = balanced(format, RECORDS);
        let [main, old, v1] = ["main", "old", "v1"].map(|name| balanced.value(name));
        balanced.push(&EVERY_KIND).expect_yes();
        check_new(&balanced);
        let (next, side, next2) = (balanced.theirs("next"), balanced.theirs("side"), balanced.theirs("next2"));
        let null = "0".repeat(main.len());
        let lines = format!(
            "{null} {next2} refs/heads/deep/in/here\n{main} {next} refs/heads/main\n\
             {old} {side} refs/heads/old\n{v1} {null} refs/tags/v1\n"
        );
        assert_eq!(balanced.seen(), format!("== prepared\n{lines}== committed\n{lines}"));
    }
}

#[test]
fn a_no_leaves_the_repository_as_if_nothing_had_been_sent() {
    let pushes: [&[&str]; 4] = [&EVERY_KIND, &["next:main"], &["many:many", "next:main"], &[":refs/tags/v1", ":old"]];
    for format in every_format() {
        for refspecs in pushes {
            let balanced = balanced(format, NO);
            balanced.config("receive.unpackLimit", "20");
            balanced.config("core.logAllRefUpdates", "always");
            let before = balanced.listing();
            balanced.push(refspecs).expect_no("balanced_update hook declined");
            assert_eq!(changes(&before, &balanced.listing()), NOTHING, "{refspecs:?}");
            assert_eq!(balanced.seen(), "prepared\naborted\n");
        }
    }
}

#[test]
fn every_hook_hears_the_same_at_the_same_moment() {
    let story = |format| {
        let balanced = balanced(format, r#"{ echo "= balanced_update $1"; cat; } >>"$SEEN""#);
        let seen = balanced.path("seen").display().to_string();
        for hook in ["pre-receive", "update", "reference-transaction", "post-receive"] {
            // Of new objects it can tell that they are there, which is no different from format to format.
            let script = format!(
                "{{ echo \"= {hook} $*\"; [ {hook} = update ] || cat; git cat-file -t {} 2>&1; \
                 echo ${{GIT_QUARANTINE_PATH+in quarantine}}; }} >>'{seen}'",
                balanced.theirs("next2")
            );
            balanced.scene.hook(hook, &script);
        }
        balanced.push(&EVERY_KIND).expect_yes();
        balanced.seen()
    };
    let in_files = story(("sha1", "files", false));
    assert!(in_files.contains("= balanced_update prepared"), "{in_files}");
    assert_eq!(story(("sha1", "files", true)), in_files);
    // What git says of packed-refs, which a reftable does not have.
    let mut blocks: Vec<&str> = in_files.split_inclusive("\n= ").collect();
    let null = "0".repeat(40);
    blocks.retain(|block| !block.contains(&format!("\n{null} {null} refs/tags/v1\n")) || block.starts_with("balanced"));
    assert_eq!(story(("sha1", "reftable", false)), blocks.concat());
}

#[test]
fn a_vote_whose_process_died_is_asked_about_and_ends_as_the_hook_says() {
    for format in every_format() {
        for (status, last) in [("0", "committed"), ("1", "aborted")] {
            let balanced = balanced(format, HALTS);
            doubt(&balanced, status);
            let before = balanced.refs();
            die_during_the_vote(&balanced, &EVERY_KIND);
            assert_eq!(balanced.refs(), before);
            let (exit, printed) = balanced.recover();
            assert_eq!(exit, 0, "{printed}");
            assert_eq!(balanced.seen(), format!("prepared\nin-doubt\n{last}\n"));
            if status == "0" {
                check_new(&balanced);
            } else {
                assert_eq!(balanced.refs(), before);
                balanced.check_clean();
            }
        }
    }
}

#[test]
fn refs_in_doubt_are_refused_and_others_work() {
    for format in every_format() {
        let balanced = balanced(format, HALTS);
        doubt(&balanced, "2");
        die_during_the_vote(&balanced, &["next:main", "next2:new"]);
        balanced.hook(r#"echo "$1" >>"$SEEN"; [ "$1" != in-doubt ] || exit 2"#);
        let pushed = balanced.push(&["next:main"]);
        assert!(!pushed.accepted && pushed.said.contains("cannot lock ref 'refs/heads/main'"), "{}", pushed.said);
        balanced.push(&["next:other"]).expect_yes();
        assert!(balanced.recover().0 == 1);
        balanced.hook(r#"echo "$1" >>"$SEEN""#);
        balanced.push(&["next:another"]).expect_yes();
        assert_eq!(balanced.value("new"), balanced.theirs("next2"));
        balanced.check_clean();
    }
}

#[test]
fn refs_in_doubt_are_refused_to_a_push_without_a_vote_as_well() {
    for format in BY_GIT {
        let balanced = balanced(format, HALTS);
        doubt(&balanced, "2");
        die_during_the_vote(&balanced, &["next:main", "next2:new"]);
        balanced.config("receive.balancedAtomic", "false");
        let pushed = balanced.push(&["next:main", "next:other"]);
        assert!(pushed.said.contains("main -> main") || pushed.said.contains("next -> main"), "{}", pushed.said);
        assert!(pushed.said.contains("failed to update ref"), "{}", pushed.said);
        assert_eq!(balanced.value("other"), balanced.theirs("next"));
        assert_eq!(balanced.value("new"), "");
    }
}

#[test]
fn a_yes_that_comes_after_somebody_has_changed_a_ref_comes_too_late() {
    for format in BY_GIT {
        let balanced = balanced(format, HALTS);
        doubt(&balanced, "0");
        die_during_the_vote(&balanced, &EVERY_KIND);
        change_old(&balanced);
        let before = balanced.refs();
        let (exit, printed) = balanced.recover();
        assert_eq!(exit, 0, "{printed}");
        assert!(printed.contains(": rolled back in spite of the yes: 'refs/heads/old' was changed"), "{printed}");
        assert_eq!(balanced.seen(), "prepared\nin-doubt\naborted\n");
        assert_eq!(balanced.refs(), before);
        balanced.check_clean();
        assert!(
            balanced.scene.try_git("server.git", &["cat-file", "-e", &balanced.theirs("next2")]).status.code()
                != Some(0)
        );
    }
}

/// Push, and be killed when this path is synced for the `count`th time.
fn die_at_sync(balanced: &Balanced, strace: &Path, path: &Path, count: usize) {
    let program = format!(
        "{} -qqq -o /dev/null -e signal=none -P '{}' -e inject=fsync:signal=KILL:when={count} {}",
        strace.display(),
        path.display(),
        ours().display()
    );
    assert!(!Pushed::of(balanced.start_push_through(&program, &EVERY_KIND)).accepted);
}

/// What plain git does as soon as it can.
fn change_old(balanced: &Balanced) {
    let change = ["update-ref", "refs/heads/old", "topic"];
    eventually("the end of git", || balanced.scene.try_git("server.git", &change).status.success().then_some(()));
}

#[test]
fn a_decision_that_git_has_not_heard_of_comes_too_late_for_a_ref_that_was_changed() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for format in BY_GIT {
        let balanced = balanced(format, r#"echo "$1" >>"$SEEN""#);
        // First when it has a quarantine, then when it has what was in that.
        die_at_sync(&balanced, &strace, &balanced.path("server.git/objects"), 2);
        let journals = fs::read_dir(balanced.path("server.git/balanced")).unwrap();
        let journal = journals.map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap();
        assert!(fs::read_to_string(journal).unwrap().contains("\ndecided "));
        change_old(&balanced);
        let before = balanced.refs();
        let (exit, printed) = balanced.recover();
        assert_eq!(exit, 0, "{printed}");
        assert!(printed.contains(": rolled back in spite of the yes: 'refs/heads/old' was changed"), "{printed}");
        assert_eq!(balanced.seen(), "prepared\naborted\n");
        assert_eq!(balanced.refs(), before);
        balanced.check_clean();
    }
}

#[test]
fn what_git_has_committed_is_known_again_though_a_ref_was_changed_since() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for (format, directory) in BY_GIT.into_iter().zip(["reftable", "refs/heads"]) {
        let balanced = balanced(format, r#"echo "$1" >>"$SEEN""#);
        die_at_sync(&balanced, &strace, &balanced.path("server.git").join(directory), 1);
        assert_eq!(balanced.value("main"), balanced.theirs("next"));
        change_old(&balanced);
        let before = balanced.refs();
        let (exit, printed) = balanced.recover();
        assert!(exit == 0 && printed.contains(": carried out\n"), "{printed}");
        assert_eq!(balanced.seen(), "prepared\ncommitted\n");
        assert_eq!(balanced.refs(), before);
        balanced.check_clean();
    }
}

#[test]
fn locks_that_a_killed_git_left_are_told_and_removed() {
    for format in BY_GIT {
        for status in ["0", "1"] {
            let balanced = balanced(format, HALTS);
            doubt(&balanced, status);
            let (push, program) = halt(&balanced, &EVERY_KIND);
            // As if the machine had died: both at once. A program that is stopped does not see git die; to a git that is
            // stopped the kernel would send SIGHUP when its parent dies, and it would clear up.
            let git = git_session_of(program);
            kill(program, Signal::SIGSTOP).unwrap();
            let state = || fs::read_to_string(format!("/proc/{program}/stat")).unwrap();
            eventually("the program to stop", || state().contains(") T ").then_some(()));
            kill(git, Signal::SIGKILL).unwrap();
            kill(program, Signal::SIGKILL).unwrap();
            Pushed::of(push);
            let locks = || balanced.listing().into_keys().filter(|path| path.ends_with(".lock")).count();
            assert!(locks() > 0);
            assert_eq!(balanced.recover().0, 0);
            if status == "0" {
                check_new(&balanced);
            }
            balanced.check_clean();
        }
    }
}

#[test]
fn a_lock_of_somebody_else_stays() {
    for (format, lock) in BY_GIT.into_iter().zip(["reftable/tables.list.lock", "refs/heads/main.lock"]) {
        let balanced = balanced(format, HALTS);
        doubt(&balanced, "0");
        die_during_the_vote(&balanced, &EVERY_KIND);
        let lock = balanced.path("server.git").join(lock);
        eventually("the end of git", || fs::File::create_new(&lock).ok());
        let (exit, printed) = balanced.recover();
        assert_eq!(exit, 1, "{printed}");
        assert!(printed.contains("cannot be settled yet"), "{printed}");
        assert!(lock.exists());
        fs::remove_file(&lock).unwrap();
        assert_eq!(balanced.recover().0, 0);
        check_new(&balanced);
    }
}

#[test]
fn when_git_dies_during_the_vote_a_yes_does_not_count() {
    for format in BY_GIT {
        let balanced = balanced(
            format,
            r#"echo "$1" >>"$SEEN"
            [ "$1" = prepared ] || exit 0
            echo "$PPID" >"$SEEN.push"
            until [ -e "$SEEN.answer" ]; do sleep 0.01; done"#,
        );
        let before = balanced.listing();
        let (push, program) = halt(&balanced, &EVERY_KIND);
        kill(git_session_of(program), Signal::SIGKILL).unwrap();
        fs::write(balanced.path("seen.answer"), "").unwrap();
        let pushed = Pushed::of(push);
        pushed.expect_no("atomic transaction failed");
        assert!(pushed.said.contains("'git update-ref' ended during the vote"), "{}", pushed.said);
        assert_eq!(balanced.seen(), "prepared\naborted\n");
        assert_eq!(changes(&before, &balanced.listing()), NOTHING);
    }
}

#[test]
fn a_signal_during_the_vote_undoes_the_push() {
    for format in BY_GIT {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let balanced = balanced(format, HALTS);
            let before = balanced.listing();
            let (push, program) = halt(&balanced, &EVERY_KIND);
            kill(program, signal).unwrap();
            assert!(!Pushed::of(push).accepted);
            assert_eq!(changes(&before, &balanced.listing()), NOTHING);
            assert_eq!(balanced.seen(), "prepared\naborted\n");
        }
    }
}

#[test]
fn nobody_creates_a_ref_below_one_that_waits_for_the_vote() {
    for format in every_format() {
        let balanced = balanced(
            format,
            r#"[ "$1" = prepared ] || exit 0
            unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
            ! git update-ref refs/heads/deep/in/here/below main 2>/dev/null && ! git update-ref refs/heads/deep main 2>/dev/null"#,
        );
        balanced.push(&EVERY_KIND).expect_yes();
        check_new(&balanced);
    }
}

#[test]
fn the_work_tree_follows_after_the_yes() {
    for format in every_format() {
        let balanced = balanced(format, NO);
        balanced.scene.add_work_tree();
        // fast-import has left it out.
        balanced.config("core.ignoreCase", if format.2 { "true" } else { "false" });
        balanced.config("receive.denyCurrentBranch", "updateInstead");
        balanced.push(&["next:main"]).expect_no("balanced_update hook declined");
        assert_eq!(fs::read_to_string(balanced.path("server.git/dir/b")).unwrap(), "two\n");
        balanced.hook(RECORDS);
        balanced.push(&["next:main", "side:new"]).expect_yes();
        assert_eq!(fs::read_to_string(balanced.path("server.git/dir/b")).unwrap(), "two, changed\n");
        assert_eq!(balanced.scene.git("server.git", &["status", "--porcelain"]), "");
        balanced.check_clean();
    }
}

#[test]
fn a_namespace_is_put_to_the_vote_under_full_names() {
    for format in every_format() {
        let balanced = balanced(format, HALTS);
        doubt(&balanced, "0");
        let namespaced = format!("GIT_NAMESPACE=a {}", ours().display());
        let push = balanced.start_push_through(&namespaced, &["next:new", "side:other"]);
        let program = process_in(&balanced.path("seen.push"));
        kill(program, Signal::SIGKILL).unwrap();
        Pushed::of(push);
        assert_eq!(balanced.recover().0, 0);
        assert_eq!(balanced.value("refs/namespaces/a/refs/heads/new"), balanced.theirs("next"));
        balanced.hook(RECORDS);
        Pushed::of(balanced.start_push_through(&namespaced, &["next2:new", ":other"])).expect_yes();
        assert_eq!(balanced.value("refs/namespaces/a/refs/heads/new"), balanced.theirs("next2"));
        assert!(balanced.seen().contains(" refs/namespaces/a/refs/heads/new\n"), "{}", balanced.seen());
        balanced.check_clean();
    }
}

#[test]
fn a_push_to_a_linked_work_tree_is_taken_up_as_well() {
    for format in every_format() {
        for status in ["0", "1"] {
            let balanced = balanced(format, HALTS);
            doubt(&balanced, status);
            balanced.config("core.logAllRefUpdates", "true");
            balanced.config("receive.denyCurrentBranch", "ignore");
            balanced.scene.git("server.git", &["worktree", "add", "-q", "../linked", "topic"]);
            let linked = balanced.scene.git("linked", &["rev-parse", "--git-dir"]);
            // Its HEAD, and the log of that, are kept apart from the rest; so is a ref of its own.
            let mut push = balanced.scene.command("client.git", "git");
            push.args(["push", &format!("--receive-pack={}", ours().display()), &linked]);
            push.args(["next:main", "+side:topic", "next:refs/worktree/own"]).stderr(Stdio::piped());
            let push = push.spawn().unwrap();
            let program = process_in(&balanced.path("seen.push"));
            kill(program, Signal::SIGKILL).unwrap();
            Pushed::of(push);
            let (exit, printed) = balanced.recover();
            assert_eq!(exit, 0, "{printed}");
            let value = |revision| balanced.scene.try_git("linked", &["rev-parse", "-q", "--verify", revision]).stdout;
            let theirs = |name: &str| format!("{}\n", balanced.theirs(name)).into_bytes();
            if status == "0" {
                assert_eq!(value("HEAD"), theirs("side"));
                assert_eq!(value("refs/worktree/own"), theirs("next"));
            } else {
                assert_eq!(value("HEAD"), theirs("topic"));
                assert_eq!(value("refs/worktree/own"), b"");
            }
            balanced.check_clean();
        }
    }
}

#[test]
fn what_git_writes_is_synced_before_the_journal_says_so() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for (format, directory) in BY_GIT.into_iter().zip(["reftable", "refs/heads"]) {
        let balanced = balanced(format, "");
        balanced.config("core.fsync", "none");
        let log = balanced.path("strace.log");
        let program = format!(
            "{} -f -y -qqq -e trace=write,fsync,fdatasync,rename -o '{}' {}",
            strace.display(),
            log.display(),
            ours().display()
        );
        Pushed::of(balanced.start_push_through(&program, &EVERY_KIND)).expect_yes();
        let log = fs::read_to_string(log).unwrap();
        let at =
            |what: &str| log.lines().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {log}"));
        let decided = at("\"decided ");
        let committed = at("\"committed ");
        let refs: Vec<&str> = log.lines().skip(decided).take(committed - decided).collect();
        let last_rename = refs.iter().rposition(|line| line.contains("rename(")).expect("refs are renamed");
        let after: Vec<_> = refs[last_rename..].iter().filter(|line| line.contains("fsync(")).collect();
        assert!(after.iter().any(|line| line.contains(&format!("/{directory}>"))), "the directory: {after:#?}");
        if format.1 == "reftable" {
            // git syncs a table before it is whole.
            assert!(after.iter().any(|line| line.contains(".ref>")), "the table: {after:#?}");
            assert!(after.iter().any(|line| line.contains("/tables.list>")), "their list: {after:#?}");
        } else {
            // Written before the vote, renamed after it.
            let synced = |lock: &str| log.lines().any(|line| line.contains("fsync(") && line.contains(lock));
            assert!(synced("/refs/heads/main.lock>") && synced("/packed-refs.new>"), "{log}");
        }
    }
}

#[test]
fn votes_on_a_reftable_wait_for_each_other() {
    let balanced = balanced(
        ("sha1", "reftable", false),
        // Longer than git would wait for a lock.
        r#"[ "$1" != prepared ] || sleep 0.5; echo "$1" >>"$SEEN""#,
    );
    let refspecs = [["next:a", "next2:a2"], ["next:b", "next2:b2"], ["next:main", ":old"]];
    let pushes: Vec<_> = refspecs.iter().map(|refspecs| balanced.start_push(refspecs)).collect();
    for push in pushes {
        Pushed::of(push).expect_yes();
    }
    assert_eq!(balanced.seen(), "prepared\ncommitted\n".repeat(3));
    balanced.check_clean();
}

#[test]
fn a_git_killed_anywhere_leaves_all_old_or_all_new() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for format in BY_GIT {
        let balanced = balanced(format, r#"echo "$1" >>"$SEEN""#);
        balanced.config("core.logAllRefUpdates", "always");
        let before = balanced.refs();
        balanced.scene.save();
        balanced.push(&EVERY_KIND).expect_yes();
        let after = balanced.refs();
        let (mut old, mut new) = (0, 0);
        for call in ["write", "rename", "unlink", "fsync", "mkdir", "chmod"] {
            for count in 1.. {
                balanced.scene.restore();
                let injection = format!("inject={call}:signal=KILL:when={count}");
                let pushed = push_with_killed_git(&balanced, &strace, &injection);
                if !balanced.path("killed").exists() {
                    pushed.expect_yes();
                    break;
                }
                if balanced.recover().0 != 0 {
                    // A lock that git had made only now, or while it tidied up, cannot be told from any other.
                    remove_locks(&balanced);
                    assert_eq!(balanced.recover().0, 0, "{format:?} {injection}");
                }
                remove_locks(&balanced);
                let (refs, seen) = (balanced.refs(), balanced.seen());
                let expected = match seen.lines().last() {
                    Some("committed") => &after,
                    None | Some("aborted") => &before,
                    other => panic!("{format:?} {injection}: the hook heard last: {other:?}"),
                };
                assert_eq!(&refs, expected, "{format:?} {injection}: {}", pushed.said);
                assert!(!pushed.accepted || refs == after, "{format:?} {injection}: {}", pushed.said);
                let lines = balanced.scene.git("server.git", &["log", "-g", "--format=%gs", "refs/heads/main"]);
                assert_eq!(lines.lines().count(), usize::from(refs == after), "{format:?} {injection}");
                balanced.check_clean();
                if refs == before { old += 1 } else { new += 1 }
            }
        }
        eprintln!("{old} times all old, {new} times all new");
        assert!(old > 2 && new > 2);
    }
}

fn remove_locks(balanced: &Balanced) {
    for path in
        balanced.listing().into_keys().filter(|path| path.ends_with(".lock") || path.ends_with("packed-refs.new"))
    {
        fs::remove_file(balanced.path("server.git").join(path)).unwrap();
    }
}

/// A push whose `git update-ref` runs under strace with this injection. If that git is killed, the file `killed` is there.
fn push_with_killed_git(balanced: &Balanced, strace: &Path, injection: &str) -> Pushed {
    let git = find_program("git").expect("git");
    let killed = balanced.path("killed").display().to_string();
    balanced.scene.write(
        "bin/git",
        &format!(
            "#!/bin/sh\nunset GIT_EXEC_PATH\ncase \" $* \" in *' update-ref '*) [ -e '{killed}' ] ||\n\
             {{ '{}' -o /dev/null -e signal=none -e '{injection}' '{}' \"$@\" || echo >'{killed}'; exit; }};; esac\n\
             exec '{1}' \"$@\"\n",
            strace.display(),
            git.display(),
        ),
    );
    fs::set_permissions(balanced.path("bin/git"), fs::Permissions::from_mode(0o755)).unwrap();
    // That is where it looks first.
    let program = format!("GIT_EXEC_PATH='{}' {}", balanced.path("bin").display(), ours().display());
    Pushed::of(balanced.start_push_through(&program, &EVERY_KIND))
}
