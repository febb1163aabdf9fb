//! What a proc-receive hook says about commands: reads its report and takes note of it in them. Nothing is asked here.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use gix::ObjectId;

use crate::command::{ActualUpdate, Command, Refusal, Writer};

/// Which commands a hook's report spoke about.
pub(super) struct Answered(Vec<bool>);

/// Where in the report the reading is: what an `option` line would belong to.
#[derive(Clone, Copy)]
enum Context {
    /// Nothing that takes options.
    Nothing,
    /// An `ok` without options so far, for the command of this index.
    Accepted(usize),
    /// The last result of the command of this index.
    Described(usize),
}

impl Answered {
    /// No word yet about any of so many commands.
    pub fn new(commands: usize) -> Self {
        Answered(vec![false; commands])
    }

    /// True if the hook said what became of the command of this index, and did not leave it to this program.
    pub fn about(&self, index: usize) -> bool {
        self.0[index]
    }

    /// Take in all lines of a report. True if they make sense, speak of every marked command, and well of each.
    pub fn read(&mut self, lines: &[BString], commands: &mut [Command], complaints: &mut Vec<BString>) -> bool {
        let mut by_name = BTreeMap::new();
        for (index, command) in commands.iter().enumerate() {
            by_name.entry(command.name.clone()).or_insert(index);
        }
        let mut context = Context::Nothing;
        let mut is_good = true;
        let mut told_of_options = false;
        for line in lines {
            let Some((word, rest)) = line.split_once_str(" ") else {
                complaints.push(words!("proc-receive reported incomplete status line: '", line, "'"));
                is_good = false;
                continue;
            };
            if word != b"option" {
                context = match self.status(word, rest, &by_name, commands) {
                    Ok(context) => context,
                    Err(complaint) => {
                        complaints.push(complaint);
                        Context::Nothing
                    }
                };
                is_good &= !matches!(context, Context::Nothing);
                continue;
            }
            let index = match context {
                Context::Nothing => {
                    if !told_of_options {
                        let complaint = "proc-receive reported 'option' without a matching 'ok/ng' directive";
                        complaints.push(complaint.into());
                    }
                    told_of_options = true;
                    is_good = false;
                    continue;
                }
                Context::Accepted(index) => {
                    commands[index].results.push(ActualUpdate::default());
                    context = Context::Described(index);
                    index
                }
                Context::Described(index) => index,
            };
            self.option(rest, index, commands);
        }
        for (index, command) in commands.iter_mut().enumerate() {
            if command.writer == Writer::ProcReceive && !command.is_refused() && !self.0[index] {
                command.refuse(Refusal::other("proc-receive failed to report status"));
                is_good = false;
            }
        }
        is_good
    }

    /// An `ok` or `ng` line: what options after it are about, or a complaint about it.
    fn status(
        &mut self,
        word: &[u8],
        rest: &[u8],
        by_name: &BTreeMap<BString, usize>,
        commands: &mut [Command],
    ) -> Result<Context, BString> {
        let (name, reason) = match rest.split_once_str(" ") {
            Some((name, reason)) => (name.as_bstr(), Some(reason)),
            None => (rest.as_bstr(), None),
        };
        if word != b"ok" && word != b"ng" {
            return Err(words!("proc-receive reported bad status '", word, "' on ref '", name, "'"));
        }
        let Some(&index) = by_name.get(name) else {
            return Err(words!("proc-receive reported status on unknown ref: ", name));
        };
        let command = &mut commands[index];
        if command.writer != Writer::ProcReceive {
            return Err(words!("proc-receive reported status on unexpected ref: ", name));
        }
        self.0[index] = true;
        if word == b"ok" {
            return Ok(Context::Accepted(index));
        }
        // Who refuses it twice means the latter.
        command.refuse_instead(Refusal::other(reason.unwrap_or(b"failed")));
        Ok(Context::Nothing)
    }

    /// An `option` line about the last result of the command at `index`. Options that are unknown, or make no sense, do
    /// nothing.
    fn option(&mut self, text: &[u8], index: usize, commands: &mut [Command]) {
        let (key, value) = match text.split_once_str(" ") {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        let command = &mut commands[index];
        let hash = command.old.kind();
        let id = value.and_then(|value| ObjectId::from_hex(value.get(..hash.len_in_hex())?).ok());
        let Some(result) = command.results.last_mut() else { return };
        match key {
            b"refname" => result.name = value.map(BString::from),
            b"old-oid" => result.old = id.or(result.old),
            b"new-oid" => result.new = id.or(result.new),
            b"forced-update" => result.forced = true,
            b"fall-through" => {
                command.writer = Writer::Transaction;
                self.0[index] = false;
            }
            _ => {}
        }
    }
}
