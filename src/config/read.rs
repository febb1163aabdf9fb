//! From configured texts to the types of [`Config`]: defaults, units, words, and what is fatal about each.

use std::time::Duration;

use anyhow::{Result, bail};
use bstr::{BString, ByteSlice};

use super::{
    Config, Deny, Fsync, LogRefs, Settings, SharedRepository, bystanders,
    fsck::FsckRules,
    setting::{Setting, boolean},
    values::{deny, fsync, level, log_refs, milliseconds, seconds, shared_repository},
};

impl Config {
    /// Judge `values`, in their order, so that the first bad one is the one named. `is_bare` decides what no setting of
    /// `core.logAllRefUpdates` means.
    pub fn new(values: Settings, is_bare: bool) -> Result<Self> {
        let mut config = defaults(is_bare);
        let mut heard = Heard::default();
        for setting in values.iter() {
            if !receive(&mut config, &mut heard, setting)? && !core(&mut config, &mut heard, setting)? {
                bystanders::check(setting)?;
            }
        }
        heard.settle(&mut config);
        config.values = values;
        Ok(config)
    }
}

fn defaults(is_bare: bool) -> Config {
    Config {
        values: Settings::default(),
        advertise_atomic: true,
        advertise_push_options: false,
        advertise_session_id: false,
        cert_nonce_seed: None,
        cert_nonce_slop: 0,
        offset_deltas: true,
        keep_alive: Some(Duration::from_secs(5)),
        unpack_limit: 100,
        max_input_size: None,
        fsck: None,
        hide_refs: Vec::new(),
        deny_current_branch: Deny::Unset,
        deny_delete_current: Deny::Unset,
        deny_deletes: false,
        deny_non_fast_forwards: false,
        auto_gc: true,
        shallow_update: false,
        update_server_info: false,
        balanced_atomic: false,
        balanced_timeout: Some(Duration::from_secs(60)),
        ref_lock_timeout: Some(Duration::from_millis(100)),
        packed_refs_timeout: Some(Duration::from_secs(1)),
        log_all_ref_updates: if is_bare { LogRefs::Existing } else { LogRefs::Usual },
        loose_compression: None,
        pack_compression: 6,
        pack_threads: 0,
        write_reverse_index: true,
        big_file_threshold: 512 << 20,
        max_tree_depth: 2048,
        ignore_case: false,
        hooks_path: None,
        alternate_refs_command: None,
        alternate_refs_prefixes: Vec::new(),
        auto_maintenance: true,
        detach_maintenance: true,
        shared_repository: SharedRepository::Umask,
        fsync: Fsync {
            loose_objects: false,
            packs: true,
            pack_metadata: true,
            references: false,
            writeout_only: false,
        },
    }
}

/// Settings that decide together, whatever order they come in.
#[derive(Default)]
struct Heard {
    receive_fsck: Option<bool>,
    transfer_fsck: Option<bool>,
    fsck_rules: FsckRules,
    receive_unpack_limit: Option<u64>,
    transfer_unpack_limit: Option<u64>,
    compression: Option<i32>,
    loose_compression: Option<i32>,
    pack_compression: Option<i32>,
    fsync: bool,
    fsync_object_files: Option<bool>,
    maintenance_auto: Option<bool>,
    gc_auto: Option<i32>,
    maintenance_detach: Option<bool>,
    gc_detach: Option<bool>,
}

impl Heard {
    fn settle(self, config: &mut Config) {
        config.fsck = self.receive_fsck.or(self.transfer_fsck).unwrap_or(false).then_some(self.fsck_rules);
        let unpack_limit = self.receive_unpack_limit.or(self.transfer_unpack_limit);
        config.unpack_limit = unpack_limit.unwrap_or(config.unpack_limit);
        config.loose_compression = self.loose_compression.or(self.compression);
        config.pack_compression = self.pack_compression.or(self.compression).unwrap_or(config.pack_compression);
        if let (Some(loose_objects), false) = (self.fsync_object_files, self.fsync) {
            config.fsync.loose_objects = loose_objects;
        }
        if environment("GIT_TEST_FSYNC") == Some(false) {
            let none =
                Fsync { loose_objects: false, packs: false, pack_metadata: false, references: false, ..config.fsync };
            config.fsync = none;
        }
        config.auto_maintenance = self.maintenance_auto.unwrap_or(self.gc_auto.is_none_or(|limit| limit > 0));
        let detach = self.maintenance_detach.or(self.gc_detach);
        config.detach_maintenance = detach.or_else(|| environment("GIT_TEST_MAINT_AUTO_DETACH")).unwrap_or(true);
    }
}

fn environment(name: &str) -> Option<bool> {
    boolean(std::env::var_os(name)?.as_encoded_bytes().as_bstr())
}

