//! Hooks that the configuration defines: `hook.<name>.command` and its like (git-config, "hook.<friendly-name>").

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use bstr::{BString, ByteSlice};
use gix::config::File;

/// The events that git knows by name (githooks). They cannot be names of configured hooks: `hook.<event>.*` is taken.
const EVENTS: [&str; 28] = [
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "p4-prepare-changelist",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "sendemail-validate",
    "update",
];

/// What `hook.<name>.*` says of one name.
#[derive(Debug, Default)]
struct Settings {
    command: Option<BString>,
    disabled: bool,
    parallel: bool,
}

/// All configured hooks, checked.
#[derive(Debug)]
pub struct ConfiguredHooks<'a> {
    hooks: Vec<ConfiguredHook>,
    config: &'a File,
}

/// One hook that the configuration defines for one event.
#[derive(Debug, Clone)]
pub struct ConfiguredHook {
    /// The event that it runs on.
    pub event: BString,
    /// What the shell is to run.
    pub command: OsString,
    /// `hook.<name>.parallel`: it may run beside others of its event.
    pub parallel: bool,
}

impl<'config> ConfiguredHooks<'config> {
    /// Read `hook.*`; fails on a name that is an event's and on an event without a command, whatever event that is.
    pub fn read(config: &'config File) -> Result<Self> {
        let mut settings: Vec<(BString, Settings)> = Vec::new();
        // An event and the name of its hook, in the order in which they run.
        let mut order: Vec<(BString, BString)> = Vec::new();
        for section in config.sections().filter(|section| section.header().name().eq_ignore_ascii_case(b"hook")) {
            let Some(name) = section.header().subsection_name() else { continue };
            let body = section.body();
            if is_event(name) && (body.contains_value_name("command") || body.contains_value_name("event")) {
                bail!(
                    "hook friendly-name '{name}' collides with a known event name; please choose a different \
                     friendly-name"
                );
            }
            for event in body.values("event") {
                if event.is_empty() {
                    order.retain(|(_, hook)| hook != name);
                } else {
                    // The last mention decides on the place.
                    order.retain(|(other, hook)| hook != name || *other != event);
                    order.push((event, name.to_owned()));
                }
            }
            let index = settings.iter().position(|(known, _)| known == name).unwrap_or(settings.len());
            if index == settings.len() {
                settings.push((name.to_owned(), Settings::default()));
            }
            let known = &mut settings[index].1;
            if let Some(command) = body.value("command") {
                known.command = Some(command);
            }
            if let Some(enabled) = boolean(config, name, "enabled")? {
                known.disabled = !enabled;
            }
            known.parallel = boolean(config, name, "parallel")?.unwrap_or(false);
        }
        let mut hooks = Vec::new();
        for (event, name) in order {
            let Some((_, settings)) = settings.iter().find(|(known, _)| *known == name) else { continue };
            let off = settings.disabled || boolean(config, &event, "enabled")? == Some(false);
            match &settings.command {
                _ if off => {}
                Some(command) => hooks.push(ConfiguredHook {
                    event,
                    command: super::os_string(command),
                    parallel: settings.parallel,
                }),
                None => {
                    bail!("'hook.{name}.command' must be configured or 'hook.{name}.event' must be removed; aborting.")
                }
            }
        }
        Ok(ConfiguredHooks { hooks, config })
    }

    /// The hooks for `event`, in the order in which they are to run.
    pub fn of<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a ConfiguredHook> {
        self.hooks.iter().filter(move |hook| hook.event == event)
    }

    /// How many hooks of `event` may run side by side: `hook.<event>.jobs`, else `hook.jobs`, else 1; and 1 unless
    /// every configured hook of the event allows it. A negative number means as many as there are processors.
    pub fn jobs(&self, event: &str) -> Result<usize> {
        if self.of(event).any(|hook| !hook.parallel) {
            return Ok(1);
        }
        let jobs = match integer(self.config, &format!("hook.{event}.jobs"))? {
            Some(jobs) => jobs,
            None => integer(self.config, "hook.jobs")?.unwrap_or(1),
        };
        Ok(match usize::try_from(jobs) {
            Ok(jobs) => jobs.max(1),
            Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
        })
    }
}

fn is_event(name: &[u8]) -> bool {
    EVENTS.iter().any(|event| event.as_bytes() == name)
}

fn boolean(config: &File, name: &[u8], key: &str) -> Result<Option<bool>> {
    config
        .boolean_by("hook", Some(name.as_bstr()), key)
        .with_context(|| format!("bad boolean config value for 'hook.{}.{key}'", name.as_bstr()))
}

fn integer(config: &File, key: &str) -> Result<Option<i64>> {
    config.integer(key).with_context(|| format!("bad numeric config value for '{key}'"))
}
