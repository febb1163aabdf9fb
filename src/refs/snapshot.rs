//! All refs of a repository as one reading finds them: packed-refs and loose refs merged, symbolic refs resolved.

use std::{
    cmp::Ordering,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;

use super::{
    entry::Entry,
    loose::{self, Loose},
    name,
    packed::{Checked, Packed},
    reftable::Reftables,
    scan,
    symbolic::MAX_READS,
};
use crate::repository::{RefFormat, Repository};

/// How long to read all refs takes at most, where they are not many.
const MOMENT: Duration = Duration::from_millis(20);

/// All refs below `refs/`, and what else packed-refs lists. Those of reftables are held as if they were packed.
pub struct Snapshot {
    /// In byte order of the name.
    loose: Vec<LooseLine>,
    packed: Option<Packed>,
    hash: gix::hash::Kind,
    /// When it was read.
    read: Instant,
    /// How long that took.
    took: Duration,
}

/// A loose ref, as packed-refs would have it.
struct LooseLine {
    line: Vec<u8>,
    hex_len: usize,
    /// A symbolic ref that leads nowhere, which hides a packed ref of the same name.
    leads_nowhere: bool,
}

impl LooseLine {
    fn new(name: &BStr, id: Option<ObjectId>, hash: gix::hash::Kind) -> Self {
        let hex = id.unwrap_or(hash.null()).to_hex().to_string();
        let line = [hex.as_bytes(), b" ", name, b"\n"].concat();
        LooseLine { line, hex_len: hex.len(), leads_nowhere: id.is_none() }
    }

    fn entry(&self) -> Entry<'_> {
        Entry::plain(&self.line, self.hex_len)
    }
}

impl Snapshot {
    /// Read all refs of `repository`.
    ///
    /// Loose refs come first and packed-refs is opened after them, so that a ref which `git pack-refs` moves meanwhile is
    /// met in at least one place: it is in the new packed-refs before its loose file goes.
    ///
    /// The lines of packed-refs are looked at when they are met; whoever does not list them all calls [`check`](Self::check).
    pub fn read(repository: &Repository) -> Result<Self> {
        Ok(Self::read_after(repository, None)?.0)
    }

    /// The refs as they are now. packed-refs is not looked at again if it is still the same file.
    pub fn refresh(self, repository: &Repository) -> Result<Self> {
        let (now, is_same_file) = Self::read_after(repository, self.packed)?;
        if !is_same_file {
            now.check()?;
        }
        Ok(now)
    }

    /// True if what it tells is older than a reading can be: the first ref of it was read long before the last one.
    pub fn is_old(&self) -> bool {
        self.read.elapsed() > self.took.clamp(MOMENT, 10 * MOMENT)
    }

    /// Fails if there is a malformed line in packed-refs.
    pub fn check(&self) -> Result<()> {
        let mut entries = self.entries();
        entries.by_ref().for_each(drop);
        entries.finish()
    }

    fn new(loose: Vec<LooseLine>, packed: Option<Packed>, hash: gix::hash::Kind, begun: Instant) -> Self {
        Snapshot { loose, packed, hash, read: Instant::now(), took: begun.elapsed() }
    }

    /// With whether packed-refs is the `known` file.
    fn read_after(repository: &Repository, known: Option<Packed>) -> Result<(Self, bool)> {
        let (hash, begun) = (repository.hash, Instant::now());
        if repository.ref_format == RefFormat::Reftable {
            let packed = match Reftables::open(repository).and_then(Reftables::lines) {
                Some(lines) => Packed::from_sorted(lines, repository.common_dir.join("reftable"), hash),
                None => read_with_git(repository).context("cannot read the refs, which are stored as reftable")?,
            };
            return Ok((Snapshot::new(Vec::new(), Some(packed), hash, begun), false));
        }
        let found = scan::scan(repository)?;
        let same = known.filter(Packed::is_current);
        let is_same_file = same.is_some();
        let packed = match same {
            Some(same) => Some(same),
            None => open_packed(repository)?,
        };
        let mut loose = Vec::with_capacity(found.len());
        for (name, value) in found {
            let id = match value {
                Loose::Id(id) => Some(id),
                Loose::Symbolic(target) => follow(repository, packed.as_ref(), target, MAX_READS - 1)?,
                Loose::Broken | Loose::Absent => Some(hash.null()),
            };
            loose.push(LooseLine::new(name.as_ref(), id, hash));
        }
        Ok((Snapshot::new(loose, packed, hash, begun), is_same_file))
    }

