//! The hook of a push that died, and all that it started: ended before anybody asks what it would have said.

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

/// End every process that was started for transaction `id`, which its environment tells. False if one lives on.
pub fn end(id: &TransactionId) -> bool {
    let mark = format!("GIT_BALANCED_TRANSACTION={id}");
    let mut waiting = Waiting::new(Some(PATIENCE));
    loop {
        let found = marked(mark.as_bytes());
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

/// The processes, but this one, that have `mark` in their environment.
fn marked(mark: &[u8]) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has_mark = |id: &i32| {
        // Of a process that has exited, and that its parent has not heard of yet, nothing is left here.
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    ids.map(Pid::from_raw).filter(|id| *id != Pid::this() && has_mark(&id.as_raw())).collect()
}
