//! Runs a receive-pack over a request.

use std::{
    fs::DirEntry,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Output, Stdio},
};

use super::{gits, observe::Outcome, ours, push::Push, scene::Scene};

/// The program, waiting for its input.
pub fn start(program: &Path, push: &Push) -> Child {
    let mut command = push.scene.command(".", program);
    command.envs(push.environment.iter().map(|(name, value)| (name, value))).args(&push.arguments).arg(push.directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Our program, started by a shell that first does what `script` says.
pub fn start_after(script: &str, push: &Push) -> Child {
    let program = push.scene.path("started.sh");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\nexec '{}' \"$@\"\n", ours().display())).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    start(&program, push)
}

/// Wait until our program has found that its push lasts: then it has a thread that hears signals.
pub fn await_patience(child: &Child) {
    let threads = format!("/proc/{}/task", child.id());
    let hears =
        |thread: DirEntry| std::fs::read(thread.path().join("comm")).is_ok_and(|name| name.trim_ascii() == b"signals");
    while !std::fs::read_dir(&threads).expect("it lives").flatten().any(hears) {
        std::thread::yield_now();
    }
}

/// The whole request at once, then the end of input.
pub fn run(program: &Path, push: &Push, request: &[u8]) -> Output {
    answer(start(program, push), request)
}

/// What a program answers to the whole request.
pub fn answer(mut child: Child, request: &[u8]) -> Output {
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // One that stops reading early is fine.
        scope.spawn(move || stdin.write_all(request).ok());
        child.wait_with_output().expect("the program ends")
    })
}

/// Our program's answer.
pub fn pushed(push: &Push) -> Outcome {
    let request = push.bytes();
    Outcome::of(push, &request, &run(ours(), push, &request))
}

/// Both programs' answers, git's first, to the same bytes on copies of the same repositories at the same path.
pub fn pushed_to_both(push: &Push) -> (Outcome, Outcome) {
    let request = push.bytes();
    push.scene.save();
    let theirs = Outcome::of(push, &request, &run(&gits(), push, &request));
    push.scene.restore();
    let mine = Outcome::of(push, &request, &run(ours(), push, &request));
    (theirs, mine)
}

/// `git push` from `client.git` through our program; true if it succeeded, and what it said.
pub fn git_push(scene: &Scene, arguments: &[&str]) -> (bool, String) {
    let receive_pack = format!("--receive-pack={}", ours().display());
    let arguments: Vec<&str> = ["push", &receive_pack].into_iter().chain(arguments.iter().copied()).collect();
    let output = scene.try_git("client.git", &arguments);
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}
