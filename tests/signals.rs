//! Death while objects stream in: nothing of the push is visible, and what can be caught leaves no file.

pub mod support;

use std::{io::Write, os::unix::process::ExitStatusExt};

use nix::{sys::signal::Signal, unistd::Pid};
use support::{
    observe::Outcome,
    ours,
    packs::{BLOB, PackBuilder},
    push::{Push, push},
    server,
};

/// A push of `objects` blobs, 4 MB in all: far more than the pipes between here and there hold.
fn large_push(objects: usize) -> Push {
    let pack = (0..objects).fold(PackBuilder::new(), |pack, number| {
        // No two alike.
        pack.entry(BLOB, format!("{number:08}").repeat(4_000_000 / 8 / objects).as_bytes())
    });
    push().update("refs/heads/main", "main", "next").pack(pack.finish())
}

fn quarantines(push: &Push) -> usize {
    let names = std::fs::read_dir(push.scene.path("server.git/objects")).expect("objects/").flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().contains("incoming")).count()
}

/// Send half of the pack, then the signal, then no more.
fn killed_half_way(push: &Push, signal: Signal) {
    let request = push.bytes();
    let mut child = server::start(ours(), push);
    let mut stdin = child.stdin.take().expect("piped");
    // Comes back only when all but a pipe's worth has been read, so the program is in the middle of the pack.
    stdin.write_all(&request[..request.len() / 2]).expect("the program reads");
    assert_eq!(quarantines(push), 1);
    nix::sys::signal::kill(Pid::from_raw(child.id().cast_signed()), signal).expect("a signal");
    drop(stdin);
    child.wait_with_output().expect("the program ends");
}

/// Another push, by the git client.
fn next_push_works(push: &Push) {
    let (accepted, said) = server::git_push(&push.scene, &["../server.git", "next:main", "many:many"]);
    assert!(accepted, "{said}");
    push.scene.git("server.git", &["fsck", "--full", "--strict"]);
}

#[test]
fn a_signal_that_can_be_caught_leaves_no_file() {
    let catchable = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
        Signal::SIGALRM,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGXCPU,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
    ];
    // Few become loose objects, many a pack.
    for objects in [2, 200] {
        for signal in catchable {
            let push = large_push(objects);
            let before = Outcome::found_in(&push.scene);
            killed_half_way(&push, signal);
            let after = Outcome::found_in(&push.scene);
            let left = after.differences(&before, false);
            assert!(left.is_empty(), "{signal} while {objects} objects came in left\n{left}");
            next_push_works(&push);
        }
    }
}

#[test]
fn a_push_that_waits_for_a_lock_is_ended_by_a_signal() {
    let push = push().config("core.filesRefLockTimeout", "-1").update("refs/heads/main", "main", "next");
    std::fs::write(push.scene.path("server.git/refs/heads/main.lock"), "").expect("a lock");
    let before = Outcome::found_in(&push.scene);
    let mut child = server::start(ours(), &push);
    child.stdin.take().expect("piped").write_all(&push.bytes()).expect("the program reads");
    server::await_patience(&child);
    nix::sys::signal::kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("a signal");
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.signal(), Some(Signal::SIGTERM as i32), "{output:?}");
    // The objects were accepted by then.
    let after = Outcome::found_in(&push.scene);
    assert_eq!((after.refs, after.logs), (before.refs, before.logs));
    assert!(push.scene.path("server.git/refs/heads/main.lock").exists(), "it is somebody else's");
}

#[test]
fn a_signal_that_was_ignored_from_the_start_is_ignored() {
    let push = push().update("refs/heads/main", "main", "next");
    let push = push.hook("pre-receive", "kill -HUP $PPID");
    let mut child = server::start_after("trap '' HUP", &push);
    child.stdin.take().expect("piped").write_all(&push.bytes()).expect("the program reads");
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "nohup(1) would have been in vain: {output:?}");
}

#[test]
fn a_file_that_must_not_grow_is_an_error_like_any_other() {
    for limit in ["1", "100"] {
        let push = push().config("receive.unpackLimit", limit).update("refs/heads/main", "main", "next");
        let before = Outcome::found_in(&push.scene);
        let mut child = server::start_after("ulimit -f 0", &push);
        child.stdin.take().expect("piped").write_all(&push.bytes()).expect("the program reads");
        let output = child.wait_with_output().expect("the program ends");
        assert!(output.stdout.windows(13).any(|said| said == b"abnormal exit"), "{output:?}");
        let left = Outcome::found_in(&push.scene).differences(&before, false);
        assert!(left.is_empty(), "{left}");
    }
}

#[test]
fn kill_9_leaves_nothing_that_can_be_seen() {
    for objects in [2, 200] {
        let push = large_push(objects);
        let before = Outcome::found_in(&push.scene);
        killed_half_way(&push, Signal::SIGKILL);
        let after = Outcome::found_in(&push.scene);
        assert_eq!((after.refs, after.logs, after.objects), (before.refs, before.logs, before.objects));
        next_push_works(&push);
    }
}

#[test]
fn a_client_that_goes_away_leaves_no_file() {
    for objects in [2, 200] {
        let push = large_push(objects);
        let before = Outcome::found_in(&push.scene);
        let request = push.bytes();
        let mut child = server::start(ours(), &push);
        drop(child.stdout.take());
        drop(child.stderr.take());
        let mut stdin = child.stdin.take().expect("piped");
        // Whether the program reads on or gives up at once is its own matter.
        stdin.write_all(&request[..request.len() / 2]).ok();
        drop(stdin);
        child.wait().expect("the program ends");
        let left = Outcome::found_in(&push.scene).differences(&before, false);
        assert!(left.is_empty(), "{objects} objects left\n{left}");
    }
}
