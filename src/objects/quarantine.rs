//! Where the objects of a push wait until the push is accepted: a directory that no other process looks into.
//!
//! It lies inside the object directory, so that moving its files out is a rename, and under a name that `git prune`
//! knows, so that one left behind by a power failure goes away some day: but in balanced mode, where it must outlast a vote
//! and a recovery knows it. Dropping it removes everything in it.
//!
//! Outside of balanced mode it is made when it is first needed: by a hook, by a pack, or by more loose objects than may be
//! [`Held`] in memory. Most pushes do without: a directory that is made to be removed costs more than all else that they do.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result};
use gix::{ObjectId, objs::Kind, oid};
use nix::{
    fcntl::{Flock, FlockArg},
    unistd::{AccessFlags, access},
};

use super::{held::Held, loose, recent::Recent, spelled::spelled, staged::Staged};
use crate::{
    balanced::transaction_id::TransactionId,
    config::{Config, Fsync, SharedRepository},
    interrupt::{Doomed, Interrupts},
    objects::shallow::for_hooks,
    repository::Repository,
    shared_mode::create_dir,
};

/// What the name of a quarantine begins with that nobody has locked yet.
const UNFINISHED: &str = "tmp_objdir-";

/// The objects of one push, kept apart from the repository's.
#[derive(Debug)]
pub struct Quarantine {
    pub(super) objects_dir: PathBuf,
    pub(super) interrupts: Interrupts,
    pub(super) shared: SharedRepository,
    pub(super) fsync: Fsync,
    /// Objects that are not in the directory, as long as there is none.
    pub(super) held: Arc<Held>,
    /// What was read of the repository's own, unless a vote may take its time.
    pub(super) recent: Option<Arc<Recent>>,
    /// What is held, in files that are to be moved in.
    pub(super) staged: Option<Staged>,
    directory: OnceLock<Directory>,
    /// How children are to name the object directory, and the alternates that they are to add.
    spelled: (OsString, OsString),
    /// Variables that go with those.
    added: Vec<(&'static str, OsString)>,
    /// True if the objects in it were seen to name none but each other.
    pub is_closed: bool,
}

/// The directory of a quarantine, which goes with this value.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    interrupts: Interrupts,
    /// `None` once it is to stay.
    doomed: Option<Doomed>,
    /// Shows, where the name does not have git's meaning, that somebody lives who uses it.
    _owned: Option<Flock<File>>,
}

impl Quarantine {
    /// An empty one. It and all it holds goes when the value is dropped or a signal ends the process.
    ///
    /// Fails if nothing can be made in the object directory: that is the moment when git says so.
    pub fn create(repository: &Repository, config: &Config, interrupts: &Interrupts) -> Result<Self> {
        let mut this = Self::new(repository, config, interrupts);
        this.recent = Some(Arc::default());
        access(&this.objects_dir, AccessFlags::W_OK | AccessFlags::X_OK).with_context(|| this.cannot_create())?;
        Ok(this)
    }

