//! The version of a repository's format and its extensions (gitrepository-layout, "Git Repository Format Versions"),
//! which stand in its own configuration file; what that includes does not count.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use bstr::{BString, ByteSlice};
use gix::hash::Kind;

use super::RefFormat;
use crate::config::{
    setting::{Origin, Setting},
    sources::{ConfigFile, unusable},
    syntax::{self, Malformed},
};

/// What kind of repository it is.
#[derive(Debug)]
pub struct Format {
    /// The hash that names objects.
    pub hash: Kind,
    /// How refs are stored.
    pub ref_format: RefFormat,
    /// `core.bare`, `None` where it does not say.
    pub is_bare: Option<bool>,
    /// `core.worktree`, relative to the git directory.
    pub work_tree: Option<PathBuf>,
    /// `config.worktree` is to be read as well.
    pub has_worktree_config: bool,
    /// What was read, as git names it in other messages: what lies in the git directory is relative to it.
    pub files: Vec<ConfigFile>,
}

/// Read it from the configuration in `common_dir`; fails on a format that this program does not know. The process is in
/// `git_dir`.
pub fn read(git_dir: &Path, common_dir: &Path) -> Result<Format> {
    let (file, path) = match git_dir == common_dir {
        true => (PathBuf::from("./config"), PathBuf::from("config")),
        false => (common_dir.join("config"), common_dir.join("config")),
    };
    let mut reading = Reading::default();
    let bytes = content(&file)?;
    for setting in settings(&file, &bytes) {
        reading.hear(&setting?)?;
    }
    let mut format = reading.judge()?;
    format.files.push(ConfigFile { path, bytes });
    if format.has_worktree_config {
        // The one of the worktree at hand decides.
        let bytes = content(Path::new("./config.worktree"))?;
        for setting in settings(Path::new("./config.worktree"), &bytes) {
            let setting = setting?;
            match setting.key.as_slice() {
                b"core.bare" => format.is_bare = Some(setting.boolean()?),
                b"core.worktree" => format.work_tree = Some(text(&setting)?.to_path_lossy().into_owned()),
                _ => {}
            }
        }
        format.files.push(ConfigFile { path: "config.worktree".into(), bytes });
    }
    Ok(format)
}

/// What `file` holds; nothing if it is not there.
fn content(file: &Path) -> Result<Vec<u8>> {
    match std::fs::read(file) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.with_context(|| format!("unable to access '{}'", file.display())),
    }
}

/// The settings of `file` alone, which holds these `bytes`.
fn settings(file: &Path, bytes: &[u8]) -> impl Iterator<Item = Result<Setting>> {
    let path: Arc<Path> = file.into();
    syntax::assignments(bytes).map(move |assignment| match assignment {
        Ok(syntax::Assignment { key, value, line }) => {
            Ok(Setting { key, value, origin: Origin::File { path: path.clone(), line } })
        }
        Err(Malformed(line)) => bail!("bad config line {line} in file {}", path.display()),
    })
}

#[derive(Default)]
struct Reading {
    /// `None`, or -1, in a repository that is older than the versions, or has no configuration.
    version: Option<i32>,
    hash: Option<Kind>,
    ref_format: Option<RefFormat>,
    is_bare: Option<bool>,
    work_tree: Option<PathBuf>,
    has_worktree_config: bool,
    /// Extensions that came with version 1.
    newer: Vec<BString>,
    unknown: Vec<BString>,
}

impl Reading {
    fn hear(&mut self, setting: &Setting) -> Result<()> {
        match setting.key.as_slice() {
            b"core.repositoryformatversion" => self.version = Some(setting.int()?),
            b"core.bare" => self.is_bare = Some(setting.boolean()?),
            b"core.worktree" => self.work_tree = Some(text(setting)?.to_path_lossy().into_owned()),
            key => {
                if let Some(name) = key.strip_prefix(b"extensions.") {
                    self.extension(name, setting)?;
                }
            }
        }
        Ok(())
    }

    fn extension(&mut self, name: &[u8], setting: &Setting) -> Result<()> {
        match name {
            b"noop" => return Ok(()),
            b"preciousobjects" => return setting.boolean().map(|_| ()),
            b"partialclone" => return text(setting).map(|_| ()),
            b"worktreeconfig" => {
                self.has_worktree_config = setting.boolean()?;
                return Ok(());
            }
            b"noop-v1" => {}
            b"objectformat" => self.hash = Some(hash(setting)?),
            b"compatobjectformat" => {
                hash(setting)?;
            }
            b"refstorage" => {
                self.ref_format = Some(match text(setting)?.as_slice() {
                    b"files" => RefFormat::Files,
                    b"reftable" => RefFormat::Reftable,
                    _ => return Err(invalid(setting)),
                });
            }
            b"relativeworktrees" | b"submodulepathconfig" => {
                setting.boolean()?;
            }
            _ => {
                self.unknown.push(name.into());
                return Ok(());
            }
        }
        self.newer.push(name.into());
        Ok(())
    }

    fn judge(self) -> Result<Format> {
        match self.version {
            Some(version) if version > 1 => bail!("Expected git repo version <= 1, found {version}"),
            Some(1) if !self.unknown.is_empty() => {
                bail!("unknown repository {} found:{}", plural("extension", &self.unknown), list(&self.unknown))
            }
            Some(0) if !self.newer.is_empty() => {
                bail!("repo version is 0, but v1-only {} found:{}", plural("extension", &self.newer), list(&self.newer))
            }
            Some(version) if version != -1 => Ok(Format {
                hash: self.hash.unwrap_or(Kind::Sha1),
                ref_format: self.ref_format.unwrap_or(RefFormat::Files),
                is_bare: self.is_bare,
                work_tree: self.work_tree,
                has_worktree_config: self.has_worktree_config,
                files: Vec::new(),
            }),
            // git does not listen to extensions there.
            _ => Ok(Format {
                hash: Kind::Sha1,
                ref_format: RefFormat::Files,
                is_bare: self.is_bare,
                work_tree: self.work_tree,
                has_worktree_config: false,
                files: Vec::new(),
            }),
        }
    }
}

fn plural(noun: &str, things: &[BString]) -> String {
    if things.len() == 1 { noun.into() } else { format!("{noun}s") }
}

fn list(names: &[BString]) -> String {
    names.iter().map(|name| format!("\n\t{name}")).collect()
}

fn text(setting: &Setting) -> Result<&BString> {
    let missing = || unusable(format!("missing value for '{}'", setting.key), &setting.origin);
    setting.value.as_ref().ok_or_else(missing)
}

fn hash(setting: &Setting) -> Result<Kind> {
    match text(setting)?.as_slice() {
        b"sha1" => Ok(Kind::Sha1),
        b"sha256" => Ok(Kind::Sha256),
        _ => Err(invalid(setting)),
    }
}

fn invalid(setting: &Setting) -> anyhow::Error {
    unusable(format!("invalid value for '{}': '{}'", setting.key, setting.raw()), &setting.origin)
}
