//! What the children of a hook say after the hook itself has exited.

use std::{
    io::{PipeReader, Read},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use crate::wire::sideband::Sideband;

/// How long a child that holds a hook's output open may keep silent before the end of the push waits for it no longer.
const SILENCE: Duration = Duration::from_secs(1);

/// The outputs that outlived their hooks. A thread each passes on what comes until the push ends.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Each sends one `()` for each piece passed on, and hangs up at the end.
    followed: Mutex<Vec<Receiver<()>>>,
}

impl Leftovers {
    /// Pass on to `sideband` what is still to come from `output`.
    pub fn follow(&self, mut output: PipeReader, sideband: Sideband) {
        let (piece, pieces) = channel();
        let follower = move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(heard @ 1..) = output.read(&mut buffer) {
                sideband.tell(&buffer[..heard]);
                piece.send(()).ok();
            }
        };
        // Without a thread to spare the output is lost, and nothing else.
        if thread::Builder::new().name("hook output".into()).spawn(follower).is_ok() {
            self.followed.lock().unwrap_or_else(PoisonError::into_inner).push(pieces);
        }
    }

    /// Wait for the ends of these outputs, or until they fall silent.
    pub fn finish(&self) {
        let followed = std::mem::take(&mut *self.followed.lock().unwrap_or_else(PoisonError::into_inner));
        for pieces in followed {
            while pieces.recv_timeout(SILENCE).is_ok() {}
        }
    }
}
