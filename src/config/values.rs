//! What the words and numbers of some settings stand for (git-config(1)).

use std::time::Duration;

use anyhow::{Result, bail};
use bstr::ByteSlice;

use super::{Deny, Fsync, LogRefs, SharedRepository, setting::Setting};

/// A time in seconds, `None` for none: zero and below.
pub fn seconds(setting: &Setting) -> Result<Option<Duration>> {
    let seconds = u64::try_from(setting.int()?).ok().filter(|seconds| *seconds > 0);
    Ok(seconds.map(Duration::from_secs))
}

/// A time in milliseconds, `None` for ever: below zero.
pub fn milliseconds(setting: &Setting) -> Result<Option<Duration>> {
    Ok(u64::try_from(setting.int()?).ok().map(Duration::from_millis))
}

/// What is done about a push that one of the `receive.deny…Current` settings is about.
pub fn deny(setting: &Setting) -> Result<Deny> {
    let word = setting.raw().to_ascii_lowercase();
    Ok(match word.as_slice() {
        b"ignore" => Deny::Ignore,
        b"warn" => Deny::Warn,
        b"refuse" => Deny::Refuse,
        b"updateinstead" => Deny::UpdateInstead,
        _ if setting.boolean()? => Deny::Refuse,
        _ => Deny::Ignore,
    })
}

/// `core.logAllRefUpdates`.
pub fn log_refs(setting: &Setting) -> Result<LogRefs> {
    Ok(match setting.text()? {
        word if word.eq_ignore_ascii_case(b"always") => LogRefs::Always,
        _ if setting.boolean()? => LogRefs::Usual,
        _ => LogRefs::Existing,
    })
}

/// A zlib level; -1 is zlib's own choice.
pub fn level(setting: &Setting, of: &str) -> Result<i32> {
    match setting.int()? {
        -1 => Ok(6),
        level @ 0..=9 => Ok(level),
        level => bail!("bad {of} compression level {level}"),
    }
}

/// `core.sharedRepository`: a word, or a mode in octal.
pub fn shared_repository(setting: &Setting) -> Result<SharedRepository> {
    const GROUP: SharedRepository = SharedRepository::Add(0o660);
    const ALL: SharedRepository = SharedRepository::Add(0o664);
    let Some(value) = &setting.value else { return Ok(GROUP) };
    let octal = value.to_str().ok().and_then(|digits| u32::from_str_radix(digits, 8).ok());
    Ok(match (value.as_slice(), octal) {
        (b"umask", _) | (_, Some(0)) => SharedRepository::Umask,
        (b"group", _) | (_, Some(1)) => GROUP,
        (b"all" | b"world" | b"everybody", _) | (_, Some(2)) => ALL,
        (_, Some(mode)) if mode & 0o600 == 0o600 => SharedRepository::Exact(mode & 0o666),
        (_, Some(mode)) => bail!(
            "problem with core.sharedRepository filemode value (0{mode:03o}).\nThe owner of files must always have read \
             and write permissions."
        ),
        _ if setting.boolean()? => GROUP,
        _ => SharedRepository::Umask,
    })
}

/// `core.fsync`: words added to what is synced by default, or taken away (`-`), or everything before them (`none`).
pub fn fsync(setting: &Setting, writeout_only: bool) -> Result<Fsync> {
    const LOOSE: u8 = 1;
    const PACK: u8 = 2;
    const METADATA: u8 = 4;
    const REFERENCE: u8 = 8;
    /// Commit-graph and index, which a push does not write.
    const NOTHING: u8 = 0;
    const COMPONENTS: [(&str, u8); 11] = [
        ("loose-object", LOOSE),
        ("pack", PACK),
        ("pack-metadata", METADATA),
        ("commit-graph", NOTHING),
        ("index", NOTHING),
        ("objects", LOOSE | PACK),
        ("reference", REFERENCE),
        ("derived-metadata", METADATA),
        ("committed", LOOSE | PACK | REFERENCE),
        ("added", LOOSE | PACK | REFERENCE),
        ("all", LOOSE | PACK | METADATA | REFERENCE),
    ];
    let mut synced = PACK | METADATA;
    for word in setting.text()?.split_str(",").map(ByteSlice::trim_start).filter(|word| !word.is_empty()) {
        if word == b"none" {
            synced = 0;
            continue;
        }
        let (word, is_removed) = word.strip_prefix(b"-").map_or((word, false), |word| (word, true));
        let mut is_known = false;
        // git takes a word for every component that starts with it.
        for (_, bits) in COMPONENTS.iter().filter(|(name, _)| name.as_bytes().starts_with(word)) {
            is_known = true;
            synced = if is_removed { synced & !bits } else { synced | bits };
        }
        if !is_known {
            say!("warning: ignoring unknown core.fsync component '{}'", word.as_bstr());
        }
    }
    let has = |component| synced & component != 0;
    Ok(Fsync {
        loose_objects: has(LOOSE),
        packs: has(PACK),
        pack_metadata: has(METADATA),
        references: has(REFERENCE),
        writeout_only,
    })
}
