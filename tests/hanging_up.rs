//! A client that goes away: nothing is said that an administrator would have to look into, and nothing is left undone.

pub mod support;

use std::{
    io::{self, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Stdio,
};

use nix::sys::signal::Signal;
use support::{
    gits,
    observe::Outcome,
    ours,
    push::{Push, push},
    server,
};

/// How `program` ends if its answer is not wanted: the signal, and what it says.
fn unheard(program: &Path, push: &Push) -> (Option<i32>, String) {
    let mut child = server::start(program, push);
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    (output.status.signal(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Our program's exit status if nobody reads what it says to stderr.
fn without_stderr(push: &Push) -> Option<i32> {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut command = push.scene.command(".", ours());
    command.args(&push.arguments).arg(push.directory).stderr(writer);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("ours");
    // One that does not read to the end is fine.
    child.stdin.take().expect("piped").write_all(&push.bytes()).ok();
    child.wait().expect("the program ends").code()
}

#[test]
fn an_advertisement_that_nobody_reads_ends_silently_of_sigpipe() {
    let mut push = push();
    let main = push.id("main");
    // More than a pipe holds, so that nobody can have written all.
    let refs: String = (0..2000).map(|number| format!("create refs/heads/many/{number} {main}\n")).collect();
    push.scene.feed("server.git", &["update-ref", "--stdin"], refs.as_bytes());
    push = push.server(&["pack-refs", "--all"]);
    for arguments in [&[][..], &["--advertise-refs"], &["--stateless-rpc", "--http-backend-info-refs"]] {
        push.arguments = arguments.iter().map(Into::into).collect();
        for program in [gits().as_path(), ours()] {
            let end = unheard(program, &push);
            assert_eq!(end, (Some(Signal::SIGPIPE as i32), String::new()), "{} {arguments:?}", program.display());
        }
    }
}

#[test]
fn a_push_is_carried_through_although_stderr_is_gone() {
    let push = push()
        .capabilities("report-status object-format=sha1")
        .config("core.fsyncMethod", "unheard-of")
        .hook("pre-receive", "")
        .hook("update", "exit 1")
        .shell("chmod -x server.git/hooks/*")
        .create("refs/heads/.funny", "next")
        .create("refs/heads/new", "next")
        .recording(&["post-receive"], "echo and speaks");
    assert_eq!(without_stderr(&push), Some(0));
    let after = Outcome::found_in(&push.scene);
    assert!(after.seen.contains("refs/heads/new"), "{after:#?}");
    assert_eq!(push.scene.git("server.git", &["rev-parse", "new"]), push.id("next"));
}

#[test]
fn a_fatal_error_is_one_although_stderr_is_gone() {
    assert_eq!(without_stderr(&push().directory("absent.git").raw(b"")), Some(128));
    assert_eq!(without_stderr(&push().argument("--unheard-of").raw(b"")), Some(129));
}
