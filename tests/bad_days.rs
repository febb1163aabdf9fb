//! Votes in repositories that somebody or something meddles with: no push is left half done, and none hangs for ever.

pub mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use nix::sys::signal::{Signal, kill};
use support::balanced::{Balanced, EVERY_KIND, Pushed, eventually, process_in};

/// A yes, with packed-refs locked by somebody who never frees it: the push is decided, and cannot be carried out.
const YES_BUT_STUCK: &str = r#"echo "$1" >>"$SEEN"; [ "$1" != prepared ] || : >packed-refs.lock"#;

/// A push that is decided, and was left when it could not have packed-refs, which is free now.
fn decided(refspecs: &[&str]) -> Balanced {
    let balanced = Balanced::with_hook(YES_BUT_STUCK);
    balanced.config("receive.balancedTimeout", "1");
    balanced.config("core.packedRefsTimeout", "50");
    let pushed = balanced.push(refspecs);
    assert!(!pushed.accepted && !pushed.said.contains("[remote rejected]"), "{}", pushed.said);
    fs::remove_file(balanced.path("server.git/packed-refs.lock")).unwrap();
    balanced
}

/// The one journal there is.
fn journal(balanced: &Balanced) -> std::path::PathBuf {
    let entries = fs::read_dir(balanced.path("server.git/balanced")).unwrap();
    entries.map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap()
}

#[test]
fn a_signal_before_the_vote_leaves_nothing() {
    for hook in ["pre-receive", "update", "reference-transaction"] {
        let balanced = Balanced::new();
        let seen = balanced.path("seen").display().to_string();
        let waits = format!(
            "case $1 in preparing|committed|aborted) exit 0 ;; esac; echo $$ >'{seen}.hook'; echo \"$PPID\" >'{seen}.push'; exec sleep 1000 >/dev/null 2>&1"
        );
        balanced.scene.hook(hook, &waits);
        let before = balanced.listing();
        let push = balanced.start_push(&EVERY_KIND);
        kill(process_in(&balanced.path("seen.push")), Signal::SIGTERM).unwrap();
        assert!(!Pushed::of(push).accepted);
        // As in git, hooks that have nothing to undo live on.
        kill(process_in(&balanced.path("seen.hook")), Signal::SIGKILL).unwrap();
        assert_eq!(balanced.listing(), before, "{hook}");
    }
}

