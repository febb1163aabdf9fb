//! What symbolic refs lead to, by name. Whether there is a ref at the end is not asked.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use bstr::{BStr, BString, ByteSlice};

use super::{
    loose::{self, Loose},
    name,
};
use crate::repository::{RefFormat, Repository};

/// How many refs git reads on the way to the end; what needs more leads nowhere.
const MAX_READS: usize = 5;

/// What a ref is, as a symbolic one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symbolic {
    /// It is none: there is a value, something unreadable, or nothing.
    No,
    /// It leads to the ref of this full name in the end, which may not be there.
    LeadsTo(BString),
    /// It leads in a circle, too far, to something unreadable or to what is no name of a ref.
    Broken,
}

/// Follow the ref of the full `name`, which must be well formed.
pub fn follow(repository: &Repository, name: &BStr) -> Result<Symbolic> {
    if repository.ref_format != RefFormat::Files {
        return ask_git(repository, name);
    }
    let mut at = match loose::read_ref(repository, name) {
        Loose::Symbolic(target) => target,
        Loose::Id(_) | Loose::Broken | Loose::Absent => return Ok(Symbolic::No),
    };
    for _ in 1..MAX_READS {
        if !name::is_well_formed_one_level(at.as_ref()) {
            break;
        }
        match loose::read_ref(repository, at.as_ref()) {
            Loose::Symbolic(target) => at = target,
            Loose::Id(_) | Loose::Absent => return Ok(Symbolic::LeadsTo(at)),
            Loose::Broken => break,
        }
    }
    Ok(Symbolic::Broken)
}

/// The same for ref formats that only git can read.
fn ask_git(repository: &Repository, name: &BStr) -> Result<Symbolic> {
    let output = Command::new("git")
        .args(["symbolic-ref", "-q"])
        .arg(name.to_os_str_lossy())
        .current_dir(&repository.git_dir)
        .env("GIT_DIR", &repository.git_dir)
        .stdin(Stdio::null())
        .output()
        .context("cannot run 'git symbolic-ref'")?;
    match output.status.code() {
        Some(0) => Ok(Symbolic::LeadsTo(output.stdout.trim_end().into())),
        Some(1) => Ok(Symbolic::No),
        Some(128) => Ok(Symbolic::Broken),
        _ => bail!("'git symbolic-ref {name}' failed: {}", output.status),
    }
}