    /// Make one for a transaction that is to be voted upon: no `git prune` takes it, however long the vote lasts.
    ///
    /// It is locked (flock) for as long as this process lives, and never found unlocked under its name.
    pub fn create_for(
        id: &TransactionId,
        repository: &Repository,
        config: &Config,
        interrupts: &Interrupts,
    ) -> Result<Self> {
        let this = Self::new(repository, config, interrupts);
        let objects_dir = &this.objects_dir;
        let dir = objects_dir.join(name_for(id));
        let unfinished = objects_dir.join(unfinished_name_for(id));
        let held_off = interrupts.hold_off();
        let make = || -> io::Result<_> {
            DirBuilder::new().mode(0o700).create(&unfinished)?;
            let doomed = (interrupts.doom(unfinished.clone()), interrupts.doom(dir.clone()));
            let owned = Flock::lock(File::open(&unfinished)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
            fs::rename(&unfinished, &dir)?;
            Ok((doomed.1, owned))
        };
        let mut made = make();
        for _ in 0..10 {
            // Before it is locked, whoever clears away may take it for what a dead process left.
            match &made {
                Err(err) if err.kind() == ErrorKind::NotFound => made = make(),
                _ => break,
            }
        }
        if made.is_err() {
            fs::remove_dir(&unfinished).ok();
        }
        drop(held_off);
        let (doomed, owned) = made.with_context(|| this.cannot_create())?;
        this.enter(Directory { path: dir, interrupts: interrupts.clone(), doomed: Some(doomed), _owned: Some(owned) })?;
        Ok(this)
    }

    /// Take over the one that a dead process left at `dir`, which stays when the value is dropped.
    pub fn adopt(dir: PathBuf, repository: &Repository, config: &Config, interrupts: &Interrupts) -> Result<Self> {
        let mut this = Self::new(repository, config, interrupts);
        let roots = dir.join(for_hooks::IN_QUARANTINE);
        this.enter(Directory { path: dir, interrupts: interrupts.clone(), doomed: None, _owned: None })?;
        if roots.exists() {
            this.added.push((for_hooks::VARIABLE, roots.into_os_string()));
        }
        Ok(this)
    }

    fn new(repository: &Repository, config: &Config, interrupts: &Interrupts) -> Self {
        Quarantine {
            objects_dir: repository.objects_dir.clone(),
            interrupts: interrupts.clone(),
            shared: config.shared_repository,
            fsync: config.fsync,
            held: Arc::default(),
            recent: None,
            staged: None,
            directory: OnceLock::new(),
            spelled: spelled(repository),
            added: Vec::new(),
            is_closed: false,
        }
    }

    /// The directory: an object directory like any other, with loose objects and `pack/`. Made now, if it was not needed before.
    pub fn dir(&self) -> Result<&Path> {
        if let Some(directory) = self.directory.get() {
            return Ok(&directory.path);
        }
        // There is something to be removed now, and more to come.
        self.interrupts.listen();
        let held_off = self.interrupts.hold_off();
        let path = tempfile::Builder::new()
            .prefix("tmp_objdir-incoming-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&self.objects_dir)
            .with_context(|| self.cannot_create())?
            .keep();
        let doomed = self.interrupts.doom(path.clone());
        drop(held_off);
        let dir =
            self.enter(Directory { path, interrupts: self.interrupts.clone(), doomed: Some(doomed), _owned: None })?;
        self.held.write(|id, file| self.write(id, file))?;
        Ok(dir)
    }

    /// The directory, if there is one.
    pub(super) fn made(&self) -> Option<&Path> {
        self.directory.get().map(|directory| directory.path.as_path())
    }

    fn enter(&self, directory: Directory) -> Result<&Path> {
        let dir = &self.directory.get_or_init(|| directory).path;
        let adjusted = self.shared.adjust(dir);
        adjusted.with_context(|| format!("cannot set the permissions of '{}'", dir.display()))?;
        Ok(dir)
    }

    /// Take in object `id` of that `content`, whose loose object is to be `file`.
    pub(super) fn add(&self, id: &ObjectId, kind: Kind, content: &[u8], file: &[u8]) -> Result<()> {
        if self.made().is_none() && self.held.add(*id, kind, content, file) {
            return Ok(());
        }
        self.write(id, file)
    }

    /// All is there that the push brings, and found to be sound: write down what is only in memory.
    pub fn stage(&mut self) -> Result<()> {
        if self.made().is_none() && self.staged.is_none() {
            match Staged::write(self) {
                Ok(staged) => self.staged = Some(staged),
                // What is wrong shows there too, or does not matter before the objects are moved in.
                Err(_) => drop(self.dir()?),
            }
        }
        Ok(())
    }

    /// True if the objects have a directory of their own.
    pub fn is_made(&self) -> bool {
        self.made().is_some()
    }

    fn write(&self, id: &oid, content: &[u8]) -> Result<()> {
        let Some((path, mut file)) = self.create_file(id)? else { return Ok(()) };
        file.write_all(content).with_context(|| format!("cannot write '{}'", path.display()))?;
        self.seal(&path, &file)
    }

    /// The file that the loose object `id` goes to; `None` if it is there already.
    pub(super) fn create_file(&self, id: &oid) -> Result<Option<(PathBuf, File)>> {
        let path = loose::path(self.dir()?, id);
        let create = || File::options().write(true).create_new(true).mode(0o444).open(&path);
        let created = create().or_else(|err| match path.parent() {
            Some(dir) if err.kind() == ErrorKind::NotFound => create_dir(dir, self.shared).and_then(|()| create()),
            _ => Err(err),
        });
        match created {
            Ok(file) => Ok(Some((path, file))),
            // Twice in the pack: nobody else writes here.
            Err(err) if err.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(err) => Err(err).with_context(|| format!("cannot create '{}'", path.display())),
        }
    }

    /// The loose object in the file at `path` is complete.
    pub(super) fn seal(&self, path: &Path, file: &File) -> Result<()> {
        let sealed = || -> io::Result<()> {
            self.shared.adjust(path)?;
            if self.fsync.loose_objects { file.sync_all() } else { Ok(()) }
        };
        sealed().with_context(|| format!("cannot write '{}'", path.display()))
    }

    /// The variables that let a hook's git see the new objects beside the repository's own: `GIT_QUARANTINE_PATH`,
    /// which also forbids it to update refs, `GIT_OBJECT_DIRECTORY` and `GIT_ALTERNATE_OBJECT_DIRECTORIES` (git(1)).
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let (objects, alternates) = &self.spelled;
        let mut own = objects.clone();
        own.push("/");
        own.push(self.dir()?.file_name().unwrap_or_default());
        let mut variables = vec![
            ("GIT_OBJECT_DIRECTORY", own.clone()),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternates.clone()),
            ("GIT_QUARANTINE_PATH", own),
        ];
        variables.extend(self.added.iter().cloned());
        Ok(variables)
    }

