//! All refs of a repository as one reading finds them: packed-refs and loose refs merged, symbolic refs resolved.

use std::{
    cmp::Ordering,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use bstr::{BStr, BString, ByteSlice};
use gix::ObjectId;

use super::{
    loose::{self, Loose},
    name,
    packed::{Checked, CheckedLines, Packed},
};
use crate::repository::{RefFormat, Repository};

/// How many files a symbolic ref may take to read, itself included.
const MAX_READS: usize = 5;

/// All refs below `refs/`, and what else packed-refs lists.
pub struct Snapshot {
    /// In byte order of the name.
    loose: Vec<LooseLine>,
    packed: Option<Checked>,
    hash: gix::hash::Kind,
}

/// A loose ref, as packed-refs would have it.
struct LooseLine {
    line: Vec<u8>,
    hex_len: usize,
    /// A symbolic ref that leads nowhere, which hides a packed ref of the same name.
    leads_nowhere: bool,
}

/// One ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    line: &'a [u8],
    hex_len: usize,
}

impl<'a> Entry<'a> {
    /// The full name.
    pub fn name(&self) -> &'a BStr {
        self.line[self.hex_len + 1..self.line.len() - 1].as_bstr()
    }

    /// The value in hex, in lower case; null where the ref cannot be parsed or its name is malformed.
    pub fn hex(&self) -> &'a [u8] {
        &self.line[..self.hex_len]
    }

    /// Both as they are advertised and packed: `<hex> SP <name> LF`.
    pub fn line(&self) -> &'a [u8] {
        self.line
    }

    /// The value.
    pub fn id(&self) -> ObjectId {
        // Both sources of entries give well-formed hex only.
        let hash = gix::hash::Kind::from_hex_len(self.hex_len).unwrap_or(gix::hash::Kind::Sha1);
        ObjectId::from_hex(self.hex()).unwrap_or_else(|_| hash.null())
    }
}

impl LooseLine {
    fn new(name: &BStr, id: Option<ObjectId>, hash: gix::hash::Kind) -> Self {
        let hex = id.unwrap_or(hash.null()).to_hex().to_string();
        let line = [hex.as_bytes(), b" ", name, b"\n"].concat();
        LooseLine { line, hex_len: hex.len(), leads_nowhere: id.is_none() }
    }

    fn entry(&self) -> Entry<'_> {
        Entry { line: &self.line, hex_len: self.hex_len }
    }
}

impl Snapshot {
    /// Read all refs of `repository`.
    ///
    /// Loose refs come first and packed-refs is opened after them, so that a ref which `git pack-refs` moves meanwhile is
    /// met in at least one place: it is in the new packed-refs before its loose file goes.
    pub fn read(repository: &Repository) -> Result<Self> {
        Self::read_after(repository, None)
    }

    /// The refs as they are now. packed-refs is not looked at again if it is still the same file.
    pub fn refresh(self, repository: &Repository) -> Result<Self> {
        Self::read_after(repository, self.packed)
    }

    fn read_after(repository: &Repository, known: Option<Checked>) -> Result<Self> {
        let hash = repository.hash;
        if let RefFormat::Other(format) = &repository.ref_format {
            return Self::read_with_git(repository)
                .with_context(|| format!("cannot read the refs, which are stored as {format}"));
        }
        let found = loose::scan(repository)?;
        let packed = match known.filter(Checked::is_current) {
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
        Ok(Snapshot { loose, packed, hash })
    }

    /// All refs in byte order of their full names, symbolic refs as what they lead to, those that lead nowhere left out.
    pub fn entries(&self) -> Entries<'_> {
        let packed = self.packed.as_ref().map(Checked::lines).unwrap_or_default();
        Entries { loose: &self.loose, next_packed: None, packed, hex_len: self.hash.len_in_hex() }
    }

    /// How many refs were read, those that others hide and that lead nowhere included.
    pub fn count(&self) -> usize {
        self.loose.len() + self.packed.as_ref().map_or(0, Checked::count)
    }

    /// The value of the ref of the full name `full`: null where it cannot be parsed; `None` where there is none or it leads
    /// nowhere.
    pub fn find(&self, full: &BStr) -> Option<ObjectId> {
        if let Ok(at) = self.loose.binary_search_by(|loose| loose.entry().name().cmp(full)) {
            return Some(&self.loose[at]).filter(|loose| !loose.leads_nowhere).map(|loose| loose.entry().id());
        }
        self.packed.as_ref()?.find(full).ok()?
    }

    /// The hash that the values are of.
    pub fn hash(&self) -> gix::hash::Kind {
        self.hash
    }

    fn read_with_git(repository: &Repository) -> Result<Self> {
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
        let packed =
            Packed::from_content(output.stdout, PathBuf::from("the output of 'git for-each-ref'"), repository.hash)?;
        Ok(Snapshot { loose: Vec::new(), packed: Some(Checked::new(packed, repository.hash)?), hash: repository.hash })
    }
}

/// See [`Snapshot::entries`].
pub struct Entries<'a> {
    loose: &'a [LooseLine],
    /// What was taken from `packed` to be compared with a loose ref.
    next_packed: Option<&'a [u8]>,
    packed: CheckedLines<'a>,
    hex_len: usize,
}

impl<'a> Entries<'a> {
    #[inline]
    fn take_packed(&mut self) -> Option<Entry<'a>> {
        let line = match self.next_packed.take() {
            None => self.packed.next()?,
            Some(line) => line,
        };
        Some(Entry { line, hex_len: self.hex_len })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some((loose, others)) = self.loose.split_first() {
            if let Some(packed) = self.take_packed() {
                match packed.name().cmp(loose.entry().name()) {
                    Ordering::Less => return Some(packed),
                    // The loose ref hides it.
                    Ordering::Equal => {}
                    Ordering::Greater => self.next_packed = Some(packed.line),
                }
            }
            self.loose = others;
            if !loose.leads_nowhere {
                return Some(loose.entry());
            }
        }
        self.take_packed()
    }
}

fn open_packed(repository: &Repository) -> Result<Option<Checked>> {
    let path = repository.common_dir.join("packed-refs");
    Packed::open(path, repository.hash)?.map(|packed| Checked::new(packed, repository.hash)).transpose()
}

/// What the ref `name` leads to, looking at no more than `reads` refs; `None` if that is nowhere.
fn follow(
    repository: &Repository,
    packed: Option<&Checked>,
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
                let id = packed.map(|packed| packed.find(name.as_ref())).transpose()?.flatten();
                return Ok(id.filter(|id| !id.is_null()));
            }
        }
    }
    Ok(None)
}