/// Settings of pushes and of what comes after them. False if `setting` is none of these.
fn receive(config: &mut Config, heard: &mut Heard, setting: &Setting) -> Result<bool> {
    let limit = |setting: &Setting| Ok::<_, anyhow::Error>(u64::try_from(setting.int()?).ok());
    match setting.key.as_slice() {
        b"receive.advertiseatomic" => config.advertise_atomic = setting.boolean()?,
        b"receive.advertisepushoptions" => config.advertise_push_options = setting.boolean()?,
        b"transfer.advertisesid" => config.advertise_session_id = setting.boolean()?,
        b"receive.certnonceseed" => config.cert_nonce_seed = Some(setting.text()?.to_owned()),
        b"receive.certnonceslop" => config.cert_nonce_slop = setting.size()?,
        b"repack.usedeltabaseoffset" => config.offset_deltas = setting.boolean()?,
        b"receive.keepalive" => config.keep_alive = seconds(setting)?,
        b"receive.fsckobjects" => heard.receive_fsck = Some(setting.boolean()?),
        b"transfer.fsckobjects" => heard.transfer_fsck = Some(setting.boolean()?),
        b"receive.unpacklimit" => heard.receive_unpack_limit = limit(setting)?,
        b"transfer.unpacklimit" => heard.transfer_unpack_limit = limit(setting)?,
        b"receive.maxinputsize" => {
            config.max_input_size = u64::try_from(setting.long()?).ok().filter(|size| *size > 0);
        }
        // What it means is asked of all values, when there are commands.
        b"receive.procreceiverefs" => drop(setting.text()?),
        b"receive.hiderefs" | b"transfer.hiderefs" => config.hide_refs.push(setting.text()?.to_owned()),
        b"receive.denycurrentbranch" => config.deny_current_branch = deny(setting)?,
        b"receive.denydeletecurrent" => {
            config.deny_delete_current = match deny(setting)? {
                // There is no branch left to update the work tree to.
                Deny::UpdateInstead => Deny::Refuse,
                other => other,
            }
        }
        b"receive.denydeletes" => config.deny_deletes = setting.boolean()?,
        b"receive.denynonfastforwards" => config.deny_non_fast_forwards = setting.boolean()?,
        b"receive.autogc" => config.auto_gc = setting.boolean()?,
        b"receive.shallowupdate" => config.shallow_update = setting.boolean()?,
        b"receive.updateserverinfo" => config.update_server_info = setting.boolean()?,
        b"receive.balancedatomic" => config.balanced_atomic = setting.boolean()?,
        b"receive.balancedtimeout" => config.balanced_timeout = seconds(setting)?,
        b"maintenance.auto" => heard.maintenance_auto = Some(setting.boolean()?),
        b"maintenance.autodetach" => heard.maintenance_detach = Some(setting.boolean()?),
        b"gc.auto" => heard.gc_auto = Some(setting.int()?),
        b"gc.autodetach" => heard.gc_detach = Some(setting.boolean()?),
        key => match key.strip_prefix(b"receive.fsck.") {
            Some(name) => heard.fsck_rules.add(name.as_bstr(), setting)?,
            None => return Ok(false),
        },
    }
    Ok(true)
}

