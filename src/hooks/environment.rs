//! The environment that git's programs and hooks count on.
//!
//! git sets these variables on itself before it starts anything. This program does not change its own environment; it
//! hands them to each child.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::trace;

/// Where programs are looked for if there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// `GIT_DIR`, which is `.` since children start in the git directory, and where an installed git was found,
/// `GIT_EXEC_PATH` with a `PATH` that it leads.
///
/// So a hook that says `git-rev-list` instead of `git rev-list` still works, as it does under git.
pub fn for_children() -> Vec<(OsString, OsString)> {
    let mut variables = vec![("GIT_DIR".into(), ".".into())];
    let traced = trace::for_children().into_iter().flatten();
    variables.extend(traced.map(|(name, value)| (name.into(), value.into())));
    if let Some(exec_path) = exec_path() {
        let inherited = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let mut path = exec_path.clone().into_vec();
        path.push(b':');
        path.extend_from_slice(inherited.as_bytes());
        variables.push(("GIT_EXEC_PATH".into(), exec_path));
        variables.push(("PATH".into(), OsString::from_vec(path)));
    }
    variables
}

/// `GIT_EXEC_PATH`, else the directory that belongs to the first `git` in `PATH`. That git is not started to ask it.
fn exec_path() -> Option<OsString> {
    if let Some(set) = env::var_os("GIT_EXEC_PATH").filter(|value| !value.is_empty()) {
        return Some(set);
    }
    gits().find_map(|git| belonging_to(&git)).map(PathBuf::into_os_string)
}

/// The exec path of the very `git` that is run when one is started, which `GIT_EXEC_PATH` does not change.
pub fn exec_path_of_first_git() -> Option<PathBuf> {
    belonging_to(&gits().find(|git| git.is_file())?)
}

/// Where `PATH` says that a git may be, in its order.
fn gits() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    env::split_paths(&path).map(|dir| dir.join("git")).collect::<Vec<_>>().into_iter()
}

/// The exec path of the program `git`, as `make install` and the distributions lay it out.
fn belonging_to(git: &Path) -> Option<PathBuf> {
    // To look is cheaper than to resolve, and most of `PATH` has none.
    let git = git.is_file().then(|| git.canonicalize().ok())??;
    let bin = git.parent()?;
    if bin.file_name() == Some(OsStr::new("git-core")) {
        return Some(bin.to_owned());
    }
    let prefix = bin.parent()?;
    ["libexec/git-core", "lib/git-core"].iter().map(|below| prefix.join(below)).find(|dir| dir.is_dir())
}