#[test]
fn what_is_decided_waits_for_objects_that_are_gone() {
    let before = Balanced::new().listing();
    let balanced = decided(&EVERY_KIND);
    let refs = balanced.refs();
    let hidden = balanced.path("hidden");
    for (path, _) in balanced.listing().into_iter().filter(|(path, _)| path.starts_with("objects/")) {
        let path_there = balanced.path("server.git").join(&path);
        if !before.contains_key(&path) && path_there.is_file() {
            let to = hidden.join(&path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::rename(path_there, to).unwrap();
        }
    }
    let (exit, printed) = balanced.recover();
    assert!(exit == 1 && printed.contains("is missing"), "{printed}");
    // Without its quarantine nobody can tell whether all came in.
    let quarantine = fs::read_dir(balanced.path("server.git/objects")).unwrap().map(|entry| entry.unwrap().path());
    let quarantine = quarantine.into_iter().find(|path| path.to_string_lossy().contains("incoming-")).unwrap();
    fs::rename(&quarantine, balanced.path("quarantine")).unwrap();
    let (exit, printed) = balanced.recover();
    assert!(exit == 1 && printed.contains("cannot be carried out yet"), "{printed}");
    assert_eq!(balanced.refs(), refs);
    // Somebody has a backup.
    fs::rename(balanced.path("quarantine"), &quarantine).unwrap();
    let mut copy = balanced.scene.command(".", "cp");
    support::balanced::succeed(copy.arg("-a").arg(hidden.join("objects/.")).arg("server.git/objects/"));
    let (exit, printed) = balanced.recover();
    assert!(exit == 0 && printed.contains("carried out"), "{printed}");
    assert_eq!(balanced.value("main"), balanced.theirs("next"));
}

#[test]
fn a_decision_waits_for_an_object_that_lies_below_the_new_values() {
    let balanced = Balanced::new();
    // There, and reached by nobody; so it is not written to the quarantine once more.
    balanced.scene.git("server.git", &["fetch", "-q", "../client.git", "next:gone"]);
    balanced.scene.git("server.git", &["update-ref", "-d", "refs/heads/gone"]);
    let next = balanced.theirs("next");
    let object = balanced.path("server.git/objects").join(&next[..2]).join(&next[2..]);
    balanced.config("receive.balancedTimeout", "1");
    balanced.config("core.packedRefsTimeout", "50");
    balanced.hook(YES_BUT_STUCK);
    assert!(!balanced.push(&["next2:main", "side:old"]).accepted);
    fs::remove_file(balanced.path("server.git/packed-refs.lock")).unwrap();
    let refs = balanced.refs();
    fs::rename(&object, balanced.path("hidden")).unwrap();
    let (exit, printed) = balanced.recover();
    assert!(exit == 1 && printed.contains("an object that its new values need is missing"), "{printed}");
    assert_eq!(balanced.refs(), refs);
    fs::rename(balanced.path("hidden"), &object).unwrap();
    let (exit, printed) = balanced.recover();
    assert!(exit == 0 && printed.contains("carried out"), "{printed}");
    balanced.check_clean();
}

#[test]
fn a_directory_that_bars_one_ref_does_not_keep_a_push_from_its_end() {
    // Before the vote it is met at once, and nobody is asked.
    let balanced = Balanced::with_hook(r#"echo "$1" >>"$SEEN""#);
    let directory = balanced.path("server.git/refs/heads/old");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("x.lock"), "").unwrap();
    let before = balanced.listing();
    for refspecs in [&["side:old"][..], &["side:old", "next:main"]] {
        balanced.push(refspecs).expect_no("atomic transaction failed");
        assert_eq!((balanced.seen(), balanced.listing()), (String::new(), before.clone()));
    }
    // What comes during the vote leaves the ref in packed-refs alone.
    for refspecs in [&["side:old"][..], &["side:old", "next:main"]] {
        let balanced = Balanced::with_hook(r#"[ "$1" != prepared ] || { mkdir refs/heads/old; : >refs/heads/old/x; }"#);
        balanced.push(refspecs).expect_yes();
        fs::remove_dir_all(balanced.path("server.git/refs/heads/old")).unwrap();
        assert_eq!(balanced.value("old"), balanced.theirs("side"));
        balanced.check_clean();
    }
}

#[test]
fn a_journal_that_cannot_be_settled_does_not_bar_other_pushes() {
    let balanced = Balanced::new();
    fs::create_dir_all(balanced.path("server.git/balanced/01890a5d-ac96-774b-bcce-b302099a8057")).unwrap();
    let pushed = balanced.push(&EVERY_KIND);
    pushed.expect_yes();
    assert!(pushed.said.contains("01890a5d-ac96-774b-bcce-b302099a8057"), "{}", pushed.said);
    assert_eq!(balanced.recover().0, 1);
}

#[test]
fn a_recovery_that_fails_keeps_the_locks_of_what_is_decided() {
    let balanced = decided(&[":refs/tags/v1", ":old"]);
    let before = balanced.refs();
    let staging = journal(&balanced).with_extension("d");
    fs::write(&staging, "in the way").unwrap();
    let (exit, _) = balanced.recover();
    assert_eq!((exit, balanced.refs()), (1, before));
    for lock in ["refs/heads/old.lock", "refs/tags/v1.lock"] {
        assert!(balanced.path("server.git").join(lock).is_symlink(), "{lock}");
    }
    fs::remove_file(&staging).unwrap();
    balanced.hook("");
    assert_eq!(balanced.recover().0, 0);
    assert_eq!((balanced.value("old"), balanced.value("refs/tags/v1")), (String::new(), String::new()));
    balanced.check_clean();
}

#[test]
fn the_time_limit_ends_also_children_that_left_the_group() {
    let balanced = Balanced::with_hook(
        r#"[ "$1" = prepared ] || exit 0
        setsid sleep 1000 >/dev/null 2>&1 & echo $! >"$SEEN.child"; sleep 1000"#,
    );
    balanced.config("receive.balancedTimeout", "1");
    balanced.push(&EVERY_KIND).expect_no("balanced_update hook timed out");
    let child = process_in(&balanced.path("seen.child"));
    eventually("the end of the hook's child", || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn a_hook_that_leads_nowhere_is_no_yes() {
    let balanced = Balanced::new();
    symlink("/no/such/hook", balanced.path("server.git/hooks/balanced_update")).unwrap();
    balanced.push(&EVERY_KIND).expect_no("balanced_update hook declined");
    let hook = balanced.path("server.git/hooks/balanced_update");
    fs::remove_file(&hook).unwrap();
    fs::create_dir(&hook).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    balanced.push(&EVERY_KIND).expect_no("balanced_update hook declined");
    // The usual way to have no hooks at all.
    balanced.config("core.hooksPath", "/dev/null");
    balanced.push(&EVERY_KIND).expect_yes();
}

#[test]
fn a_vote_over_what_others_do_to_the_repository() {
    // git without the quarantine, as another process has it.
    let git = "env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES git";
    for meddling in [
        "$git gc --prune=now -q".to_owned(),
        "$git pack-refs --all --prune".to_owned(),
        "$git update-ref refs/heads/beside refs/heads/topic && $git pack-refs --all".to_owned(),
        "$git update-ref refs/heads/main refs/heads/topic".to_owned(),
        "$git update-ref -d refs/tags/v1".to_owned(),
        "$git update-ref refs/heads/deep refs/heads/topic".to_owned(),
        "$git update-ref refs/heads/deep/in/here/too refs/heads/topic".to_owned(),
        "$git worktree prune; $git reflog expire --expire=now --all".to_owned(),
    ] {
        let meddling = meddling.replace("$git", git);
        let balanced = Balanced::with_hook(&format!("[ \"$1\" != prepared ] || {{ {meddling}; }} >&2; exit 0"));
        let pushed = balanced.push(&EVERY_KIND);
        assert!(pushed.accepted, "{meddling}: {}", pushed.said);
        for (theirs, ours) in [("next", "main"), ("side", "old"), ("next2", "deep/in/here")] {
            assert_eq!(balanced.value(ours), balanced.theirs(theirs), "{meddling}");
        }
        assert_eq!(balanced.value("refs/tags/v1"), "");
        balanced.check_clean();
    }
}

/// A small file system, which goes when this is dropped.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// `None` where nobody may mount.
fn small(balanced: &Balanced, bytes: &str) -> Option<Small> {
    let server = balanced.path("server.git");
    let aside = balanced.path("aside");
    fs::rename(&server, &aside).unwrap();
    fs::create_dir(&server).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(&server).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        return None;
    }
    let small = Small(server.clone());
    assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&server).status().unwrap().success());
    Some(small)
}

#[test]
fn a_full_disk_refuses_or_delays_and_never_mixes() {
    // The disk fills at this moment.
    for moment in ["update", "reference-transaction", "balanced_update"] {
        let balanced = Balanced::new();
        let Some(_small) = small(&balanced, "2m") else { return };
        let fill = "case $1 in preparing|committed|aborted) exit 0 ;; esac; cat /dev/zero >fill 2>/dev/null; exit 0";
        match moment {
            "balanced_update" => balanced.hook(fill),
            moment => balanced.scene.hook(moment, fill),
        }
        let before = balanced.refs();
        let pushed = balanced.push(&EVERY_KIND);
        let said = pushed.said.clone();
        let now = balanced.refs();
        if !pushed.accepted {
            assert_eq!(now, before, "{said}");
        }
        fs::remove_file(balanced.path("server.git/fill")).unwrap();
        balanced.hook("");
        balanced.scene.hook("update", "");
        balanced.scene.hook("reference-transaction", "");
        if pushed.accepted || said.contains("[remote rejected]") {
            assert_eq!(balanced.recover(), (0, String::new()), "{moment}: {said}");
        } else {
            let (exit, printed) = balanced.recover();
            assert!(exit == 0 && printed.contains("carried out"), "{moment}: {said} {printed}");
        }
        balanced.check_clean();
        if balanced.value("main") != balanced.theirs("next") {
            assert_eq!(balanced.refs(), before);
            balanced.push(&EVERY_KIND).expect_yes();
        }
        balanced.check_clean();
    }
}

#[test]
fn objects_that_are_tidied_away_during_the_vote_are_missed_before_the_yes_counts() {
    // What the pushed commit is on, `side`, is there: since a ref reaches it, which goes, or as what a deleted one left.
    for is_reached in [true, false] {
        for tidies_up in [true, false] {
            let balanced = Balanced::new();
            let commit = "commit refs/heads/onside\ncommitter C <c@example.org> 1700000000 +0000\ndata 0\n\
                          from refs/heads/side\nM 100644 inline x\ndata 1\nx\n";
            balanced.scene.feed("client.git", &["fast-import", "--quiet"], commit.as_bytes());
            balanced.scene.git("server.git", &["fetch", "-q", "../client.git", "side:keeper"]);
            if !is_reached {
                balanced.scene.git("server.git", &["update-ref", "-d", "refs/heads/keeper"]);
            }
            let deletes = if is_reached { "git update-ref -d refs/heads/keeper" } else { ":" };
            let tidies = if tidies_up { "git gc --prune=now -q" } else { ":" };
            balanced.hook(&format!(
                "[ \"$1\" = prepared ] || exit 0
                unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
                {{ {deletes}; {tidies}; }} >&2"
            ));
            let before = balanced.refs();
            let pushed = balanced.push(&["onside:new", "next:main"]);
            balanced.check_clean();
            if !tidies_up {
                pushed.expect_yes();
                continue;
            }
            pushed.expect_no("atomic transaction failed");
            assert!(pushed.said.contains("objects that it needs were removed during the vote"), "{}", pushed.said);
            let kept = |line: &&str| !line.contains("refs/heads/keeper");
            assert_eq!(balanced.refs(), before.lines().filter(kept).collect::<Vec<_>>().join("\n"));
            // Whoever pushes again sends what is needed.
            balanced.hook("");
            balanced.push(&["onside:new", "next:main"]).expect_yes();
            balanced.check_clean();
        }
    }
}
