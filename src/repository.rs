//! Which directory is pushed to, and what kind of repository it is.

use std::{ffi::OsString, path::PathBuf};

use bstr::BString;

/// The repository that a push goes to. All paths are absolute; the process's directory is [`git_dir`](Self::git_dir).
#[derive(Debug, Clone)]
pub struct Repository {
    /// The git directory: of a linked worktree, its own below `worktrees/`.
    pub git_dir: PathBuf,
    /// The directory that holds refs, configuration and hooks; differs from `git_dir` in a linked worktree only.
    pub common_dir: PathBuf,
    /// The work tree that belongs to `git_dir`, `None` in a bare repository.
    pub work_tree: Option<PathBuf>,
    /// Where objects are kept: `GIT_OBJECT_DIRECTORY`, else `objects` in the common directory.
    pub objects_dir: PathBuf,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES` as inherited, in its raw form (`:`-separated, parts possibly C-quoted).
    pub inherited_alternates: Option<OsString>,
    /// The directories that `inherited_alternates` lists.
    pub alternate_dirs: Vec<PathBuf>,
    /// The hash that names objects.
    pub hash: gix::hash::Kind,
    /// How refs are stored.
    pub ref_format: RefFormat,
    /// `refs/namespaces/<a>/refs/namespaces/<b>/` for `GIT_NAMESPACE=a/b`; empty without one.
    pub namespace: BString,
    /// The directory as the client named it, which the nonce of a push certificate is bound to.
    pub given: BString,
    /// An inherited `GIT_QUARANTINE_PATH`: this is a push from within a hook, which must not update refs.
    pub inside_quarantine: bool,
}

/// The `extensions.refStorage` of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefFormat {
    /// Loose files and packed-refs.
    Files,
    /// Any other that git itself must handle, by its name.
    Other(BString),
}