    /// The same without the one that forbids to update refs: for a git that is to do just that.
    pub fn variables_for_objects(&self) -> Result<Vec<(&'static str, OsString)>> {
        let variables = self.environment()?.into_iter();
        Ok(variables.filter(|(name, _)| *name != "GIT_QUARANTINE_PATH").collect())
    }

    /// Show these roots of a shallow history to hooks, for as long as they are shown the objects.
    pub fn show_roots(&mut self, content: &[u8]) -> Result<()> {
        let path = self.dir()?.join(for_hooks::IN_QUARANTINE);
        let written = fs::write(&path, content).and_then(|()| self.shared.adjust(&path));
        written.with_context(|| format!("cannot write '{}'", path.display()))?;
        self.added.push((for_hooks::VARIABLE, path.into_os_string()));
        Ok(())
    }

    /// Leave it where it is, for a recovery to find.
    pub fn leave(mut self) {
        if let Some(directory) = self.directory.get_mut() {
            directory.doomed = None;
        }
    }

    fn cannot_create(&self) -> String {
        format!("cannot create a quarantine directory in '{}'", self.objects_dir.display())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A guard of its packs that could not be removed is known by its twin in here.
        if let Some(doomed) = self.doomed.take().filter(|_| !self.interrupts.has_left()) {
            doomed.remove(&self.path, |path| fs::remove_dir_all(path));
        }
    }
}

/// What the quarantine of transaction `id` is called in the object directory.
pub fn name_for(id: &TransactionId) -> String {
    format!("incoming-{id}")
}

/// What it is called for the moment before it is locked: something that git clears away too, after two weeks.
fn unfinished_name_for(id: &TransactionId) -> String {
    format!("{UNFINISHED}{}", name_for(id))
}

/// The transaction whose quarantine is called so, or was about to be.
pub fn named_by(name: &OsStr) -> Option<TransactionId> {
    let name = name.to_str()?;
    TransactionId::of_file(name.strip_prefix(UNFINISHED).unwrap_or(name).strip_prefix("incoming-")?)
}
