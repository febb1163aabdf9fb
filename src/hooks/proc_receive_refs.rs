//! `receive.procReceiveRefs`: which commands are left to the proc-receive hook (git-config).

use anyhow::Result;
use bstr::{BStr, BString, ByteSlice};

use crate::{
    command::{Command, Writer},
    config::Settings,
};

/// One value of the setting: `<which>:<prefix>`, or a prefix alone.
#[derive(Debug)]
struct Claim {
    prefix: BString,
    creations: bool,
    deletions: bool,
    updates: bool,
    /// It is for the refs that the prefix does not match.
    others: bool,
}

/// Mark the commands, of those not refused, that one of the setting's values claims.
pub fn mark(config: &Settings, commands: &mut [Command]) -> Result<()> {
    let values = config.iter().filter(|setting| setting.is("receive.procReceiveRefs"));
    let claims: Vec<Claim> = values.map(|setting| Ok(Claim::parse(setting.text()?))).collect::<Result<_>>()?;
    for command in commands.iter_mut().filter(|command| !command.is_refused()) {
        if claims.iter().any(|claim| claim.covers(command)) {
            command.writer = Writer::ProcReceive;
        }
    }
    Ok(())
}

impl Claim {
    fn parse(value: &BStr) -> Self {
        let (which, prefix) = value.split_once_str(":").unwrap_or((b"adm", value));
        let has = |letter| which.contains(&letter);
        let end = prefix.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        Claim {
            prefix: prefix[..end].into(),
            creations: has(b'a'),
            deletions: has(b'd'),
            updates: has(b'm'),
            others: has(b'!'),
        }
    }

    fn covers(&self, command: &Command) -> bool {
        let (creation, deletion) = (command.is_creation(), command.is_deletion());
        if creation && !self.creations || deletion && !self.deletions || !creation && !deletion && !self.updates {
            return false;
        }
        let rest = command.name.strip_prefix(self.prefix.as_slice());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))) != self.others
    }
}

#[cfg(test)]
mod tests {
    use gix::{ObjectId, hash::Kind};

    use super::*;

    fn claims(value: &str, kind: char, name: &str) -> bool {
        let (null, some) = (ObjectId::null(Kind::Sha1), ObjectId::empty_tree(Kind::Sha1));
        let (old, new) = match kind {
            'a' => (null, some),
            'd' => (some, null),
            _ => (some, some),
        };
        Claim::parse(value.into()).covers(&Command::new(old, new, name))
    }

    #[test]
    fn a_prefix_matches_whole_parts_of_names() {
        assert!(claims("refs/for", 'a', "refs/for/main") && claims("refs/for/", 'm', "refs/for"));
        assert!(!claims("refs/for", 'a', "refs/forest") && !claims("refs/for", 'd', "refs/heads/main"));
    }

    #[test]
    fn letters_before_a_colon_choose_kinds_of_commands() {
        assert!(claims("a:refs/heads", 'a', "refs/heads/x") && !claims("a:refs/heads", 'm', "refs/heads/x"));
        assert!(claims("dm:refs/heads", 'd', "refs/heads/x") && !claims(":refs/heads", 'd', "refs/heads/x"));
        assert!(claims("a!:refs/heads", 'a', "refs/tags/x") && !claims("a!:refs/heads", 'a', "refs/heads/x"));
        assert!(!claims("a!:refs/heads", 'd', "refs/tags/x"));
    }
}
