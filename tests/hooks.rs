//! How hooks are found, fed, heard and waited for, where git's own program does otherwise, is older, or cannot be compared
//! line by line. What both do alike stands in tests/differential.rs.

pub mod support;

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use support::{
    observe::Outcome,
    optional_program, ours,
    push::{Push, push},
    server,
};

/// A push of one commit to `main`.
fn one_commit() -> Push {
    push().update("refs/heads/main", "main", "next")
}

fn accepted(outcome: &Outcome) {
    assert!(outcome.report.contains(&"ok refs/heads/main".to_owned()), "{outcome:#?}");
}

fn refused(outcome: &Outcome, reason: &str) {
    assert!(outcome.report.contains(&format!("ng refs/heads/main {reason}")), "{outcome:#?}");
}

#[test]
fn a_hook_may_say_100_megabytes() {
    let push = one_commit().hook("pre-receive", "cat >/dev/null; head -c 100000000 /dev/zero; echo end");
    let outcome = server::pushed(&push);
    accepted(&outcome);
    assert_eq!(outcome.told.len(), 100_000_004);
}

#[test]
fn hooks_are_waited_for_where_the_kernel_cannot_poll_a_process() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let push =
        one_commit().hook("pre-receive", "cat >/dev/null; echo asked").hook("post-receive", "sleep 0.1; echo told");
    let old = format!("{} -f -qq -o /dev/null -e trace=pidfd_open -e inject=pidfd_open:error=ENOSYS", strace.display());
    let script = push.scene.path("old-kernel.sh");
    fs::write(&script, format!("#!/bin/sh\nexec {old} '{}' \"$@\"\n", ours().display())).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    let request = push.bytes();
    let outcome = Outcome::of(&push, &request, &server::run(&script, &push, &request));
    accepted(&outcome);
    assert_eq!(outcome.told, "asked\ntold\n");
}

#[test]
fn a_quarantine_that_a_hook_has_taken_away_is_told_by_its_name() {
    let push = push().update("refs/heads/main", "main", "next").hook("pre-receive", "rm -rf $GIT_QUARANTINE_PATH");
    let after = server::pushed(&push);
    let reason = "unable to migrate objects to permanent storage";
    assert_eq!(after.report[1], format!("ng refs/heads/main {reason}"));
    let path = push.scene.path("server.git/objects/tmp_objdir-incoming-…").display().to_string();
    assert_eq!(after.told, format!("error: cannot read '{path}': No such file or directory\n"));
}

#[test]
fn a_hook_may_close_its_stdin_before_it_was_fed() {
    let many = (0..3000).fold(push(), |push, n| push.create(&format!("refs/heads/many/{n}"), "next"));
    let push = many.hook("pre-receive", "exec <&-; echo closed").hook("post-receive", "read line; echo $line | wc -c");
    let outcome = server::pushed(&push);
    assert_eq!(outcome.told, format!("closed\n{}\n", 40 + 1 + 40 + 1 + "refs/heads/many/0\n".len()));
    assert!(outcome.report.contains(&"ok refs/heads/many/2999".to_owned()));
}

#[test]
fn a_child_that_holds_the_output_of_a_hook_does_not_hold_the_push() {
    let push = one_commit().hook("post-receive", "sleep 3600 & echo $! >../child; echo started");
    let outcome = server::pushed(&push);
    let child = fs::read_to_string(push.scene.path("child")).expect("the hook ran");
    let killed = std::process::Command::new("kill").arg(child.trim()).status().expect("kill runs");
    assert!(killed.success(), "it lives on");
    accepted(&outcome);
    assert_eq!(outcome.told, "started\n");
}

#[test]
fn what_a_child_says_after_the_hook_has_exited_gets_through() {
    let push = one_commit()
        .shell("mkfifo go gone")
        .hook("pre-receive", "(read line <../go; echo late; echo >../gone) & echo early")
        .hook("post-receive", "echo >../go; read line <../gone; echo last");
    let told = server::pushed(&push).told;
    let mut lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.first(), Some(&"early"));
    lines.sort_unstable();
    assert_eq!(lines, ["early", "last", "late"]);
}

