//! Which objects the repository vouches for: the values of its refs, and those of its alternates' refs.

use std::{fs, path::Path};

use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;

use crate::{
    command::Command,
    refs::{snapshot::Snapshot, visibility::HiddenRefs},
    repository::Repository,
};

/// The values that whatever they reach is taken to be there for: of all refs that are not hidden, of HEAD in each
/// worktree, and of the alternates' refs.
pub struct Tips<'a> {
    /// The repository of the refs.
    pub repository: &'a Repository,
    /// Its refs.
    pub snapshot: &'a Snapshot,
    /// Those that do not count.
    pub hidden: &'a HiddenRefs,
    /// The ref tips of all alternates.
    pub alternates: &'a [ObjectId],
}

impl Tips<'_> {
    /// The value that the ref of `command` has now, whatever the client believes; `None` if it is hidden or not there.
    pub fn current(&self, command: &Command) -> Option<ObjectId> {
        let mut full = self.repository.namespace.clone();
        full.extend_from_slice(command.name());
        self.counts(full.as_ref()).then(|| self.snapshot.find(full.as_ref())).flatten()
    }

    /// Every value, in no order, some more than once.
    pub fn all(&self) -> impl Iterator<Item = ObjectId> {
        let refs = self.snapshot.entries().filter(|entry| self.counts(entry.name())).map(|entry| entry.id());
        refs.chain(self.alternates.iter().copied()).chain(self.heads()).filter(|id| !id.is_null())
    }

    fn counts(&self, full: &BStr) -> bool {
        let short = full.strip_prefix(self.repository.namespace.as_slice()).map(BStr::new);
        !self.hidden.is_hidden(short, full)
    }

    /// HEAD counts even where the branch that it names is hidden.
    fn heads(&self) -> Vec<ObjectId> {
        let worktrees = fs::read_dir(self.repository.common_dir.join("worktrees")).into_iter().flatten().flatten();
        let dirs = [self.repository.common_dir.clone(), self.repository.git_dir.clone()];
        dirs.into_iter().chain(worktrees.map(|entry| entry.path())).filter_map(|dir| self.head(&dir)).collect()
    }

    fn head(&self, git_dir: &Path) -> Option<ObjectId> {
        let content = BString::from(fs::read(git_dir.join("HEAD")).ok()?);
        match content.strip_prefix(b"ref:") {
            Some(name) => self.snapshot.find(name.trim().as_bstr()),
            None => ObjectId::from_hex(content.trim()).ok(),
        }
    }
}
