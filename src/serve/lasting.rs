//! What a push that lasts needs, and a small one does without: somebody who hears signals, and somebody who keeps the
//! connection alive. Each is a thread, and to start both takes a tenth of a small push.

use std::{
    fs::File,
    io::{self, BufReader, Read},
};

use crate::{
    config::Config,
    interrupt::Interrupts,
    wire::{request::Request, sideband::Sideband},
};

/// Signals wait from now on, until the push is over or turns out to last.
pub(super) fn interrupts(config: &Config, sideband: &Sideband, request: &Request) -> io::Result<Interrupts> {
    let (interval, sideband) = (config.keep_alive, sideband.clone());
    let interrupts = Interrupts::begin(move || {
        if let Some(interval) = interval {
            sideband.keep_alive(interval);
        }
    })?;
    if !is_brief(request, config) {
        interrupts.lasts();
    }
    Ok(interrupts)
}

/// True if nothing known so far takes its time. What comes up later says so itself: hooks, many objects, long walks, held locks.
fn is_brief(request: &Request, config: &Config) -> bool {
    let is_plain = request.commands.len() == 1 && request.certificate.is_none() && request.shallow.is_empty();
    is_plain && !config.balanced_atomic && !config.update_server_info && config.alternate_refs_command.is_none()
}

/// What the client sends behind its commands. It may take its time, but for what came with them.
pub(super) struct Patient<'a> {
    pub(super) input: BufReader<File>,
    pub(super) interrupts: &'a Interrupts,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.buffer().is_empty() {
            self.interrupts.listen();
        }
        self.input.read(buffer)
    }
}
