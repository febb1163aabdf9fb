//! What we have, for the client: every ref that it may see, and what this program is able to do (gitprotocol-pack,
//! "Reference Discovery"; gitprotocol-capabilities).

use std::{
    env,
    fmt::{self, Display},
    io::{self, ErrorKind, Write},
    mem,
    os::unix::ffi::OsStrExt,
    thread::{self, Scope},
};

use anyhow::Result;
use bstr::{BStr, ByteSlice, ByteVec};
use gix::{ObjectId, hashtable::HashSet};

use crate::{
    certificate::nonce::Nonce,
    config::Config,
    lane::{Lane, Work},
    refs::{alternates, snapshot::Snapshot, visibility::HiddenRefs},
    repository::Repository,
    trace,
};

/// How many bytes are gathered at most before they are written.
const CHUNK: usize = 128 * 1024;

/// From so many bytes on they are written in a thread of its own: to look at the refs takes as long as to write them.
const LARGE: usize = 512 * 1024;

/// The error of a client that did not wait for the end of the advertisement.
#[derive(Debug)]
pub struct HungUp;

impl Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client hung up during the advertisement")
    }
}

impl std::error::Error for HungUp {}

/// Advertise `snapshot` on `out`, with the roots of a `shallow` repository, the `nonce` of push certificates if they are asked
/// for, and `session_id` if that is configured.
///
/// Fails with [`HungUp`] where nobody reads `out` any more.
pub fn advertise(
    repository: &Repository,
    config: &Config,
    snapshot: &Snapshot,
    shallow: &[ObjectId],
    nonce: Option<&Nonce<'_>>,
    session_id: &str,
    out: &mut (impl Write + Send),
) -> Result<()> {
    let capabilities = capabilities(repository, config, nonce, session_id);
    thread::scope(|scope| {
        let mut lines = Lines::new(out, (snapshot.size() >= LARGE).then_some(scope))?;
        list(repository, config, snapshot, shallow, capabilities, &mut lines)?;
        lines.finish()
    })
}

fn list<'scope>(
    repository: &Repository,
    config: &Config,
    snapshot: &Snapshot,
    shallow: &[ObjectId],
    capabilities: Vec<u8>,
    lines: &mut Lines<'scope, impl Write + Send + 'scope>,
) -> Result<()> {
    if negotiate_version_1() {
        lines.push([b"version 1\n"])?;
    }
    lines.capabilities = Some(capabilities);

    let hidden = HiddenRefs::new(&config.hide_refs);
    let namespace = repository.namespace.as_bytes();
    let tips = alternates::tips(repository, config);
    // Most repositories have neither a namespace nor alternates, and are spared the book-keeping.
    let mut seen = (!namespace.is_empty() || !tips.is_empty()).then(HashSet::<ObjectId>::default);
    let shows_all = hidden.is_empty() && seen.is_none();
    let mut entries = snapshot.entries();
    for entry in entries.by_ref() {
        // All but the first, as a rule.
        if shows_all
            && lines.capabilities.is_none()
            && let Some(line) = entry.line()
        {
            lines.push([line])?;
            continue;
        }
        let name = entry.name();
        let short = name.strip_prefix(namespace).map(ByteSlice::as_bstr);
        if hidden.is_hidden(short, name) {
            continue;
        }
        let is_new = seen.as_mut().is_none_or(|seen| seen.insert(entry.id()));
        match short {
            Some(name) => lines.push_ref(&entry.hex(), name)?,
            None if is_new => lines.push_ref(&entry.hex(), b".have".into())?,
            None => {}
        }
    }
    entries.finish()?;
    for id in tips {
        if seen.as_mut().is_some_and(|seen| seen.insert(id)) {
            lines.push_ref(id.to_hex().to_string().as_bytes(), b".have".into())?;
        }
    }
    if lines.capabilities.is_some() {
        lines.push_ref(repository.hash.null().to_hex().to_string().as_bytes(), b"capabilities^{}".into())?;
    }
    let mut roots = shallow.to_vec();
    roots.sort();
    roots.dedup();
    for root in roots {
        lines.push([b"shallow ", root.to_hex().to_string().as_bytes(), b"\n"])?;
    }
    Ok(())
}

/// Pkt-lines on their way out.
struct Lines<'scope, W> {
    writing: Lane<'scope, Vec<u8>, Writing<'scope, W>>,
    /// Up to [`CHUNK`] bytes.
    buffer: Vec<u8>,
    /// What the first line of a ref is yet to carry.
    capabilities: Option<Vec<u8>>,
}

