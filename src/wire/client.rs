//! The client's end of the wire, without the buffer that std keeps for people who read line by line: what is written in one
//! piece goes out in one.

use std::io::{self, Write};

use nix::unistd::write;

/// stdout.
#[derive(Debug)]
pub struct Client;

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
