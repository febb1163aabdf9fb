//! The server's half of the conversation: pkt-lines, side-band channels, and keepalives in between.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bstr::BString;

use crate::trace;

/// The largest payload of one side-band packet: 65520 less four bytes of length and one of channel.
const MAX_PAYLOAD: usize = 65515;

/// How many bytes of an error or a warning are told, without the LF.
const MAX_SENTENCE: usize = 4095;

/// Where messages for the person who pushes go: channel 2 if the client took side-band-64k, else this process's stderr.
///
/// Cloning gives another handle to the same channel; every write is one whole packet, whichever thread makes it.
#[derive(Clone)]
pub struct Sideband {
    shared: Arc<Shared>,
    multiplexed: bool,
}

struct Shared {
    line: Mutex<Line>,
    /// Signalled when the conversation ends.
    ended: Condvar,
}

/// The client's end of the wire.
struct Line {
    out: Box<dyn Write + Send>,
    last_write: Instant,
    is_over: bool,
}

impl Sideband {
    /// A channel over `out`, which is the client's end (stdout); `multiplexed` if the client took side-band-64k.
    pub fn new(out: Box<dyn Write + Send>, multiplexed: bool) -> Self {
        let line = Line { out, last_write: Instant::now(), is_over: false };
        Sideband { shared: Arc::new(Shared { line: Mutex::new(line), ended: Condvar::new() }), multiplexed }
    }

    /// True if the client took side-band-64k.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }

    /// From now to [`finish`](Self::finish), send an empty packet on channel 1 whenever nothing was written for `interval`
    /// (`receive.keepAlive`), so that nothing between here and the client takes the connection for dead.
    ///
    /// Without side-band there is nothing that could be sent, and no thread is started. Where none can be had the connection has
    /// to live without. To be called once.
    pub fn keep_alive(&self, interval: Duration) {
        let mut line = self.lock();
        if !self.multiplexed {
            return;
        }
        line.last_write = Instant::now();
        let shared = self.shared.clone();
        std::thread::Builder::new().name("keepalive".into()).spawn(move || shared.keep_alive(interval)).ok();
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
    pub fn error(&self, message: impl AsRef<[u8]>) {
        self.sentence(words!("error: ", message));
    }

    /// `warning: <message>` LF.
    pub fn warning(&self, message: impl AsRef<[u8]>) {
        self.sentence(words!("warning: ", message));
    }

    /// As much of it as git would tell: what a client names can be longer than anybody wants to read.
    fn sentence(&self, mut words: BString) {
        words.truncate(MAX_SENTENCE);
        words.push(b'\n');
        self.tell(&words);
    }

    /// Send the report's bytes: on channel 1 if multiplexed, else bare.
    pub fn report(&self, bytes: &[u8]) -> io::Result<()> {
        trace::sent(bytes);
        if self.multiplexed {
            return self.packets(1, bytes);
        }
        let mut line = self.lock();
        line.out.write_all(bytes)?;
        line.out.flush()
    }

    /// End the conversation: the flush that ends a multiplexed stream is sent, and nothing comes after it, whoever tells it.
    pub fn finish(&self) -> io::Result<()> {
        let mut line = self.lock();
        line.is_over = true;
        self.shared.ended.notify_all();
        if self.multiplexed {
            trace::sent(b"0000");
            line.out.write_all(b"0000")?;
        }
        line.out.flush()
    }

    fn packets(&self, channel: u8, bytes: &[u8]) -> io::Result<()> {
        let mut line = self.lock();
        if line.is_over {
            return Ok(());
        }
        for chunk in bytes.chunks(MAX_PAYLOAD) {
            line.packet(channel, chunk)?;
        }
        line.out.flush()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.shared.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn keep_alive(&self, interval: Duration) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        while !line.is_over {
            let silence = line.last_write.elapsed();
            if silence < interval {
                let waited = self.ended.wait_timeout(line, interval - silence);
                line = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else if line.packet(1, b"").and_then(|()| line.out.flush()).is_err() {
                // The client is gone, and the push goes on.
                return;
            }
        }
    }
}

impl Line {
    fn packet(&mut self, channel: u8, payload: &[u8]) -> io::Result<()> {
        self.last_write = Instant::now();
        // In one write, which out of a terminal's or a pipe's view makes it one piece.
        let mut packet = Vec::with_capacity(payload.len() + 5);
        write!(packet, "{:04x}", payload.len() + 5)?;
        packet.push(channel);
        packet.extend_from_slice(payload);
        self.out.write_all(&packet)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Hands on what each write brings.
    struct Wire(Sender<Vec<u8>>);

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn silence_is_broken_until_the_final_flush() {
        let (sender, received) = channel();
        let sideband = Sideband::new(Box::new(Wire(sender)), true);
        sideband.keep_alive(Duration::from_millis(1));
        assert_eq!(received.recv().unwrap(), b"0005\x01");
        sideband.tell(b"working\r");
        sideband.finish().unwrap();
        drop(sideband);
        // The keepalive thread ends too, or the channel would stay open.
        let rest: Vec<_> = received.iter().filter(|packet| packet != b"0005\x01").collect();
        assert_eq!(rest, [&b"000d\x02working\r"[..], b"0000"]);
    }

    #[test]
    fn without_side_band_nothing_is_added() {
        let (sender, received) = channel();
        let sideband = Sideband::new(Box::new(Wire(sender)), false);
        sideband.keep_alive(Duration::ZERO);
        sideband.report(b"000eunpack ok\n0000").unwrap();
        sideband.finish().unwrap();
        drop(sideband);
        assert_eq!(received.iter().collect::<Vec<_>>(), [b"000eunpack ok\n0000"]);
    }
}
