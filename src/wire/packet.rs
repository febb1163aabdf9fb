//! Reading pkt-lines (gitprotocol-common): one packet at a time, and never a byte behind the one asked for, since the pack
//! that follows a request is on the same stream.

use std::io::{ErrorKind, Read};

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;

use crate::trace::{self, Direction};

/// The largest payload, in bytes, that git's reader takes; its writers stop at 65516.
const MAX_PAYLOAD: usize = 65519;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A payload, as sent.
    Data(&'a [u8]),
    /// `0000`
    Flush,
    /// `0001` or `0002`, which are of protocol version 2.
    Other,
}

/// The payload of a packet as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Up to the first NUL, less the LF at the packet's end.
    pub text: &'a [u8],
    /// What stands between the first NUL and the next one or the end.
    pub features: Option<&'a [u8]>,
}

/// Reads packets from a stream that the caller goes on with afterwards.
pub struct PacketReader<'a, R> {
    input: &'a mut R,
    buffer: Vec<u8>,
    /// `ERR <message>` is what the other side says when it gives up.
    may_give_up: bool,
}

impl<'a, R: Read> PacketReader<'a, R> {
    /// Read what a client says from `input`, which should be buffered: a packet takes two reads.
    pub fn of_client(input: &'a mut R) -> Self {
        PacketReader { input, buffer: Vec::new(), may_give_up: true }
    }

    /// The same of a hook, whose packets mean nothing of their own.
    pub fn of_hook(input: &'a mut R) -> Self {
        PacketReader { may_give_up: false, ..Self::of_client(input) }
    }

    /// The next packet. Errors are what git's reader says of a length that is none, of a client's packet that begins with
    /// `ERR `, and of the end of the stream ([`HungUp`]).
    pub fn next_packet(&mut self) -> Result<Packet<'_>> {
        let mut digits = [0; 4];
        fill(self.input, &mut digits)?;
        // Digit by digit: a sign, which integers in text may have, is no part of a length.
        let length = digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)? as usize));
        let payload = match length {
            None => bail!("protocol error: bad line length character: {}", digits.as_bstr()),
            Some(0) => {
                trace::packet(Direction::Received, &digits);
                return Ok(Packet::Flush);
            }
            Some(1 | 2) => return Ok(Packet::Other),
            Some(3) => bail!("protocol error: bad line length 3"),
            Some(length) => length - 4,
        };
        if payload > MAX_PAYLOAD {
            bail!("protocol error: bad line length {payload}");
        }
        self.buffer.resize(payload, 0);
        fill(self.input, &mut self.buffer)?;
        trace::packet(Direction::Received, &self.buffer);
        if self.may_give_up
            && let Some(error) = self.buffer.strip_prefix(b"ERR ")
        {
            bail!("remote error: {}", error.strip_suffix(b"\n").unwrap_or(error).as_bstr());
        }
        Ok(Packet::Data(&self.buffer))
    }

    /// The next payload as text; `None` for any packet without one.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>> {
        let Packet::Data(data) = self.next_packet()? else { return Ok(None) };
        let line = data.strip_suffix(b"\n").unwrap_or(data);
        let mut parts = line.split(|byte| *byte == 0);
        let (text, features) = (parts.next().unwrap_or_default(), parts.next());
        Ok(Some(Line { text, features }))
    }
}

/// The stream ended where a packet, or the rest of one, should have come.
#[derive(Debug)]
pub struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the remote end hung up unexpectedly")
    }
}

impl std::error::Error for HungUp {}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(()),
        Err(err) if matches!(err.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Err(HungUp.into()),
        Err(err) => Err(err).context("read error"),
    }
}
