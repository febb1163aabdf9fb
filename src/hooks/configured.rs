//! Hooks that the configuration defines: `hook.<name>.command` and its like (git-config, `hook.<friendly-name>`).

use std::ffi::OsString;

use anyhow::{Result, bail};
use bstr::{BStr, BString};

use crate::config::Settings;

/// The events that git (githooks) or this program knows by name. They cannot be names of configured hooks: `hook.<event>.*` is taken.
const EVENTS: [&str; 29] = [
    "applypatch-msg",
    "balanced_update",
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
struct OneName<'a> {
    command: Option<&'a BStr>,
    disabled: bool,
    parallel: bool,
}

/// All configured hooks, checked.
#[derive(Debug, Clone)]
pub struct ConfiguredHooks<'a> {
    hooks: Vec<ConfiguredHook>,
    config: &'a Settings,
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
    pub fn read(config: &'config Settings) -> Result<Self> {
        let mut known: Vec<(&BStr, OneName)> = Vec::new();
        // An event and the name of its hook, in the order in which they run.
        let mut order: Vec<(&BStr, &BStr)> = Vec::new();
        for (name, variable, setting) in config.within("hook") {
            if is_event(name) && (variable == "command" || variable == "event") {
                bail!(
                    "hook friendly-name '{name}' collides with a known event name; please choose a different \
                     friendly-name"
                );
            }
            let index = known.iter().position(|(other, _)| *other == name).unwrap_or(known.len());
            if index == known.len() {
                known.push((name, OneName::default()));
            }
            let hook = &mut known[index].1;
            if variable == "command" {
                hook.command = Some(setting.text()?);
            } else if variable == "enabled" {
                hook.disabled = !setting.boolean()?;
            } else if variable == "parallel" {
                hook.parallel = setting.boolean()?;
            } else if variable == "event" {
                let event = setting.text()?;
                // The last mention decides on the place; an empty one takes all back.
                order.retain(|(other, hook)| *hook != name || !(event.is_empty() || *other == event));
                if !event.is_empty() {
                    order.push((event, name));
                }
            }
        }
        let mut hooks = Vec::new();
        for (event, name) in order {
            let Some((_, hook)) = known.iter().find(|(other, _)| *other == name) else { continue };
            let event_is_off = config.boolean(&format!("hook.{event}.enabled"))? == Some(false);
            match hook.command {
                _ if hook.disabled || event_is_off => {}
                Some(command) => hooks.push(ConfiguredHook {
                    event: event.to_owned(),
                    command: super::os_string(command),
                    parallel: hook.parallel,
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
        let jobs = match self.config.int(&format!("hook.{event}.jobs"))? {
            Some(jobs) => jobs,
            None => self.config.int("hook.jobs")?.unwrap_or(1),
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
