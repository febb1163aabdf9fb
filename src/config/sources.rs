//! Where configuration comes from, in the order of git-config, "Files" and "Environment", and what it includes.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use bstr::{BStr, BString, ByteSlice};

use super::{
    environment, home,
    include::{Condition, MAX_DEPTH},
    setting::{Origin, Setting, boolean},
    settings::Settings,
    syntax::{self, Malformed},
};

/// The parts of a repository that configuration is read from, or depends on. The process is in its git directory.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The git directory, links in its path resolved.
    pub git_dir: &'a Path,
    /// Its configuration, and that of the worktree where `extensions.worktreeConfig` asks for it.
    pub files: &'a [ConfigFile],
}

/// A file of configuration that was read.
#[derive(Debug)]
pub struct ConfigFile {
    /// As messages name it.
    pub path: PathBuf,
    /// Nothing where there is no such file.
    pub bytes: Vec<u8>,
}

impl Settings {
    /// The settings for the repository at `place`; without one, those that no repository has a say in.
    pub fn read(place: Option<Place<'_>>) -> Result<Self> {
        let mut reading = Reading { place, ..Reading::default() };
        reading.sources()?;
        Ok(Settings(reading.settings))
    }
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading<'a> {
    pub(super) place: Option<Place<'a>>,
    settings: Vec<Setting>,
    /// How many includes lead to the file being read.
    depth: usize,
    /// The `remote.<name>.url` of all sources, once a condition has asked for them.
    pub(super) remote_urls: Option<Vec<BString>>,
    /// In the round that gathers those, every file that depends on them is read,
    pub(super) gathers_urls: bool,
    /// and such a file must not have any itself.
    forbids_urls: bool,
}

impl Reading<'_> {
    fn sources(&mut self) -> Result<()> {
        if let Some(system) = system_file()? {
            self.optional_file(&system, false)?;
        }
        for global in global_files() {
            self.optional_file(&global, true)?;
        }
        for file in self.place.map_or(&[][..], |place| place.files) {
            self.file(file.path.as_path().into(), &file.bytes)?;
        }
        self.environment()
    }

    /// The settings of `path`, should it be there. `may_be_closed` if it may be unreadable as well.
    fn optional_file(&mut self, path: &Path, may_be_closed: bool) -> Result<()> {
        match std::fs::read(path) {
            Ok(bytes) => self.file(path.into(), &bytes),
            Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
            Err(err) if may_be_closed && err.kind() == ErrorKind::PermissionDenied => Ok(()),
            Err(err) => Err(err).with_context(|| format!("unable to access '{}'", path.display())),
        }
    }

    fn file(&mut self, path: Arc<Path>, bytes: &[u8]) -> Result<()> {
        for assignment in syntax::assignments(bytes) {
            let assignment = assignment
                .map_err(|Malformed(line)| anyhow::anyhow!("bad config line {line} in file {}", path.display()))?;
            if !assignment.key.contains(&b'.') {
                say!("error: key does not contain a section: {}", assignment.key);
                continue;
            }
            let origin = Origin::File { path: path.clone(), line: assignment.line };
            self.setting(Setting { key: assignment.key, value: assignment.value, origin })?;
        }
        Ok(())
    }

    fn environment(&mut self) -> Result<()> {
        let settings = environment::settings().map_err(|why| unusable(why, &Origin::CommandLine))?;
        for (key, value) in settings {
            self.setting(Setting { key, value, origin: Origin::CommandLine })?;
        }
        Ok(())
    }

    fn setting(&mut self, setting: Setting) -> Result<()> {
        if self.forbids_urls && is_remote_url(&setting) {
            bail!(
                "remote URLs cannot be configured in file directly or indirectly included by \
                 includeIf.hasconfig:remote.*.url"
            );
        }
        self.settings.push(setting.clone());
        if setting.is("include.path") {
            return self.include(&setting, self.forbids_urls);
        }
        let Some((condition, name)) = setting.within("includeif") else { return Ok(()) };
        if name != "path" {
            return Ok(());
        }
        let condition = Condition::parse(condition);
        if self.holds(&condition, &setting.origin)? {
            let forbids_urls = self.forbids_urls || matches!(condition, Condition::RemoteUrl(_));
            self.include(&setting, forbids_urls)?;
        }
        Ok(())
    }

    fn include(&mut self, setting: &Setting, forbids_urls: bool) -> Result<()> {
        let Some(value) = &setting.value else {
            return Err(unusable("missing value for 'include.path'".into(), &setting.origin));
        };
        let Some(path) = home::expand(value) else {
            return Err(unusable(format!("could not expand include path '{value}'"), &setting.origin));
        };
        let path = match &setting.origin {
            Origin::File { path: from, .. } => from.parent().unwrap_or(Path::new("")).join(path),
            Origin::CommandLine if path.is_relative() => {
                return Err(unusable("relative config includes must come from files".into(), &setting.origin));
            }
            Origin::CommandLine => path,
        };
        if !path.exists() {
            return Ok(());
        }
        if self.depth == MAX_DEPTH {
            let from = match &setting.origin {
                Origin::File { path, .. } => path.display().to_string(),
                Origin::CommandLine => "the command line".into(),
            };
            bail!(
                "exceeded maximum include depth ({MAX_DEPTH}) while including\n\t{}\nfrom\n\t{from}\nThis might be due \
                 to circular includes.",
                path.display()
            );
        }
        let forbade_urls = std::mem::replace(&mut self.forbids_urls, forbids_urls);
        self.depth += 1;
        self.optional_file(&path, false)?;
        self.depth -= 1;
        self.forbids_urls = forbade_urls;
        Ok(())
    }
}

