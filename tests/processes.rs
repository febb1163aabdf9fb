//! Which processes a push starts: its hooks and `git maintenance`, and no other.

pub mod support;

use std::collections::BTreeMap;

use support::{optional_program, ours, scene::Scene};

/// A program that was started, and by whom.
struct Started {
    process: u32,
    parent: u32,
    command: String,
}

/// Push with our program under strace; every program that it and its children started. `None` without an strace.
fn watched_push(scene: &Scene, refs: &[&str]) -> Option<Vec<Started>> {
    let strace = optional_program("strace", "strace")?;
    let log = scene.path("strace.log");
    let receive_pack = format!(
        "--receive-pack={} -f -qq -s 4096 -e trace=execve,clone,clone3,fork,vfork -e signal=none -o {} {}",
        strace.display(),
        log.display(),
        ours().display()
    );
    let arguments: Vec<&str> =
        ["push", &receive_pack, "../server.git"].into_iter().chain(refs.iter().copied()).collect();
    scene.git("client.git", &arguments);
    Some(started(&std::fs::read_to_string(log).expect("a log")))
}

/// Read a log of strace: `<pid> execve("<program>", ["<argument>", …], …) = 0` and `<pid> clone(…) = <child>`.
fn started(log: &str) -> Vec<Started> {
    let mut parents = BTreeMap::new();
    let mut started = Vec::new();
    let first = log.split(' ').next().and_then(|process| process.parse().ok()).expect("a process id");
    for line in log.lines() {
        let (process, call) = line.split_once(' ').expect("a process id");
        let (process, call): (u32, &str) = (process.parse().expect("a process id"), call.trim_start());
        let result = call.rsplit(" = ").next().unwrap_or_default();
        if !call.starts_with("execve") && !call.contains("execve resumed") {
            if let Ok(child @ 1..) = result.parse::<u32>() {
                // A thread that starts a program does so for its process.
                let thread = call.contains("CLONE_THREAD");
                parents.insert(child, if thread { parents.get(&process).copied().unwrap_or(first) } else { process });
            }
        } else if result == "0" && call.starts_with("execve(") {
            let command = call.split('[').nth(1).and_then(|rest| rest.split(']').next()).unwrap_or(call);
            let command = command.replace("\", \"", " ").trim_matches('"').to_owned();
            started.push(Started { process, parent: parents.get(&process).copied().unwrap_or(0), command });
        }
    }
    started
}

/// What our program itself started, in order: not what those started.
fn own(started: &[Started]) -> Vec<&str> {
    let root = started.first().expect("ours").process;
    // Whatever a hook or maintenance starts hangs on a process that has run another program than ours.
    let others: Vec<u32> = started.iter().skip(1).map(|other| other.process).collect();
    let own = started.iter().skip(1).filter(|it| it.process != root && !others.contains(&it.parent));
    own.map(|it| it.command.as_str()).collect()
}

#[test]
fn a_push_without_hooks_starts_git_maintenance_alone() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["config", "receive.autogc", "true"]);
    for refs in [&["next:main"][..], &["many:main", ":topic", "v2"]] {
        let Some(started) = watched_push(&scene, refs) else { return };
        assert_eq!(own(&started), ["git maintenance run --auto --quiet --detach"]);
    }
}

#[test]
fn a_push_that_needs_no_process_starts_none() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["config", "receive.updateServerInfo", "true"]);
    scene.git("server.git", &["config", "receive.denyNonFastForwards", "true"]);
    let Some(started) = watched_push(&scene, &["next:main", "side", "v2", ":topic"]) else { return };
    assert_eq!(own(&started), [""; 0]);
}

#[test]
fn hooks_are_started_once_and_a_push_for_them_alone() {
    let scene = Scene::new("sha1", "files");
    for hook in ["pre-receive", "update", "post-receive", "post-update"] {
        scene.hook(hook, "exit 0");
    }
    let Some(started) = watched_push(&scene, &["next:main"]) else { return };
    let new = scene.git("client.git", &["rev-parse", "next"]);
    let old = scene.git("client.git", &["rev-parse", "main"]);
    assert_eq!(
        own(&started),
        [
            "hooks/pre-receive",
            &format!("hooks/update refs/heads/main {old} {new}"),
            "hooks/post-receive",
            "hooks/post-update refs/heads/main",
        ]
    );
}