/// Settings of how files are written and found. False if `setting` is none of these.
fn core(config: &mut Config, heard: &mut Heard, setting: &Setting) -> Result<bool> {
    match setting.key.as_slice() {
        b"core.filesreflocktimeout" => config.ref_lock_timeout = milliseconds(setting)?,
        b"core.packedrefstimeout" => config.packed_refs_timeout = milliseconds(setting)?,
        b"core.logallrefupdates" => config.log_all_ref_updates = log_refs(setting)?,
        b"core.compression" => heard.compression = Some(level(setting, "zlib")?),
        b"core.loosecompression" => heard.loose_compression = Some(level(setting, "zlib")?),
        b"pack.compression" => heard.pack_compression = Some(level(setting, "pack")?),
        b"pack.threads" => match usize::try_from(setting.int()?) {
            Ok(threads) => config.pack_threads = threads,
            Err(_) => bail!("invalid number of threads specified ({})", setting.int()?),
        },
        b"pack.writereverseindex" => config.write_reverse_index = setting.boolean()?,
        b"core.bigfilethreshold" => config.big_file_threshold = setting.size()?,
        b"core.maxtreedepth" => config.max_tree_depth = setting.int()?,
        // The last one counts, which is seen where the repository is; each has to be good.
        b"core.bare" => drop(setting.boolean()?),
        b"core.ignorecase" => config.ignore_case = setting.boolean()?,
        b"core.hookspath" => config.hooks_path = Some(setting.path()?),
        b"core.alternaterefscommand" => config.alternate_refs_command = setting.value.clone(),
        b"core.alternaterefsprefixes" => {
            let words = setting.raw();
            config.alternate_refs_prefixes = words.fields().map(BString::from).collect();
        }
        b"core.sharedrepository" => config.shared_repository = shared_repository(setting)?,
        b"core.fsync" => {
            heard.fsync = true;
            config.fsync = fsync(setting, config.fsync.writeout_only)?;
        }
        b"core.fsyncmethod" => match setting.text()?.as_bytes() {
            // `batch` is a faster way to the same end for many loose objects.
            method @ (b"fsync" | b"writeout-only" | b"batch") => {
                config.fsync.writeout_only = method == b"writeout-only";
            }
            method => say!("warning: ignoring unknown core.fsyncMethod value '{}'", method.as_bstr()),
        },
        b"core.fsyncobjectfiles" => {
            if heard.fsync_object_files.is_none() {
                say!("warning: core.fsyncObjectFiles is deprecated; use core.fsync instead");
            }
            heard.fsync_object_files = Some(setting.boolean()?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{setting::Origin, syntax},
        *,
    };

    fn config(text: &str) -> Config {
        let settings = syntax::assignments(text.as_bytes()).map(|assignment| {
            let assignment = assignment.expect("well formed");
            Setting { key: assignment.key, value: assignment.value, origin: Origin::CommandLine }
        });
        Config::new(Settings(settings.collect()), true).expect("good values")
    }

    #[test]
    fn the_closer_setting_wins_whatever_the_order() {
        assert_eq!(config("").unpack_limit, 100);
        assert_eq!(config("[receive]\nunpackLimit=3\n[transfer]\nunpackLimit=4").unpack_limit, 3);
        assert_eq!(config("[transfer]\nunpackLimit=4\n[receive]\nunpackLimit=-1").unpack_limit, 4);
        let levels = |text| (config(text).loose_compression, config(text).pack_compression);
        assert_eq!(levels(""), (None, 6));
        assert_eq!(levels("[core]\nlooseCompression=9\ncompression=0"), (Some(9), 0));
        assert_eq!(levels("[core]\ncompression=-1\n[pack]\ncompression=2"), (Some(6), 2));
        let maintenance = |text| (config(text).auto_maintenance, config(text).detach_maintenance);
        assert_eq!(maintenance(""), (true, true));
        assert_eq!(maintenance("[gc]\nauto=0\nautoDetach=0"), (false, false));
        assert_eq!(maintenance("[maintenance]\nauto\nautoDetach\n[gc]\nauto=0\nautoDetach=0"), (true, true));
    }

    #[test]
    fn words_and_modes_become_what_they_stand_for() {
        let shared = |value: &str| config(&format!("[core]\nsharedRepository = {value}")).shared_repository;
        for (value, expected) in [
            ("umask", SharedRepository::Umask),
            ("false", SharedRepository::Umask),
            ("0", SharedRepository::Umask),
            ("true", SharedRepository::Add(0o660)),
            ("group", SharedRepository::Add(0o660)),
            ("1", SharedRepository::Add(0o660)),
            ("everybody", SharedRepository::Add(0o664)),
            ("0640", SharedRepository::Exact(0o640)),
            ("02775", SharedRepository::Exact(0o664)),
        ] {
            assert_eq!(shared(value), expected, "{value}");
        }
        let deny = |value: &str| config(&format!("[receive]\ndenyDeleteCurrent{value}")).deny_delete_current;
        let denials = ["", "=Warn", "=no", "=updateInstead"].map(deny);
        assert_eq!(denials, [Deny::Refuse, Deny::Warn, Deny::Ignore, Deny::Refuse]);
        let log = |value: &str| config(&format!("[core]\nlogAllRefUpdates={value}")).log_all_ref_updates;
        assert_eq!(["ALWAYS", "on", "0"].map(log), [LogRefs::Always, LogRefs::Usual, LogRefs::Existing]);
        assert_eq!(config("").log_all_ref_updates, LogRefs::Existing);
        let fsync = |value: &str| {
            let fsync = config(&format!("[core]\nfsync = {value}")).fsync;
            [fsync.loose_objects, fsync.packs, fsync.pack_metadata, fsync.references]
        };
        assert_eq!(fsync("reference"), [false, true, true, true]);
        assert_eq!(fsync("none,loose-object"), [true, false, false, false]);
        assert_eq!(fsync("committed, -objects"), [false, false, true, true]);
        assert_eq!(config("[receive]\nkeepAlive=0").keep_alive, None);
        assert_eq!(config("[core]\nfilesRefLockTimeout=-1").ref_lock_timeout, None);
        assert_eq!(config("[receive]\nmaxInputSize=1k").max_input_size, Some(1024));
    }
}
