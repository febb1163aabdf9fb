//! What the client wants: ref updates, what it is able to do, push options (gitprotocol-pack, "Reference Update Request").
//! Nothing is decided about it here.

use std::io::Read;

use anyhow::{Result, bail};
use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;

use super::{
    packet::{Line, Packet, PacketReader},
    push_cert::PushCert,
};
use crate::{command::Command, config::Config};

/// How much a request may hold, in bytes: about two million updates. git has no limit, and grows until it is killed.
const MAX_SIZE: usize = 256 * 1024 * 1024;
/// What any line costs beside its bytes.
const LINE: usize = 16;
/// What a push option costs beside its bytes, which may be none: two variables for each hook.
const OPTION: usize = 1024;

/// A push as it was asked for, up to the pack.
#[derive(Debug, Clone)]
pub struct Request {
    /// The updates, in the client's order; none if it has nothing to push.
    pub commands: Vec<Command>,
    /// What the client is able to do, and wants.
    pub capabilities: Capabilities,
    /// The push options, if the client sent any; `None` if that was not agreed on.
    pub push_options: Option<Vec<BString>>,
    /// Commits whose parents the client lacks.
    pub shallow: Vec<ObjectId>,
    /// The push certificate, whose updates are `commands`.
    pub certificate: Option<PushCert>,
}

/// The capabilities of the client that mean something here. Those that were not advertised do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `report-status`
    pub report_status: bool,
    /// `report-status-v2`, which wins over the former.
    pub report_status_v2: bool,
    /// `side-band-64k`
    pub side_band: bool,
    /// `quiet`
    pub quiet: bool,
    /// `atomic`
    pub atomic: bool,
    /// `push-options`
    pub push_options: bool,
    /// `session-id`
    pub session_id: Option<BString>,
    /// `agent`
    pub agent: Option<BString>,
}

impl Request {
    /// Read a request from `input`, not a byte more: what follows is the pack.
    ///
    /// Errors are protocol errors in git's words.
    pub fn read(input: &mut impl Read, hash: gix::hash::Kind, config: &Config) -> Result<Self> {
        let mut reader = PacketReader::of_client(input);
        let mut budget = Budget(MAX_SIZE);
        let mut certificate = Vec::new();
        let mut request = Request {
            commands: Vec::new(),
            capabilities: Capabilities::default(),
            push_options: None,
            shallow: Vec::new(),
            certificate: None,
        };
        while let Some(Line { text: line, features }) = reader.next_line()? {
            budget.spend(line.len() + LINE)?;
            if let Some(shallow) = line.strip_prefix(b"shallow ").filter(|_| features.is_some() || line.len() > 8) {
                let (id, _) = split_id(shallow, hash).ok_or_else(|| {
                    anyhow::anyhow!("protocol error: expected shallow sha, got '{}'", shallow.as_bstr())
                })?;
                request.shallow.push(id);
                continue;
            }
            if let Some(features) = features {
                request.capabilities.add(features, hash, config)?;
            }
            if line == b"push-cert" {
                if read_certificate(&mut reader, &mut budget, &mut certificate)? {
                    break;
                }
                continue;
            }
            request.commands.push(parse_command(line.as_bstr(), hash)?);
        }
        if !certificate.is_empty() {
            if !request.commands.is_empty() {
                bail!("protocol error: updates both in a push certificate and beside it");
            }
            let certificate = PushCert::parse(certificate.into())?;
            for line in certificate.updates() {
                request.commands.push(parse_command(line.as_bstr(), hash)?);
            }
            request.certificate = Some(certificate);
        }
        // Nothing follows where there is nothing to push.
        if request.capabilities.push_options && !request.commands.is_empty() {
            let mut options = Vec::new();
            while let Some(option) = reader.next_line()? {
                budget.spend(option.text.len() + OPTION)?;
                options.push(option.text.into());
            }
            request.push_options = Some(options);
        }
        Ok(request)
    }