#[test]
fn a_hook_gets_no_descriptor_but_its_three_streams() {
    let push = one_commit().shell(
        "mkdir server.git/hooks; cd server.git/hooks; echo '#!/bin/ls /proc/self/fd' | tee pre-receive >update; chmod +x *",
    );
    let numbers = |text: &str| -> Vec<u32> { text.lines().filter_map(|line| line.parse().ok()).collect() };
    // Whoever runs the tests may have left some open. One is that of the directory which `ls` reads.
    let inherited = push.scene.command(".", "ls").arg("/proc/self/fd").stdin(Stdio::null()).output().expect("ls runs");
    let inherited = numbers(&String::from_utf8_lossy(&inherited.stdout));
    let told = server::pushed(&push).told;
    assert_eq!(numbers(&told), [inherited.clone(), inherited].concat(), "{told}");
}

#[test]
fn a_client_that_went_away_does_not_end_a_hook() {
    let push = one_commit()
        .hook("pre-receive", "head -c 1000000 /dev/zero && echo said >>../went-on")
        .hook("post-receive", "head -c 1000000 /dev/zero && echo said >>../went-on");
    let request = push.bytes();
    let mut child = server::start(ours(), &push);
    let mut stdout = child.stdout.take().expect("piped");
    let mut advertised = Vec::new();
    while !advertised.ends_with(b"\n0000") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).expect("an advertisement");
        advertised.push(byte[0]);
    }
    drop(stdout);
    child.stdin.take().expect("piped").write_all(&request).expect("it reads");
    child.wait().expect("it ends");
    assert_eq!(fs::read_to_string(push.scene.path("went-on")).expect("hooks ran"), "said\nsaid\n");
    assert_eq!(push.scene.git("server.git", &["rev-parse", "main"]), push.id("next"));
}

#[test]
fn hooks_that_cannot_be_run_are_told_to_the_operator() {
    let push = one_commit().shell("mkdir -p server.git/hooks/pre-receive");
    let outcome = server::pushed(&push);
    refused(&outcome, "pre-receive hook declined");
    assert_eq!(outcome.stderr, "fatal: cannot exec 'hooks/pre-receive': Permission denied\n");

    let push = one_commit().hook("pre-receive", "kill -9 $$");
    assert_eq!(server::pushed(&push).stderr, "error: hooks/pre-receive died of signal 9\n");
}

#[test]
fn an_ignored_hook_is_hinted_at_once() {
    let push = one_commit()
        .create("refs/heads/new", "next")
        .hook("update", "exit 1")
        .shell("chmod -x server.git/hooks/update");
    let outcome = server::pushed(&push);
    accepted(&outcome);
    assert_eq!(outcome.stderr.matches("'hooks/update'").count(), 1, "{}", outcome.stderr);
    let quiet = push.config("advice.ignoredHook", "false");
    quiet.scene.git("server.git", &["update-ref", "refs/heads/main", &quiet.id("main")]);
    quiet.scene.git("server.git", &["update-ref", "-d", "refs/heads/new"]);
    assert_eq!(server::pushed(&quiet).stderr, "");
}

#[test]
fn hooks_of_another_directory_are_named_as_configured() {
    let push = one_commit()
        .config("core.hooksPath", "~/hooks")
        .shell("mkdir home/hooks; printf '#!/bin/sh\\necho $0' >home/hooks/update; chmod +x home/hooks/update");
    let outcome = server::pushed(&push);
    assert_eq!(outcome.told, format!("{}/hooks/update\n", push.scene.path("home").display()));
}

#[test]
fn hooks_of_a_linked_worktree_are_those_of_the_repository() {
    let push = one_commit()
        .server(&["worktree", "add", "-q", "../linked", "topic"])
        .directory("linked")
        .hook("update", "echo $0 $GIT_DIR; pwd");
    let git_dir = push.scene.git_dir();
    let told = server::pushed(&push).told;
    assert_eq!(told, format!("{0}/hooks/update .\n{0}/worktrees/linked\n", git_dir.display()));
}

// Configured hooks, which the installed git does not know.

/// The configured hook `name` on `event`, which runs `command`.
fn configured(push: Push, name: &str, event: &str, command: &str) -> Push {
    push.config(&format!("hook.{name}.event"), event).config(&format!("hook.{name}.command"), command)
}

