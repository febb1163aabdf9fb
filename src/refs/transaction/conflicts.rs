//! Names that exclude each other: no ref may be called like the directory of another.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Bound,
    os::unix::ffi::OsStrExt,
};

use bstr::{BStr, BString, ByteSlice};

use super::{Edit, Failure, Site, prepare::cannot_lock};
use crate::refs::{
    lock::remove_empty_tree,
    loose::{self, Loose},
    name,
    packed::Packed,
};

/// The names that a transaction is about.
pub(super) struct Taken {
    names: BTreeSet<BString>,
    /// What was ever a directory of one of them.
    directories: HashSet<BString>,
    /// A directory that no ref bars: names come sorted, those in one directory together.
    free: Option<BString>,
}

impl Taken {
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n BStr>) -> Self {
        let names: BTreeSet<BString> = names.map(BStr::to_owned).collect();
        let (mut directories, mut last) = (HashSet::new(), None);
        for name in &names {
            let parent = name::prefixes(name.as_ref()).last();
            if parent != last {
                directories.extend(name::prefixes(name.as_ref()).map(BStr::to_owned));
                last = parent;
            }
        }
        Taken { names, directories, free: None }
    }

    /// One that was refused bars nobody.
    pub(super) fn remove(&mut self, name: &BStr) {
        self.names.remove(name.as_bytes().as_bstr());
    }

    /// Whether the ref `name` may be created beside the others.
    pub(super) fn check(&self, name: &BStr) -> Result<(), Failure> {
        if let Some(prefix) = self.prefix_of(name) {
            return Err(at_the_same_time(prefix, name));
        }
        self.check_below(name)
    }

    fn check_below(&self, name: &BStr) -> Result<(), Failure> {
        self.below(name).map_or(Ok(()), |below| Err(at_the_same_time(name, below)))
    }

    fn prefix_of<'n>(&self, name: &'n BStr) -> Option<&'n BStr> {
        name::prefixes(name).find(|prefix| self.names.contains(prefix.as_bytes().as_bstr()))
    }

    fn below(&self, name: &BStr) -> Option<&BStr> {
        if !self.directories.contains(name.as_bytes().as_bstr()) {
            return None;
        }
        let start = directory(name);
        let range = (Bound::Included(start.as_bstr()), Bound::Unbounded);
        let first = self.names.range::<BStr, _>(range).next()?;
        first.starts_with(&start).then_some(first.as_ref())
    }
}

/// Whether the ref `name`, which is locked and does not exist, may be created beside all others; its path may be `held` for it.
pub(super) fn check(
    name: &BStr,
    edit: &Edit,
    held: bool,
    packed: Option<&Packed>,
    taken: &mut Taken,
    site: Site<'_>,
) -> Result<(), Failure> {
    let blocked = !held && !remove_empty_tree(&site.paths.loose(name));
    if blocked && let Some(failure) = ref_below(name, edit, site) {
        return Err(failure);
    }
    let parent = name::prefixes(name).last();
    let is_free = taken.free.as_ref().map(|free| free.as_bstr()) == parent;
    if let Some(packed) = packed {
        let unreadable = |err: anyhow::Error| Failure::general(cannot_lock(edit, format!("{err:#}")));
        for prefix in name::prefixes(name).filter(|_| !is_free) {
            if packed.find(prefix).map_err(unreadable)?.is_some() {
                return Err(Failure::conflict(exists(prefix, name)));
            }
        }
        let start = directory(name);
        let next =
            packed.lines_from(start.as_ref()).and_then(|mut lines| lines.next().transpose()).map_err(unreadable)?;
        if let Some(line) = next.filter(|line| line.name.starts_with(&start)) {
            return Err(Failure::conflict(exists(line.name, name)));
        }
    }
    if is_free {
        taken.check_below(name)?;
    } else {
        taken.check(name)?;
        taken.free = parent.map(BStr::to_owned);
    }
    if blocked { Err(blocking(name, edit, site)) } else { Ok(()) }
}

/// Why no directory could be made for the lock of ref `name`.
pub(super) fn in_the_way(name: &BStr, edit: &Edit, locked: &HashSet<BString>, site: Site<'_>) -> Failure {
    for prefix in name::prefixes(name) {
        if loose::read_ref(site.repository, prefix) != Loose::Absent {
            return Failure::conflict(cannot_lock(edit, exists(prefix, name)));
        }
        if site.paths.loose(prefix).symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
            return match locked.contains(prefix.as_bytes().as_bstr()) {
                true => at_the_same_time(prefix, name),
                false => Failure::conflict(cannot_lock(edit, is_being_created(prefix, name))),
            };
        }
    }
    Failure::general(cannot_lock(edit, words!("there is no directory for '", name, "'")))
}

/// Why the path of the ref `name` could not be occupied.
pub(super) fn below(name: &BStr, edit: &Edit, site: Site<'_>) -> Failure {
    ref_below(name, edit, site).unwrap_or_else(|| blocking(name, edit, site))
}

fn ref_below(name: &BStr, edit: &Edit, site: Site<'_>) -> Option<Failure> {
    let found = first_file_below(name, site)?;
    let why = match loose::read_ref(site.repository, found.as_ref()) {
        Loose::Absent => is_being_created(found.as_ref(), name),
        _ => exists(found.as_ref(), name),
    };
    Some(Failure::conflict(cannot_lock(edit, why)))
}

/// The first name in the directory of loose ref `name`, and those below it, that is no lock.
fn first_file_below(name: &BStr, site: Site<'_>) -> Option<BString> {
    let mut entries: Vec<_> = std::fs::read_dir(site.paths.loose(name)).ok()?.flatten().collect();
    entries.sort_unstable_by_key(|entry| entry.file_name());
    entries.into_iter().find_map(|entry| {
        let mut below = directory(name);
        below.extend_from_slice(entry.file_name().as_bytes());
        match entry.file_type().ok()?.is_dir() {
            true => first_file_below(below.as_ref(), site),
            false => (!below.ends_with(b".lock")).then_some(below),
        }
    })
}

pub(super) fn blocking(name: &BStr, edit: &Edit, site: Site<'_>) -> Failure {
    let path = site.paths.loose(name);
    let path = path.as_os_str().as_bytes();
    let why = words!("there is a non-empty directory '", path, "' blocking reference '", name, "'");
    Failure::conflict(cannot_lock(edit, why))
}

fn at_the_same_time(a: &BStr, b: &BStr) -> Failure {
    Failure::conflict(words!("cannot process '", a, "' and '", b, "' at the same time"))
}

pub(super) fn exists(existing: &BStr, name: &BStr) -> BString {
    words!("'", existing, "' exists; cannot create '", name, "'")
}

fn is_being_created(other: &BStr, name: &BStr) -> BString {
    words!("'", other, "' is being created; cannot create '", name, "'")
}

/// What names below `name` start with.
pub(super) fn directory(name: &BStr) -> BString {
    let mut directory = name.to_owned();
    directory.push(b'/');
    directory
}
