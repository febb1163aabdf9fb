//! What symbolic refs lead to, by name. Whether there is a ref at the end is not asked.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use bstr::{BStr, BString, ByteSlice};

use super::{
    absent::AbsentDirectories,
    loose::{self, Loose},
    name,
    reftable::Reftables,
};
use crate::repository::{RefFormat, Repository};

/// How many refs git reads on the way to the end; what needs more leads nowhere.
pub const MAX_READS: usize = 5;

/// About so many names git is asked by; for more of them it lists all refs.
const FEW: usize = 50;

/// Of so many names that git does not show it is asked one by one: each takes a process. Where there are more, what it shows has
/// to do.
const ASKED: usize = 4;

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
    if repository.ref_format == RefFormat::Reftable {
        let read = Reftables::open(repository).and_then(|tables| tables.follow(name));
        return read.map_or_else(|| ask_git(repository, name), Ok);
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

/// The same where only git can read the refs.
fn ask_git(repository: &Repository, name: &BStr) -> Result<Symbolic> {
    let output = git(repository)
        .args(["symbolic-ref", "-q"])
        .arg(name.to_os_str_lossy())
        .output()
        .context("cannot run 'git symbolic-ref'")?;
    match output.status.code() {
        Some(0) => Ok(Symbolic::LeadsTo(output.stdout.trim_end().into())),
        Some(1) => Ok(Symbolic::No),
        Some(128) => Ok(Symbolic::Broken),
        _ => bail!("'git symbolic-ref {name}' failed: {}", output.status),
    }
}

/// Git, to be asked about the refs of `repository`.
fn git(repository: &Repository) -> Command {
    let mut git = Command::new("git");
    git.current_dir(&repository.git_dir).env("GIT_DIR", &repository.git_dir).env("LC_ALL", "C").stdin(Stdio::null());
    git
}

/// Many refs as symbolic ones. Where git has to be asked, that is done with as few processes as there can be.
pub struct SymbolicRefs<'a> {
    repository: &'a Repository,
    source: Source,
}

/// Where the answers are from.
enum Source {
    /// Files, which are looked for when they are asked about.
    Files(AbsentDirectories),
    /// Reftables: all answers but those for malformed names.
    Read(BTreeMap<BString, Symbolic>),
    /// Git.
    Shown(Shown),
}

/// A list of refs, from which git leaves out what leads to no value.
struct Shown {
    /// What each leads to; nothing for those that are not symbolic.
    targets: BTreeMap<BString, BString>,
    /// One that is not shown is worth a question, for it may dangle or be broken: there are few of them.
    asks: bool,
}

impl<'a> SymbolicRefs<'a> {
    /// Those among the refs of these full `names`.
    pub fn of(repository: &'a Repository, names: &[&BStr]) -> Result<Self> {
        let source = match repository.ref_format {
            RefFormat::Files => Source::Files(AbsentDirectories::default()),
            RefFormat::Reftable => match read(repository, names) {
                Some(read) => Source::Read(read),
                None => Source::Shown(Shown::of(repository, names)?),
            },
        };
        Ok(SymbolicRefs { repository, source })
    }

    /// Follow the ref of the full `name`, one of those asked for, which must be well formed.
    ///
    /// Of many names at once that only git can read, one that leads to no value is taken for none.
    pub fn follow(&mut self, name: &BStr) -> Result<Symbolic> {
        let repository = self.repository;
        let shown = match &mut self.source {
            Source::Files(absent) => {
                let is_absent = absent.would_hold(name, |directory| loose::path(repository, directory));
                return if is_absent { Ok(Symbolic::No) } else { follow(repository, name) };
            }
            Source::Read(read) => return read.get(name).map_or_else(|| ask_git(repository, name), |it| Ok(it.clone())),
            Source::Shown(shown) => shown,
        };
        match shown.targets.get(name) {
            Some(target) if !target.is_empty() => Ok(Symbolic::LeadsTo(target.clone())),
            None if shown.asks => ask_git(repository, name),
            _ => Ok(Symbolic::No),
        }
    }
}

/// What reftables say of all `names` that are well formed; `None` if git has to be asked.
fn read(repository: &Repository, names: &[&BStr]) -> Option<BTreeMap<BString, Symbolic>> {
    let tables = Reftables::open(repository)?;
    let names = names.iter().filter(|name| name::is_well_formed_one_level(name));
    names.map(|name| Some(((*name).into(), tables.follow(name)?))).collect()
}

impl Shown {
    fn of(repository: &Repository, names: &[&BStr]) -> Result<Self> {
        let mut git = git(repository);
        git.args(["for-each-ref", "--format=%(refname) %(symref)", "--"]);
        if names.len() <= FEW {
            git.args(names.iter().map(|name| name.to_os_str_lossy()));
        }
        let output = git.output().context("cannot run 'git for-each-ref'")?;
        if !output.status.success() {
            bail!("'git for-each-ref' failed: {}", output.stderr.trim_end().as_bstr());
        }
        let lines = output.stdout.lines().filter_map(|line| line.split_once_str(" "));
        let targets: BTreeMap<BString, BString> = lines.map(|(name, target)| (name.into(), target.into())).collect();
        let asks = names.iter().filter(|name| !targets.contains_key(name.as_bytes().as_bstr())).count() <= ASKED;
        Ok(Shown { targets, asks })
    }
}
