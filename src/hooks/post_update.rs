//! post-update: the names of what was pushed, as arguments (githooks, "post-update").

use anyhow::Result;

use super::{Answer, Hooks, os_string};
use crate::command::Command;

impl Hooks<'_> {
    /// Name the refs that were carried out; not started if there are none. What it answers has no effect.
    pub fn post_update(&self, commands: &[Command]) -> Result<Answer> {
        let mut call = self.call("post-update");
        let carried_out = commands.iter().filter(|command| command.is_carried_out());
        call.arguments = carried_out.map(|command| os_string(&command.name)).collect();
        if call.arguments.is_empty() {
            return Ok(Answer::NoHook);
        }
        self.run(&call)
    }
}