    /// True if a pack follows: something is to be more than deleted.
    pub fn has_pack(&self) -> bool {
        !self.commands.iter().all(Command::is_deletion)
    }
}

impl Capabilities {
    fn add(&mut self, features: &[u8], hash: gix::hash::Kind, config: &Config) -> Result<()> {
        let has = |name: &str| value_of(features, name).is_some();
        self.report_status |= has("report-status");
        self.report_status_v2 |= has("report-status-v2");
        self.side_band |= has("side-band-64k");
        self.quiet |= has("quiet");
        self.atomic |= config.advertise_atomic && has("atomic");
        self.push_options |= config.advertise_push_options && has("push-options");
        let word = |name: &str| value_of(features, name).map(|value| BString::from(first_word(value)));
        self.session_id = word("session-id").or(self.session_id.take());
        self.agent = word("agent").or(self.agent.take());
        // Clients from before there was a choice say nothing and mean SHA-1.
        let format = value_of(features, "object-format").unwrap_or(b"sha1");
        if first_word(format) != hash.to_string().as_bytes() {
            bail!("error: unsupported object format '{}'", format.as_bstr());
        }
        Ok(())
    }
}

/// What stands behind `<name>=` in the list of `features`, to the list's end; empty for a plain `<name>`.
pub fn value_of<'a>(features: &'a [u8], name: &str) -> Option<&'a [u8]> {
    features.find_iter(name).find_map(|at| {
        let starts_word = at == 0 || is_space(features[at - 1]);
        let rest = &features[at + name.len()..];
        match rest.first() {
            _ if !starts_word => None,
            None => Some(rest),
            Some(b'=') => Some(&rest[1..]),
            Some(byte) if is_space(*byte) => Some(&rest[..0]),
            Some(_) => None,
        }
    })
}

fn first_word(value: &[u8]) -> &[u8] {
    value.split(|byte| is_space(*byte)).next().unwrap_or_default()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

/// `<old> SP <new> SP <name>`
fn parse_command(line: &BStr, hash: gix::hash::Kind) -> Result<Command> {
    let parse = || {
        let (old, rest) = split_id(line, hash)?;
        let (new, rest) = split_id(rest.strip_prefix(b" ")?, hash)?;
        Some(Command::new(old, new, rest.strip_prefix(b" ")?))
    };
    parse().ok_or_else(|| anyhow::anyhow!("protocol error: expected old/new/ref, got '{line}'"))
}

/// The object id in hex that `text` begins with, and what follows it.
fn split_id(text: &[u8], hash: gix::hash::Kind) -> Option<(ObjectId, &[u8])> {
    let (hex, rest) = text.split_at_checked(hash.len_in_hex())?;
    Some((ObjectId::from_hex(hex).ok()?, rest))
}

/// Add the lines of a certificate to `text`; true if the request ended with it.
fn read_certificate(reader: &mut PacketReader<'_, impl Read>, budget: &mut Budget, text: &mut Vec<u8>) -> Result<bool> {
    loop {
        let line = match reader.next_packet()? {
            Packet::Flush => return Ok(true),
            Packet::Other => bail!("protocol error: got an unexpected packet"),
            Packet::Data(line) => line,
        };
        budget.spend(line.len() + LINE)?;
        // As in any other line, what stands behind a NUL is not part of the text.
        match line.split(|byte| *byte == 0).next().unwrap_or_default() {
            b"push-cert-end\n" => return Ok(false),
            line => text.extend_from_slice(line),
        }
    }
}

/// The bytes that a request may still bring.
struct Budget(usize);

impl Budget {
    fn spend(&mut self, cost: usize) -> Result<()> {
        match self.0.checked_sub(cost) {
            Some(left) => self.0 = left,
            None => bail!("protocol error: the request is longer than {MAX_SIZE} bytes"),
        }
        Ok(())
    }
}