#[test]
fn configured_hooks_run_in_order_before_the_one_in_the_directory() {
    let push = configured(one_commit(), "second", "update", "printf 'second %s\\n' \"$1\"; exit 0; echo");
    let push = configured(push, "first", "update", "echo first; :");
    // Mentioned once more: now it comes last.
    let push = push.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "hook.second.event");
    let push = push.env("GIT_CONFIG_VALUE_0", "update").hook("update", "echo the file");
    let outcome = server::pushed(&push);
    accepted(&outcome);
    assert_eq!(outcome.told, "first\nsecond refs/heads/main\nthe file\n");
}

#[test]
fn a_configured_hook_gets_arguments_and_stdin() {
    let push = configured(one_commit(), "lines", "pre-receive", "cat");
    let push = configured(push, "words", "update", "printf '%s %s %s\\n'");
    let line = format!("{} {}", push.id("main"), push.id("next"));
    assert_eq!(server::pushed(&push).told, format!("{line} refs/heads/main\nrefs/heads/main {line}\n"));
}

#[test]
fn every_hook_of_an_event_runs_though_one_declines() {
    let push = configured(one_commit(), "no", "pre-receive", "echo no; exit 1");
    let push = configured(push, "yes", "pre-receive", "wc -l").hook("pre-receive", "wc -l");
    let outcome = server::pushed(&push);
    refused(&outcome, "pre-receive hook declined");
    assert_eq!(outcome.told, "no\n1\n1\n");
}

#[test]
fn configured_hooks_can_be_switched_off() {
    let push = configured(one_commit(), "one", "pre-receive", "exit 1").config("hook.one.enabled", "false");
    let push = configured(push, "two", "update", "exit 1").config("hook.update.enabled", "no");
    let push = configured(push, "three", "pre-receive", "exit 1").config("hook.three.event", "");
    let push =
        push.config("hook.four.event", "update").config("hook.four.enabled", "false").hook("update", "echo asked");
    let outcome = server::pushed(&push);
    accepted(&outcome);
    assert_eq!(outcome.told, "asked\n");
}

#[test]
fn configured_hooks_that_make_no_sense_are_fatal() {
    let fatal = |push: Push, message: &str| {
        let outcome = server::pushed(&push);
        assert_eq!(
            (outcome.end.as_str(), outcome.stderr.as_str()),
            ("exit 128", format!("fatal: {message}\n").as_str())
        );
    };
    fatal(
        one_commit().config("hook.update.command", "true"),
        "hook friendly-name 'update' collides with a known event name; please choose a different friendly-name",
    );
    fatal(
        one_commit().config("hook.lost.event", "pre-commit"),
        "'hook.lost.command' must be configured or 'hook.lost.event' must be removed; aborting.",
    );
    fatal(one_commit().config("hook.x.enabled", "perhaps"), "bad boolean config value 'perhaps' for 'hook.x.enabled'");
}

/// Two hooks that can end only if they run at the same time, and speak meanwhile.
fn that_meet(push: Push) -> Push {
    let push = push.shell("mkfifo there back").config("hook.one.parallel", "true").config("hook.two.parallel", "true");
    let push = configured(push, "one", "post-receive", "echo one; echo >../there; read line <../back; echo one again");
    configured(push, "two", "post-receive", "echo two; read line <../there; echo >../back; echo two again")
}

#[test]
fn hooks_run_side_by_side_where_that_is_allowed() {
    for setting in ["hook.jobs", "hook.post-receive.jobs"] {
        let push = that_meet(one_commit()).config(setting, "2");
        let told = server::pushed(&push).told;
        let expected = ["one\none again\ntwo\ntwo again\n", "two\ntwo again\none\none again\n"];
        assert!(expected.contains(&told.as_str()), "what each says comes in one piece: {told}");
    }
}

#[test]
fn hooks_run_one_by_one_unless_all_allow_otherwise() {
    let push = one_commit().config("hook.jobs", "-1").config("hook.one.parallel", "true");
    let push = configured(push, "one", "post-receive", "echo one; test ! -e ../two; echo $?");
    let push = configured(push, "two", "post-receive", "echo >../two; echo two");
    assert_eq!(server::pushed(&push).told, "one\n0\ntwo\n");
}

#[test]
fn configured_hooks_do_not_stand_in_for_proc_receive() {
    let push =
        configured(one_commit(), "x", "proc-receive", "echo never").config("receive.procReceiveRefs", "refs/heads");
    let outcome = server::pushed(&push);
    refused(&outcome, "fail to run proc-receive hook");
    assert_eq!(outcome.told, "error: cannot find hook 'proc-receive'\n");
}
