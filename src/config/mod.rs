//! The settings of `receive.*`, `transfer.*`, `core.*` and the rest that a push heeds, read once.
//!
//! All of them are judged here, before anything is advertised: a bad value ends the program while nothing has changed,
//! also where git would come across it later.

mod bystanders;
mod environment;
pub mod fsck;
pub mod home;
mod include;
mod read;
pub mod setting;
mod settings;
pub mod sources;
pub mod syntax;
mod values;

use std::{path::PathBuf, time::Duration};

use bstr::BString;

use fsck::FsckRules;
pub use settings::Settings;

/// Every setting that a push heeds. See git-config for their meaning; the docs here name the setting.
#[derive(Debug, Clone)]
pub struct Config {
    /// All configuration, for settings whose names are not known beforehand (`hook.<name>.*`, `remote.<name>.promisor`).
    pub values: Settings,
    /// `receive.advertiseAtomic` (true)
    pub advertise_atomic: bool,
    /// `receive.advertisePushOptions` (false)
    pub advertise_push_options: bool,
    /// `transfer.advertiseSID` (false)
    pub advertise_session_id: bool,
    /// `receive.certNonceSeed`; `None`: push certificates are not asked for.
    pub cert_nonce_seed: Option<BString>,
    /// `receive.certNonceSlop` in seconds (0)
    pub cert_nonce_slop: u64,
    /// `repack.useDeltaBaseOffset` (true)
    pub offset_deltas: bool,
    /// `receive.keepAlive` in seconds (5); `None` for 0 or less: never.
    pub keep_alive: Option<Duration>,
    /// `receive.unpackLimit`, else `transfer.unpackLimit`, else 100: fewer objects become loose ones.
    pub unpack_limit: u64,
    /// `receive.maxInputSize` in bytes; `None` for 0: no limit.
    pub max_input_size: Option<u64>,
    /// `receive.fsckObjects`, else `transfer.fsckObjects` (false): `receive.fsck.*` if each object is to be checked.
    pub fsck: Option<FsckRules>,
    /// `receive.hideRefs` and `transfer.hideRefs` in the order of configuration, as written.
    pub hide_refs: Vec<BString>,
    /// `core.alternateRefsCommand`, a shell's command line
    pub alternate_refs_command: Option<BString>,
    /// `core.alternateRefsPrefixes`, its words; none means all refs.
    pub alternate_refs_prefixes: Vec<BString>,
    /// `receive.denyCurrentBranch`
    pub deny_current_branch: Deny,
    /// `receive.denyDeleteCurrent`
    pub deny_delete_current: Deny,
    /// `receive.denyDeletes` (false)
    pub deny_deletes: bool,
    /// `receive.denyNonFastForwards` (false)
    pub deny_non_fast_forwards: bool,
    /// `receive.autogc` (true)
    pub auto_gc: bool,
    /// `receive.shallowUpdate` (false)
    pub shallow_update: bool,
    /// `receive.updateServerInfo` (false)
    pub update_server_info: bool,
    /// `receive.balancedAtomic` (false)
    pub balanced_atomic: bool,
    /// `receive.balancedTimeout` in seconds (60); `None` for 0: no limit.
    pub balanced_timeout: Option<Duration>,
    /// `core.filesRefLockTimeout` in milliseconds (100); `None` for a negative value: wait for ever.
    pub ref_lock_timeout: Option<Duration>,
    /// `core.packedRefsTimeout` in milliseconds (1000); `None` for a negative value: wait for ever.
    pub packed_refs_timeout: Option<Duration>,
    /// `core.logAllRefUpdates`, unset meaning true in a repository with a work tree.
    pub log_all_ref_updates: LogRefs,
    /// `core.looseCompression`, else `core.compression`: a zlib level, 0 to 9; `None`: as is fastest.
    pub loose_compression: Option<i32>,
    /// `pack.compression`, else `core.compression`, else 6: a zlib level, 0 to 9, for entries that complete a thin pack.
    pub pack_compression: i32,
    /// `pack.threads`; 0 for as many as there are cores.
    pub pack_threads: usize,
    /// `pack.writeReverseIndex` (true)
    pub write_reverse_index: bool,
    /// `core.bigFileThreshold` in bytes (512 MiB)
    pub big_file_threshold: u64,
    /// `core.maxTreeDepth` (2048): how deep a tree may lie in others
    pub max_tree_depth: i32,
    /// `core.ignoreCase` (false)
    pub ignore_case: bool,
    /// `core.hooksPath`, `~` expanded; a relative one starts at the git directory.
    pub hooks_path: Option<PathBuf>,
    /// `maintenance.auto`, else whether `gc.auto` is more than 0 (true): `git maintenance run --auto` is of use.
    pub auto_maintenance: bool,
    /// `maintenance.autoDetach`, else `gc.autoDetach`, else `GIT_TEST_MAINT_AUTO_DETACH` (true)
    pub detach_maintenance: bool,
    /// `core.sharedRepository` as the permission bits that it asks for.
    pub shared_repository: SharedRepository,
    /// `core.fsync` and `core.fsyncMethod`.
    pub fsync: Fsync,
}

/// What to do about a ref update that a `receive.deny*` setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deny {
    /// Not configured: refuse, with advice.
    Unset,
    /// `refuse` or true
    Refuse,
    /// `warn`
    Warn,
    /// `ignore` or false
    Ignore,
    /// `updateInstead`, of denyCurrentBranch only
    UpdateInstead,
}

/// Which refs get a reflog when they have none yet (`core.logAllRefUpdates`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRefs {
    /// Only those that have one.
    Existing,
    /// HEAD and refs below refs/heads, refs/remotes and refs/notes as well.
    Usual,
    /// Every ref.
    Always,
}

/// `core.sharedRepository`: how the permissions of new files differ from what the umask gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedRepository {
    /// As the umask says.
    Umask,
    /// Bits to add to files that have them for their owner (0o660 for `group`, 0o664 for `all`).
    Add(u32),
    /// The very mode that files get (`0xxx`).
    Exact(u32),
}

/// What is synced to disk in an ordinary push (`core.fsync`), nothing where `GIT_TEST_FSYNC` is false; balanced mode syncs
/// everything whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fsync {
    /// `loose-object`
    pub loose_objects: bool,
    /// `pack`
    pub packs: bool,
    /// `pack-metadata`
    pub pack_metadata: bool,
    /// `reference`
    pub references: bool,
    /// `core.fsyncMethod` is `writeout-only`: the disk's own cache need not be flushed.
    pub writeout_only: bool,
}
