//! update: one ref at a time, right before it is written (githooks, "update").

use anyhow::Result;

use super::{Answer, Hooks, os_string};
use crate::command::Command;

impl Hooks<'_> {
    /// Ask whether one ref may get its new value.
    pub fn update(&self, command: &Command) -> Result<Answer> {
        let mut call = self.call("update");
        call.arguments = vec![os_string(&command.name), command.old.to_string().into(), command.new.to_string().into()];
        self.run(&call)
    }
}
