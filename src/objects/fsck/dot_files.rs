//! The blobs that some tree names `.gitmodules` or `.gitattributes`: their content is checked when it comes by, or read again
//! at the end where it came before the tree.

use std::{
    ops::ControlFlow,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Result, bail};
use gix::{ObjectId, hashtable::HashSet, objs::Kind, oid};

use super::{
    Fsck, gitattributes, gitmodules,
    mentions::bucket,
    message::Message,
    report::{DotFile, Report},
};
use crate::objects::database::Database;

/// What trees named so far.
#[derive(Default)]
pub struct DotFiles {
    /// Nearly every blob is asked about, nearly always while there are none.
    any: AtomicBool,
    sets: Mutex<Sets>,
}

#[derive(Default)]
struct Sets {
    modules: Named,
    attributes: Named,
}

/// The blobs of one name.
#[derive(Default)]
struct Named {
    all: HashSet<ObjectId>,
    checked: HashSet<ObjectId>,
}

/// As what a blob is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    modules: bool,
    attributes: bool,
}

impl DotFiles {
    /// Note what a tree names.
    pub fn add(&self, named: &[(DotFile, ObjectId)]) {
        if named.is_empty() {
            return;
        }
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, id) in named {
            sets.of(*file).all.insert(*id);
        }
        self.any.store(true, Ordering::Release);
    }

    /// As what blob `id` is to be checked, now that its content is at hand; `None` if nothing named it yet.
    pub fn take(&self, id: &oid) -> Option<Roles> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let roles = Roles { modules: sets.modules.take(id), attributes: sets.attributes.take(id) };
        (roles.modules || roles.attributes).then_some(roles)
    }

    /// Those whose content did not come by, in the order in which git reads them.
    fn left(&self, file: DotFile) -> Vec<ObjectId> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let named = sets.of(file);
        let mut left = named.all.difference(&named.checked).copied().collect::<Vec<_>>();
        // git goes through a hash table that is filled up to 77 percent.
        let mut size = 4u32;
        while f64::from(size) * 0.77 + 0.5 < named.all.len() as f64 {
            size *= 2;
        }
        left.sort_unstable_by_key(|id| (bucket(id, size), *id));
        left
    }
}

impl Sets {
    fn of(&mut self, file: DotFile) -> &mut Named {
        match file {
            DotFile::Modules => &mut self.modules,
            DotFile::Attributes => &mut self.attributes,
        }
    }
}

impl Named {
    fn take(&mut self, id: &oid) -> bool {
        let is_named = self.all.contains(id);
        if is_named {
            self.checked.insert(id.to_owned());
        }
        is_named
    }
}

/// Check the blob that `report` is about in its `roles`; `None` stands for content that is too large to be looked at.
pub fn check(roles: Roles, data: Option<&[u8]>, report: &mut Report<'_>) -> ControlFlow<()> {
    let modules = if roles.modules { gitmodules::check(data, report) } else { ControlFlow::Continue(()) };
    let attributes = if roles.attributes { gitattributes::check(data, report) } else { ControlFlow::Continue(()) };
    if modules.is_break() { modules } else { attributes }
}

impl Fsck<'_> {
    /// Check the blobs that came before a tree named them, or that did not come at all. They are looked for in `database`,
    /// and read up to a size of `limit` bytes. A `.gitmodules` that is nowhere counts only `if_missing`.
    pub fn check_dot_files(&self, database: &Database, limit: u64, if_missing: bool) -> Result<()> {
        let mut report = Report::new(&self.rules);
        let mut refused = false;
        let mut data = Vec::new();
        for file in [DotFile::Modules, DotFile::Attributes] {
            let (name, missing, no_blob) = match file {
                DotFile::Modules => (".gitmodules", Message::GitmodulesMissing, Message::GitmodulesBlob),
                DotFile::Attributes => (".gitattributes", Message::GitattributesMissing, Message::GitattributesBlob),
            };
            for id in self.dot_files.left(file) {
                report.begin(&id);
                let verdict = match database.header(&id)? {
                    None if file == DotFile::Modules && !if_missing => ControlFlow::Continue(()),
                    None => report.found(missing, format!("unable to read {name} blob")),
                    Some((Kind::Blob, size)) => match self.dot_files.take(&id) {
                        Some(roles) if size > limit => check(roles, None, &mut report),
                        Some(roles) => {
                            database.find(&id, &mut data)?;
                            check(roles, Some(&data), &mut report)
                        }
                        None => ControlFlow::Continue(()),
                    },
                    Some(_) => report.found(no_blob, format!("non-blob found at {name}")),
                };
                refused |= verdict.is_break();
                self.tell(&report.lines);
            }
        }
        if refused {
            bail!("fsck error in pack objects");
        }
        Ok(())
    }
}
