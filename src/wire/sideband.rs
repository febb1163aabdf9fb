//! The server's half of the conversation: pkt-lines, side-band channels, and keepalives in between.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// The largest payload of one side-band packet: 65520 less four bytes of length and one of channel.
const MAX_PAYLOAD: usize = 65515;

/// Where messages for the person who pushes go: channel 2 if the client took side-band-64k, else this process's stderr.
///
/// Cloning gives another handle to the same channel; every write is one whole packet, whichever thread makes it.
#[derive(Clone)]
pub struct Sideband {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    multiplexed: bool,
}

impl Sideband {
    /// A channel over `out`, which is the client's end (stdout); `multiplexed` if the client took side-band-64k.
    pub fn new(out: Box<dyn Write + Send>, multiplexed: bool) -> Self {
        Sideband { out: Arc::new(Mutex::new(out)), multiplexed }
    }

    /// True if the client took side-band-64k.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }

    /// Tell the person who pushes, byte for byte. Failures are ignored: a client that went away changes nothing.
    pub fn tell(&self, bytes: &[u8]) {
        if self.multiplexed {
            self.packets(2, bytes).ok();
        } else {
            io::stderr().write_all(bytes).ok();
        }
    }

    /// `error: <message>` LF.
    pub fn error(&self, message: impl Display) {
        self.tell(format!("error: {message}\n").as_bytes());
    }

    /// `warning: <message>` LF.
    pub fn warning(&self, message: impl Display) {
        self.tell(format!("warning: {message}\n").as_bytes());
    }

    /// Send the report's bytes: on channel 1 if multiplexed, else bare.
    pub fn report(&self, bytes: &[u8]) -> io::Result<()> {
        if self.multiplexed {
            return self.packets(1, bytes);
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(bytes)?;
        out.flush()
    }

    fn packets(&self, channel: u8, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks(MAX_PAYLOAD) {
            write!(out, "{:04x}", chunk.len() + 5)?;
            out.write_all(&[channel])?;
            out.write_all(chunk)?;
        }
        out.flush()
    }
}
