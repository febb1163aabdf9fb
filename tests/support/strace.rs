//! Which processes a receive-pack starts, told by strace.

use std::{collections::BTreeMap, path::PathBuf};

use super::{optional_program, ours, scene::Scene};

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
        own(&log)
    }
}

/// The commands that the first process of a log itself started, each once, in order.
fn own(log: &str) -> Vec<String> {
    let mut parents = BTreeMap::new();
    let mut started: Vec<(u32, String)> = Vec::new();
    for (process, call) in calls(log) {
        if call.starts_with("execve(") {
            // Its own arguments are the first list: `execve("<file>", ["<argument>", …], …) = 0`.
            let command = call.split('[').nth(1).and_then(|rest| rest.split(']').next()).unwrap_or(&call);
            let known = started.iter().any(|(known, _)| *known == process);
            if call.ends_with(" = 0") && !known {
                started.push((process, command.replace("\", \"", " ").trim_matches('"').to_owned()));
            }
        } else if let Some(Ok(child)) = call.rsplit(" = ").next().map(str::parse::<u32>) {
            parents.insert(child, process);
        }
    }
    // What a hook or maintenance starts has an ancestor that is another program than ours.
    let others: Vec<u32> = started.iter().skip(1).map(|(process, _)| *process).collect();
    let ours = |process: &u32| {
        let mut ancestors = std::iter::successors(parents.get(process), |ancestor| parents.get(ancestor));
        !ancestors.any(|ancestor| others.contains(ancestor))
    };
    // Where git is found is free.
    let name = |command: &str| match command.split_once("/git ") {
        Some((_, arguments)) => format!("git {arguments}"),
        None => command.to_owned(),
    };
    let own = started.iter().skip(1).filter(|(process, _)| ours(process));
    own.map(|(_, command)| name(command)).collect()
}

/// The lines `<pid> <call>(…) = <result>` of a log, those that strace had to break put together again.
fn calls(log: &str) -> Vec<(u32, String)> {
    let mut calls = Vec::new();
    let mut unfinished = BTreeMap::new();
    for line in log.lines() {
        let (process, call) = line.split_once(' ').expect("a process id");
        let (process, call): (u32, &str) = (process.parse().expect("a process id"), call.trim());
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, start);
        } else if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            calls.push((process, unfinished.remove(&process).unwrap_or_default().to_owned() + rest));
        } else {
            calls.push((process, call.to_owned()));
        }
    }
    calls
}
