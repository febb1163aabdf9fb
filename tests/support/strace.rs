//! Which processes a receive-pack starts, told by strace.

use std::{collections::BTreeMap, path::PathBuf};

use super::{optional_program, ours, scene::Scene};

/// A program that was started, and by whom.
struct Started {
    process: u32,
    parent: u32,
    command: String,
}

/// Our program under strace.
pub struct Watched {
    log: PathBuf,
    command: String,
}

impl Watched {
    /// `None`, and a word on how to get it, without an strace.
    pub fn new(scene: &Scene) -> Option<Watched> {
        let strace = optional_program("strace", "strace")?;
        let log = scene.path("strace.log");
        let command = format!(
            "{} -f -qq -s 4096 -e trace=execve,clone,clone3,fork,vfork -e signal=none -o {} {}",
            strace.display(),
            log.display(),
            ours().display()
        );
        Some(Watched { log, command })
    }

    /// What the client is to start (`--receive-pack=…`).
    pub fn receive_pack(&self) -> String {
        format!("--receive-pack={}", self.command)
    }

    /// The programs that ours itself started since it was last asked, in order: not what those started.
    pub fn started(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).expect("a log");
        std::fs::remove_file(&self.log).expect("removed");
        own(&started(&log))
    }
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

fn own(started: &[Started]) -> Vec<String> {
    let root = started.first().expect("ours").process;
    // Whatever a hook or maintenance starts hangs on a process that has run another program than ours.
    let others: Vec<u32> = started.iter().skip(1).map(|other| other.process).collect();
    let own = started.iter().skip(1).filter(|it| it.process != root && !others.contains(&it.parent));
    // Where git is found is free.
    let name = |command: &str| match command.split_once("/git ") {
        Some((_, arguments)) => format!("git {arguments}"),
        None => command.to_owned(),
    };
    own.map(|it| name(&it.command)).collect()
}
