//! Few objects: each becomes a file of its own, and the pack is forgotten.

use std::io::Read;

use anyhow::{Context, Result, bail};

use super::{
    Intake,
    decode::{Decoded, decode},
    entries::Entries,
    loosen::Loosen,
    progress::Progress,
    resolve::{Settings, resolve},
    rows::Base,
    spool::Spool,
};
use crate::objects::fsck::{Fsck, walk::Records};

/// From so many objects on, threads are worth what they cost.
const THREADED: u32 = 32;

/// Read the pack that begins with `header` and has `count` entries, and write each of its objects, checked by `fsck`, into the
/// quarantine.
pub fn unpack(
    intake: &Intake<'_>,
    input: &mut dyn Read,
    header: ([u8; 12], u32),
    fsck: Option<&Fsck<'_>>,
) -> Result<()> {
    let config = intake.config;
    let file = Spool::new(intake.quarantine);
    let limit = config.max_input_size.map(|limit| (limit, "pack exceeds maximum allowed size".into()));
    let records = Records::default();
    let loosen = Loosen::new(intake.quarantine, intake.database, config);
    let loosen = match fsck {
        Some(fsck) => loosen.checked(fsck.recorder(&records), intake.delta_limit()),
        None => loosen,
    };
    let Decoded { mut rows, large, mut visit, .. } =
        decode(input, header, limit, intake.repository.hash, (&file, header.1 >= THREADED), loosen)?;
    if intake.quarantine.is_made() {
        intake.quarantine.interrupts.lasts();
    }
    for row in large {
        let Base::None(kind) = rows.get(row).base else { continue };
        let mut entries = Entries::new(&file, &rows);
        let size = entries.size(row)?;
        visit.write_large(rows.id(row), kind, size, &mut |out| {
            entries.stream(row, &mut |bytes| out.write_all(bytes).context("cannot write"))
        })?;
    }
    let settings = Settings { threads: 1, limit: intake.delta_limit() };
    let silent = Progress::new("Resolving deltas", 0, None);
    let (unresolved, _) = resolve(&file, &mut rows, visit, &settings, silent, &mut |id, data| intake.borrow(id, data))?;
    if unresolved > 0 {
        bail!("unresolved deltas left after unpacking");
    }
    if let Some(fsck) = fsck {
        fsck.walk(&records, (0..rows.count()).map(|row| rows.id(row)), intake.database)?;
        fsck.check_dot_files(&intake.everything(), intake.delta_limit(), true)?;
    }
    Ok(())
}
