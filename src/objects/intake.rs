//! Bytes in, objects out: reads the pack of a push into the quarantine, whatever the client sends.

use std::{fmt, io::Read};

use crate::{
    config::Config, objects::database::Database, objects::quarantine::Quarantine, repository::Repository,
    wire::sideband::Sideband,
};

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
}

/// Why a pack was not taken in: its `Display` is the text behind `unpack ` in the report. The person who pushes was told more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackError(String);

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnpackError {}

impl Intake<'_> {
    /// Read one pack from `input`, which stands at its first byte, up to its trailer. Never waits for a byte behind it.
    pub fn receive(&self, _input: &mut dyn Read) -> Result<(), UnpackError> {
        Err(UnpackError("not yet".into()))
    }
}
