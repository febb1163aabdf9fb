//! What the repositories have whose objects this one borrows: their refs tell a client what it need not send.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use bstr::{BStr, ByteSlice};
use gix::{
    ObjectId,
    glob::{wildmatch, wildmatch::Mode},
};
use nix::sys::signal::Signal;

use super::snapshot::Snapshot;
use crate::{
    config::Config,
    hooks::environment,
    objects::alternates,
    repository::{RefFormat, Repository},
};

/// What ties git to one repository (git-rev-parse, `--local-env-vars`), and must not reach a program that looks at another.
const LOCAL_ENVIRONMENT: [&str; 15] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
];

/// The values of the refs of all alternates, one alternate after another; some may be named more than once.
///
/// An alternate that cannot be read is told on stderr and left out: it only makes the client send more.
pub fn tips(repository: &Repository, config: &Config) -> Vec<ObjectId> {
    let mut tips = Vec::new();
    let complain = &mut |words| say!("error: {words}");
    for objects in alternates::resolve(&repository.objects_dir, &repository.alternate_dirs, complain) {
        // `<repository>/objects`; an object directory of another name belongs to no repository.
        let Some(dir) = objects.parent().filter(|dir| objects.ends_with("objects") && dir.join("refs").is_dir()) else {
            continue;
        };
        let read = match &config.alternate_refs_command {
            Some(command) => told_by(command.as_ref(), dir, repository, &mut tips),
            None => read(dir, repository, config, &mut tips),
        };
        if let Err(err) = read {
            say!("warning: cannot read the refs of alternate '{}': {err:#}", dir.display());
        }
    }
    tips
}

fn read(dir: &Path, repository: &Repository, config: &Config, tips: &mut Vec<ObjectId>) -> Result<()> {
    if !dir.join("HEAD").exists() && dir.join("HEAD").symlink_metadata().is_err() {
        anyhow::bail!("not a git repository");
    }
    let ref_format = match dir.join("reftable").is_dir() {
        true => RefFormat::Reftable,
        false => RefFormat::Files,
    };
    let alternate = Repository { git_dir: dir.into(), common_dir: dir.into(), ref_format, ..repository.clone() };
    let wanted = |name: &BStr| {
        config.alternate_refs_prefixes.is_empty()
            || config.alternate_refs_prefixes.iter().any(|pattern| matches(pattern.as_ref(), name))
    };
    let snapshot = Snapshot::read(&alternate)?;
    let mut entries = snapshot.entries();
    let named = entries.by_ref().filter(|entry| wanted(entry.name())).map(|entry| entry.id());
    tips.extend(named.filter(|id| !id.is_null()));
    entries.finish()
}

/// As git-for-each-ref takes a pattern: whole path parts from the start, or a glob.
fn matches(pattern: &BStr, name: &BStr) -> bool {
    let behind = name.strip_prefix(pattern.as_bytes());
    let is_prefix = behind.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')) || pattern.ends_with(b"/"));
    is_prefix || wildmatch(pattern, name, Mode::NO_MATCH_SLASH_LITERAL)
}

/// Run `core.alternateRefsCommand`, which prints one object id a line.
fn told_by(command: &BStr, dir: &Path, repository: &Repository, tips: &mut Vec<ObjectId>) -> Result<()> {
    let mut shell = Command::new("sh");
    // stdin is the client's.
    shell
        .arg("-c")
        .arg(OsStr::from_bytes(&[command.as_bytes(), b" \"$@\""].concat()))
        .arg(OsStr::from_bytes(command))
        .arg(dir);
    shell.current_dir(&repository.git_dir).stdin(Stdio::null()).stdout(Stdio::piped());
    shell.envs(environment::for_children());
    for name in LOCAL_ENVIRONMENT {
        shell.env_remove(name);
    }
    let mut child = shell.spawn().with_context(|| format!("cannot run '{command}'"))?;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(|out| out.split(b'\n')) {
        let line = line.with_context(|| format!("cannot read what '{command}' says"))?;
        match ObjectId::from_hex(&line) {
            Ok(id) if id.kind() == repository.hash => tips.push(id),
            _ => {
                say!("warning: invalid line while parsing alternate refs: {}", line.as_bstr());
                break;
            }
        }
    }
    let status = child.wait().with_context(|| format!("cannot wait for '{command}'"))?;
    // One that was not heard to the end may well die of SIGPIPE.
    if let Some(signal) = status.signal().filter(|signal| *signal != Signal::SIGPIPE as i32) {
        say!("error: {command} died of signal {signal}");
    }
    Ok(())
}
