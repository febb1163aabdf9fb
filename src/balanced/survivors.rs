//! The hook of a push that died, and all that it started: ended before anybody asks what it would have said.
//!
//! Such processes are known by their environment, and where that was cleared or cannot be read, by the process group that the
//! journal names. A child that has done away with both is out of reach.

use std::{fs, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::transaction_id::TransactionId;
use crate::refs::lock::Waiting;

/// How long a process may take to go away that was told to with SIGKILL: one that waits for a disk takes its time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The process group of a hook. Numbers of processes are used again; with the other two, and within one boot of the machine,
/// it is no other group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The number of the group, and of the process that leads it.
    pub leader: i32,
    /// When that process was started, in ticks since the machine was.
    pub start: u64,
    /// The session of all its processes.
    pub session: i32,
}

/// What `/proc/<pid>/stat` says of a process (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    state: u8,
    group: i32,
    session: i32,
    start: u64,
}

impl Group {
    /// The group that process `leader` leads, `None` if that is not to be found out.
    pub fn led_by(leader: u32) -> Option<Self> {
        let leader = leader.try_into().ok()?;
        let Process { start, session, .. } = Process::find(leader)?;
        Some(Group { leader, start, session })
    }

    /// True if `process` belongs to it, where `leader` is the process of that number as of now.
    fn has(self, process: Process, leader: Option<Process>) -> bool {
        let is_this = match leader {
            Some(leader) => leader.start == self.start,
            // A number stays taken while there is such a group; another one of that number would be of another session.
            None => process.session == self.session,
        };
        is_this && process.group == self.leader
    }
}

impl Process {
    fn find(id: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{id}/stat")).ok()?)
    }

    /// The second field is a name in parentheses, which may hold anything.
    fn parse(stat: &[u8]) -> Option<Self> {
        let behind = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let fields: Vec<&str> = std::str::from_utf8(&stat[behind..]).ok()?.split_ascii_whitespace().collect();
        let [state, _parent, group, session, ..] = fields[..] else { return None };
        Some(Process {
            state: *state.as_bytes().first()?,
            group: group.parse().ok()?,
            session: session.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// False if it has exited, and is only waiting to be heard of.
    fn lives(self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }
}

/// End every process that was started for transaction `id`, or belongs to its hook's `group`. False if one lives on.
pub fn end(id: &TransactionId, group: Option<Group>) -> bool {
    let mark = format!("GIT_BALANCED_TRANSACTION={id}");
    let mut waiting = Waiting::new(Some(PATIENCE));
    loop {
        let found = survivors(mark.as_bytes(), group);
        if found.is_empty() {
            return true;
        }
        // A process that is gone by now is what was wanted.
        if found.into_iter().any(|process| !matches!(kill(process, Signal::SIGKILL), Ok(()) | Err(Errno::ESRCH))) {
            return false;
        }
        if !waiting.again() {
            return false;
        }
    }
}

/// The processes, but this one, that have `mark` in their environment or are in `group`.
fn survivors(mark: &[u8], group: Option<Group>) -> Vec<Pid> {
    let leader = group.and_then(|group| Process::find(group.leader));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has_mark = |id: i32| {
        // Of a process that has exited, and that its parent has not heard of yet, nothing is left here.
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    let is_member = |id: i32| {
        let Some(group) = group else { return false };
        Process::find(id).is_some_and(|process| process.lives() && group.has(process, leader))
    };
    ids.filter(|id| has_mark(*id) || is_member(*id)).map(Pid::from_raw).filter(|id| *id != Pid::this()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Group = Group { leader: 42, start: 1000, session: 7 };
    const MEMBER: Process = Process { state: b'S', group: 42, session: 7, start: 2000 };

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"42 (a) b (c) S 1 42 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 1000 0 0\n";
        let expected = Process { state: b'S', group: 42, session: 7, start: 1000 };
        assert_eq!(Process::parse(stat), Some(expected));
        for end in 0..stat.len() - b"1000 0 0\n".len() {
            assert_eq!(Process::parse(&stat[..end]), None, "{end}");
        }
        assert!(Process::find(std::process::id().try_into().unwrap()).is_some_and(Process::lives));
    }

    #[test]
    fn a_number_that_is_used_again_is_another_group() {
        let leader = Process { start: 1000, ..MEMBER };
        let newer = Process { start: 3000, ..MEMBER };
        let elsewhere = Process { session: 8, ..MEMBER };
        assert!(GROUP.has(MEMBER, Some(leader)) && GROUP.has(MEMBER, None));
        assert!(!GROUP.has(MEMBER, Some(newer)) && !GROUP.has(elsewhere, None));
        assert!(!GROUP.has(Process { group: 41, ..MEMBER }, Some(leader)));
    }
}
