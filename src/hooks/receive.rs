//! pre-receive and post-receive: every command on one stdin (githooks, "pre-receive", "post-receive").

use std::{
    ffi::OsString,
    io::{self, Write},
};

use anyhow::Result;
use gix::oid;

use super::{Answer, Hooks, os_string};
use crate::command::Command;

/// The hook that is asked about a push as a whole, while its objects are in quarantine.
pub const PRE_RECEIVE: &str = "pre-receive";

impl Hooks<'_> {
    /// Ask pre-receive about all commands, those refused already too.
    pub fn pre_receive(&self, commands: &[Command]) -> Result<Answer> {
        let mut lines = Vec::new();
        for command in commands {
            push_line(&mut lines, &command.old, &command.new, &command.name)?;
        }
        let mut call = self.call(PRE_RECEIVE);
        call.stdin = Some(&lines);
        call.environment.extend(self.about_the_push());
        self.run(&call)
    }

    /// Tell post-receive what was carried out, as it was in the end; not started if there is nothing to tell. What it
    /// answers has no effect.
    pub fn post_receive(&self, commands: &[Command]) -> Result<Answer> {
        let mut lines = Vec::new();
        for command in commands.iter().filter(|command| command.is_carried_out()) {
            if command.results.is_empty() {
                push_line(&mut lines, &command.old, &command.new, &command.name)?;
            }
            for result in &command.results {
                let old = result.old.as_ref().unwrap_or(&command.old);
                let new = result.new.as_ref().unwrap_or(&command.new);
                push_line(&mut lines, old, new, result.name.as_ref().unwrap_or(&command.name))?;
            }
        }
        if lines.is_empty() {
            return Ok(Answer::NoHook);
        }
        let mut call = self.call("post-receive");
        call.stdin = Some(&lines);
        call.environment.extend(self.about_the_push());
        self.run(&call)
    }

    /// The variables that tell of the push as a whole: what `git push --push-option` sent, and who signed it.
    pub(super) fn about_the_push(&self) -> impl Iterator<Item = (OsString, OsString)> {
        let count = ("GIT_PUSH_OPTION_COUNT".into(), self.push_options.len().to_string().into());
        let each = self.push_options.iter().enumerate();
        each.map(|(n, option)| (format!("GIT_PUSH_OPTION_{n}").into(), os_string(option)))
            .chain([count])
            .chain(self.certificate().iter().cloned())
    }
}

/// A line of stdin. The name is written as it is, text or not.
fn push_line(lines: &mut Vec<u8>, old: &oid, new: &oid, name: &[u8]) -> io::Result<()> {
    write!(lines, "{old} {new} ")?;
    lines.extend_from_slice(name);
    lines.push(b'\n');
    Ok(())
}
