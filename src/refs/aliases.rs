//! Commands on a symbolic ref and on what it leads to, in one push: they must say the same.

use std::collections::BTreeMap;

use anyhow::Result;
use bstr::{BStr, BString, ByteSlice};

use super::{
    name,
    symbolic::{Symbolic, SymbolicRefs},
};
use crate::{
    command::{Command, Refusal, Writer},
    repository::Repository,
    wire::sideband::Sideband,
};

/// How many digits of an object id messages show.
const SHORT: usize = 7;

/// Leave a command on a symbolic ref to the one on the ref that it leads to, if that is in the push and says the same;
/// else refuse both. A symbolic ref that leads nowhere is refused; one that dangles is not.
pub fn check(repository: &Repository, sideband: &Sideband, commands: &mut [Command]) -> Result<()> {
    let full_names: Vec<BString> =
        commands.iter().map(|command| [repository.namespace.as_slice(), &command.name].concat().into()).collect();
    let mut by_name = None;
    let mut symbolic = SymbolicRefs::of(repository, &full_names.iter().map(|name| name.as_bstr()).collect::<Vec<_>>())?;
    for (index, full) in full_names.iter().enumerate() {
        let command = &commands[index];
        if command.is_refused() || !name::is_well_formed_one_level(command.name()) {
            continue;
        }
        match symbolic.follow(full.as_bstr())? {
            Symbolic::No => {}
            Symbolic::Broken => {
                sideband.error(words!("refusing update to broken symref '", command.name, "'"));
                commands[index].refuse(Refusal::other("broken symref"));
            }
            Symbolic::LeadsTo(target) => {
                let short = target.strip_prefix(repository.namespace.as_slice()).map(BStr::new);
                let by_name = by_name.get_or_insert_with(|| first_of_each_name(commands));
                if let Some(target) = short.and_then(|short| by_name.get(short)) {
                    compare(sideband, commands, index, *target);
                }
            }
        }
    }
    Ok(())
}

fn first_of_each_name(commands: &[Command]) -> BTreeMap<BString, usize> {
    commands.iter().enumerate().rev().map(|(index, command)| (command.name.clone(), index)).collect()
}

/// Let the command at `target` do the work of the one at `alias`, or refuse both.
fn compare(sideband: &Sideband, commands: &mut [Command], alias: usize, target: usize) {
    commands[alias].writer = Writer::Target;
    let (symref, named) = (&commands[alias], &commands[target]);
    if symref.old == named.old && symref.new == named.new {
        return;
    }
    let values = |it: &Command| format!("({}..{})", it.old.to_hex_with_len(SHORT), it.new.to_hex_with_len(SHORT));
    sideband.error(words!(
        "refusing inconsistent update between symref '",
        symref.name,
        "' ",
        values(symref),
        " and its target '",
        named.name,
        "' ",
        values(named),
    ));
    for index in [alias, target] {
        // What the target may have been refused for before says less.
        commands[index].refuse_instead(Refusal::other("inconsistent aliased update"));
    }
}