impl<'scope, W: Write + Send> Lines<'scope, W> {
    /// To be written to `out`, in a thread if there is a `scope` for it.
    fn new(out: &'scope mut W, scope: Option<&'scope Scope<'scope, '_>>) -> Result<Self> {
        let writing = match scope {
            Some(scope) => Lane::beside(scope, "advertise", Writing(out))?,
            None => Lane::Here(Writing(out)),
        };
        Ok(Lines { writing, buffer: Vec::with_capacity(CHUNK), capabilities: None })
    }

    fn push_ref(&mut self, hex: &[u8], name: &BStr) -> Result<()> {
        match self.capabilities.take() {
            Some(capabilities) => self.push([hex, b" ", name, b"\0", &capabilities, b"\n"]),
            None => self.push([hex, b" ", name, b"\n"]),
        }
    }

    /// One line, given in parts, its LF included.
    #[inline]
    fn push<const N: usize>(&mut self, parts: [&[u8]; N]) -> Result<()> {
        let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
        // git's own limit. A name this long comes from packed-refs alone; no file system takes it.
        anyhow::ensure!(length <= 65520, "protocol error: impossibly long line");
        if self.buffer.len() + length > CHUNK {
            self.write()?;
        }
        let digit = |shift: usize| b"0123456789abcdef"[(length >> shift) & 15];
        self.buffer.extend_from_slice(&[digit(12), digit(8), digit(4), digit(0)]);
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.buffer.push_str("0000");
        self.write()?;
        self.writing.finish()?.0.flush().map_err(unwritten)
    }

    fn write(&mut self) -> Result<()> {
        self.buffer = self.writing.send(mem::take(&mut self.buffer))?;
        self.buffer.reserve(CHUNK);
        Ok(())
    }
}

/// Where they go.
struct Writing<'a, W>(&'a mut W);

impl<W: Write> Work<Vec<u8>> for Writing<'_, W> {
    fn take(&mut self, lines: &mut Vec<u8>) -> Result<()> {
        trace::sent(lines);
        self.0.write_all(lines).map_err(unwritten)?;
        lines.clear();
        Ok(())
    }
}

fn unwritten(why: io::Error) -> anyhow::Error {
    match why.kind() {
        ErrorKind::BrokenPipe => HungUp.into(),
        _ => anyhow::Error::new(why).context("cannot write the advertisement"),
    }
}

/// The capabilities in git's order.
fn capabilities(repository: &Repository, config: &Config, nonce: Option<&Nonce<'_>>, session_id: &str) -> Vec<u8> {
    let mut list = b"report-status report-status-v2 delete-refs side-band-64k quiet".to_vec();
    if config.advertise_atomic {
        list.push_str(" atomic");
    }
    if config.offset_deltas {
        list.push_str(" ofs-delta");
    }
    if let Some(nonce) = nonce {
        list.push_str(" push-cert=");
        list.push_str(nonce.text());
    }
    if config.advertise_push_options {
        list.push_str(" push-options");
    }
    if config.advertise_session_id {
        list.push_str(format!(" session-id={session_id}"));
    }
    list.push_str(format!(" object-format={} agent=", repository.hash));
    list.push_str(agent());
    list
}

/// The name of this program, or what `GIT_USER_AGENT` calls it, in one word of printable ASCII.
fn agent() -> Vec<u8> {
    let given = env::var_os("GIT_USER_AGENT");
    let name =
        given.as_ref().map_or(concat!("balanced-receive-pack/", env!("CARGO_PKG_VERSION")).as_bytes(), |given| {
            given.as_bytes().trim_ascii()
        });
    name.iter().map(|byte| if byte.is_ascii_graphic() { *byte } else { b'.' }).collect()
}

/// Whether the conversation is in version 1, else in version 0; traces take note of it.
pub fn negotiate_version_1() -> bool {
    let is_version_1 = wants_version_1(env::var_os("GIT_PROTOCOL").unwrap_or_default().as_bytes().as_bstr());
    trace::transfer("negotiated-version", if is_version_1 { "1" } else { "0" });
    is_version_1
}

/// True if version 1 is the highest one known of the list in `GIT_PROTOCOL` (git, "GIT_PROTOCOL"). Version 2 is known but
/// has no push, so that version 0 answers it.
fn wants_version_1(list: &BStr) -> bool {
    let known = |key: &[u8]| match key.strip_prefix(b"version=") {
        Some(b"1") => Some(1),
        Some(b"2") => Some(2),
        _ => None,
    };
    list.split(|byte| *byte == b':').filter_map(known).max() == Some(1)
}