/// The error for a source that cannot be used, after `why` was said.
pub fn unusable(why: String, origin: &Origin) -> anyhow::Error {
    say!("error: {why}");
    match origin {
        Origin::File { path, line } => anyhow::anyhow!("bad config line {line} in file {}", path.display()),
        Origin::CommandLine => anyhow::anyhow!("unable to parse command-line config"),
    }
}

/// Every value of `remote.<name>.url` at `place`.
pub(super) fn remote_urls(place: Option<Place<'_>>) -> Result<Vec<BString>> {
    let mut all = Reading { place, gathers_urls: true, ..Reading::default() };
    all.sources()?;
    let urls = all.settings.into_iter().filter(is_remote_url);
    Ok(urls.filter_map(|setting| setting.value).collect())
}

fn is_remote_url(setting: &Setting) -> bool {
    setting.within("remote").is_some_and(|(_, name): (&BStr, _)| name == "url")
}

/// `GIT_CONFIG_SYSTEM`, else the file in the prefix that the git on `PATH` is installed in; `None` if it is not wanted.
fn system_file() -> Result<Option<PathBuf>> {
    const UNWANTED: &str = "GIT_CONFIG_NOSYSTEM";
    if let Some(value) = std::env::var_os(UNWANTED) {
        match boolean(value.as_encoded_bytes().as_bstr()) {
            Some(true) => return Ok(None),
            Some(false) => {}
            None => bail!("bad boolean environment value '{}' for '{UNWANTED}'", value.display()),
        }
    }
    Ok(Some(std::env::var_os("GIT_CONFIG_SYSTEM").map_or_else(system_file_of_prefix, PathBuf::from)))
}

/// git's build puts it into /etc for the prefix /usr, and else into etc below the prefix.
fn system_file_of_prefix() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bin = std::env::split_paths(&path).find(|dir| dir.is_absolute() && dir.join("git").is_file());
    let prefix = bin.filter(|bin| bin.file_name() == Some(OsStr::new("bin")));
    match prefix.as_deref().and_then(Path::parent) {
        Some(prefix) if prefix != "/usr" && prefix != "/" => prefix.join("etc/gitconfig"),
        _ => "/etc/gitconfig".into(),
    }
}

/// `GIT_CONFIG_GLOBAL`, else the file below `XDG_CONFIG_HOME` and the one in the home directory, in that order.
fn global_files() -> Vec<PathBuf> {
    if let Some(file) = std::env::var_os("GIT_CONFIG_GLOBAL") {
        return vec![file.into()];
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let xdg = std::env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let xdg = xdg.or_else(|| home.as_ref().map(|home| home.join(".config")));
    xdg.map(|dir| dir.join("git/config")).into_iter().chain(home.map(|home| home.join(".gitconfig"))).collect()
}
