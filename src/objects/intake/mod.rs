//! Bytes in, objects out: reads the pack of a push into the quarantine, whatever the client sends.

mod bases;
mod by_id;
mod complete;
mod decode;
mod delta;
mod entries;
mod examine;
mod index;
mod links;
mod loose_file;
mod loosen;
mod nesting;
mod pack_index;
mod pack_stream;
mod plan;
mod progress;
mod resolve;
mod rows;
mod spool;
mod unpack;
mod visit;

use std::{fmt, io::Read};

use anyhow::{Result, anyhow, bail, ensure};
use gix::{ObjectId, objs::Kind, oid};

pub use self::loosen::store_blob;
use self::{index::index, pack_stream::read_header, unpack::unpack};
use super::{
    database::Database,
    fsck::{Fsck, rules::Rules},
    quarantine::Quarantine,
};
use crate::{config::Config, repository::Repository, system_error::chain, wire::sideband::Sideband};

/// What taking in a pack needs to know.
pub struct Intake<'a> {
    /// Whose objects complete a thin pack.
    pub repository: &'a Repository,
    /// The limits and the settings of compression, threads and syncing.
    pub config: &'a Config,
    /// The objects that are there already, without the quarantine's.
    pub database: &'a Database,
    /// Where the new ones go.
    pub quarantine: &'a Quarantine,
    /// Where the person who pushes is told what is wrong, and how far it is.
    pub messages: &'a Sideband,
    /// Tell how far it is: neither `quiet` nor without side-band.
    pub progress: bool,
    /// `--reject-thin-pack-for-testing`
    pub reject_thin: bool,
    /// Where the histories of the repository and of the client are cut off: the parents of these commits are not missed.
    pub cut_off: &'a [ObjectId],
}

const UNPACK_FAILED: &str = "unpack-objects abnormal exit";

/// Why a pack was not taken in: its `Display` is the text behind `unpack ` in the report. The person who pushes was told more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackError(&'static str);

impl UnpackError {
    /// There was no place to take it to.
    pub fn no_quarantine(error: &anyhow::Error) -> Self {
        // Its path is no business of the client's.
        say!("error: {}", chain(error));
        UnpackError("unable to create temporary object directory")
    }

    /// Its objects could not be written.
    pub fn not_written(error: &anyhow::Error, messages: &Sideband) -> Self {
        Self::told(UNPACK_FAILED, error, messages)
    }

    fn told(reason: &'static str, error: &anyhow::Error, messages: &Sideband) -> Self {
        messages.tell(format!("fatal: {}\n", chain(error)).as_bytes());
        UnpackError(reason)
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for UnpackError {}

impl Intake<'_> {
    /// Read one pack from `input`, which stands at its first byte, up to its trailer. Never waits for a byte behind it.
    ///
    /// True if the pack is known to be closed: if all that its objects name is among them.
    ///
    /// Whatever of it was written when this fails is in the quarantine, and goes with it.
    pub fn receive(&self, input: &mut dyn Read) -> Result<bool, UnpackError> {
        let header = read_header(input).map_err(UnpackError)?;
        let few = u64::from(header.1) < self.config.unpack_limit;
        let reason = if few { UNPACK_FAILED } else { "index-pack abnormal exit" };
        if !few {
            self.quarantine.dir().map_err(|error| UnpackError::no_quarantine(&error))?;
        }
        let outcome = self.fsck().and_then(|fsck| match few {
            true => unpack(self, input, header, fsck.as_ref()).map(|()| false),
            false => index(self, input, header, fsck.as_ref()),
        });
        outcome.map_err(|error| UnpackError::told(reason, &error, self.messages))
    }

    /// The checks that `receive.fsckObjects` asks for.
    fn fsck(&self) -> Result<Option<Fsck<'_>>> {
        let Some(configured) = &self.config.fsck else { return Ok(None) };
        let hash = self.repository.hash;
        Ok(Some(Fsck::new(hash, Rules::load(configured, hash)?, self.cut_off, self.messages)))
    }

    /// The objects that are there already, with those that came.
    fn everything(&self) -> Database {
        self.database.with_quarantine(self.quarantine, self.repository.hash)
    }

    /// Read object `id` of the repository, which something in a thin pack is based on, into `data`.
    pub(super) fn borrow(&self, id: &oid, data: &mut Vec<u8>) -> Result<Option<Kind>> {
        let limit = self.delta_limit();
        match self.database.header(id)? {
            _ if self.reject_thin => return Ok(None),
            None => return Ok(None),
            Some((_, size)) if size > limit => {
                bail!("object {id} has {size} bytes, more than the {limit} that core.bigFileThreshold leaves to deltas")
            }
            Some(_) => {}
        }
        let Some(kind) = self.database.find(id, data)? else { return Ok(None) };
        let found = gix::objs::compute_hash(id.kind(), kind, data).map_err(|err| anyhow!("{err}"))?;
        ensure!(*found == *id, "local object {id} is corrupt");
        Ok(Some(kind))
    }

    /// The largest object, in bytes, that may be a delta, be made of one, or be checked: they are held in memory. No client
    /// makes deltas of larger ones unless it is told to.
    pub(super) fn delta_limit(&self) -> u64 {
        self.config.big_file_threshold.max(512 << 20)
    }

    /// How many threads resolve deltas.
    pub(super) fn threads(&self) -> usize {
        match self.config.pack_threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            threads => threads,
        }
    }
}