    /// All refs in byte order of their full names, symbolic refs as what they lead to, those that lead nowhere left out. A
    /// malformed line of packed-refs ends it, see [`finish`](Entries::finish).
    pub fn entries(&self) -> Entries<'_> {
        let packed = self.packed.as_ref().map(Checked::new).unwrap_or_default();
        Entries { loose: &self.loose, next_packed: None, packed }
    }

    /// How many bytes the lines of all refs take, those included that others hide and that lead nowhere.
    pub fn size(&self) -> usize {
        let loose: usize = self.loose.iter().map(|loose| loose.line.len()).sum();
        loose + self.packed.as_ref().map_or(0, |packed| packed.body().len())
    }

    /// The value of the ref of the full name `full`: null where it cannot be parsed; `None` where there is none or it leads
    /// nowhere.
    pub fn find(&self, full: &BStr) -> Option<ObjectId> {
        if let Ok(at) = self.loose.binary_search_by(|loose| loose.entry().name().cmp(full)) {
            return Some(&self.loose[at]).filter(|loose| !loose.leads_nowhere).map(|loose| loose.entry().id());
        }
        find_packed(self.packed.as_ref(), full).ok()?
    }

    /// The hash that the values are of.
    pub fn hash(&self) -> gix::hash::Kind {
        self.hash
    }
}

/// See [`Snapshot::entries`].
pub struct Entries<'a> {
    loose: &'a [LooseLine],
    /// What was taken from `packed` to be compared with a loose ref.
    next_packed: Option<Entry<'a>>,
    packed: Checked<'a>,
}

impl<'a> Entries<'a> {
    /// Fails if a malformed line of packed-refs was met, which was the end.
    pub fn finish(self) -> Result<()> {
        self.packed.finish()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let packed = match self.next_packed.take() {
                None => self.packed.next(),
                taken => taken,
            };
            let Some((loose, others)) = self.loose.split_first() else { return packed };
            if let Some(packed) = packed {
                match packed.name().cmp(loose.entry().name()) {
                    Ordering::Less => return Some(packed),
                    // The loose ref hides it.
                    Ordering::Equal => {}
                    Ordering::Greater => self.next_packed = Some(packed),
                }
            }
            self.loose = others;
            if !loose.leads_nowhere {
                return Some(loose.entry());
            }
        }
    }
}

fn read_with_git(repository: &Repository) -> Result<Packed> {
    let output = Command::new("git")
        .args(["for-each-ref", "--format=%(objectname) %(refname)"])
        .current_dir(&repository.git_dir)
        .env("GIT_DIR", &repository.git_dir)
        .stdin(Stdio::null())
        .output()
        .context("cannot run 'git for-each-ref'")?;
    // It warns of symbolic refs that lead nowhere, which are nobody's concern here.
    if !output.status.success() {
        bail!("'git for-each-ref' failed: {}", output.stderr.trim_end().as_bstr());
    }
    Packed::from_content(output.stdout, PathBuf::from("the output of 'git for-each-ref'"), repository.hash)
}

fn open_packed(repository: &Repository) -> Result<Option<Packed>> {
    Packed::open(repository.common_dir.join("packed-refs"), repository.hash)
}

fn find_packed(packed: Option<&Packed>, name: &BStr) -> Result<Option<ObjectId>> {
    let line = packed.map(|packed| packed.find(name)).transpose()?.flatten();
    match line {
        // As where all refs are listed.
        Some(line) if !name::is_well_formed_one_level(name) => Ok(Some(line.id()?.kind().null())),
        Some(line) => Ok(Some(line.id()?)),
        None => Ok(None),
    }
}

/// What the ref `name` leads to, looking at no more than `reads` refs; `None` if that is nowhere.
fn follow(
    repository: &Repository,
    packed: Option<&Packed>,
    mut name: BString,
    reads: usize,
) -> Result<Option<ObjectId>> {
    for _ in 0..reads {
        if !name::is_well_formed_one_level(name.as_ref()) {
            return Ok(None);
        }
        match loose::read_ref(repository, name.as_ref()) {
            Loose::Id(id) => return Ok((!id.is_null()).then_some(id)),
            Loose::Symbolic(target) => name = target,
            Loose::Broken => return Ok(None),
            Loose::Absent => {
                let id = find_packed(packed, name.as_ref())?;
                return Ok(id.filter(|id| !id.is_null()));
            }
        }
    }
    Ok(None)
}
