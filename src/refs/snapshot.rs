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
    packed::Packed,
};
use crate::repository::{RefFormat, Repository};

/// How many files a symbolic ref may take to read, itself included.
const MAX_READS: usize = 5;

/// All refs below `refs/`, and what else packed-refs lists.
pub struct Snapshot {
    /// In byte order of the name; `None` for a symbolic ref that leads nowhere, which hides a packed ref of the same name.
    loose: Vec<(BString, Option<Hex>)>,
    /// Checked: every line is well formed, and its hex what is advertised.
    packed: Option<Packed>,
    hash: gix::hash::Kind,
}

/// One ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The full name.
    pub name: &'a BStr,
    /// The value in hex, in lower case; null where the ref cannot be parsed or its name is malformed.
    pub hex: &'a [u8],
}

impl Entry<'_> {
    /// The value.
    pub fn id(&self) -> ObjectId {
        // Both sources of entries give well-formed hex only.
        let hash = gix::hash::Kind::from_hex_len(self.hex.len()).unwrap_or(gix::hash::Kind::Sha1);
        ObjectId::from_hex(self.hex).unwrap_or_else(|_| hash.null())
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

    fn read_after(repository: &Repository, known: Option<Packed>) -> Result<Self> {
        let hash = repository.hash;
        if let RefFormat::Other(format) = &repository.ref_format {
            return Self::read_with_git(repository)
                .with_context(|| format!("cannot read the refs, which are stored as {format}"));
        }
        let found = loose::scan(repository)?;
        let packed = match known.filter(Packed::is_current) {
            Some(same) => Some(same),
            None => open_packed(repository)?,
        };
        let mut loose = Vec::with_capacity(found.len());
        for (name, value) in found {
            let hex = match value {
                Loose::Id(id) => Some(Hex::of(&id)),
                Loose::Symbolic(target) => {
                    follow(repository, packed.as_ref(), target, MAX_READS - 1)?.map(|id| Hex::of(&id))
                }
                Loose::Broken | Loose::Absent => Some(Hex::of(&ObjectId::null(hash))),
            };
            loose.push((name, hex));
        }
        Ok(Snapshot { loose, packed, hash })
    }

    /// All refs in byte order of their full names, symbolic refs as what they lead to, those that lead nowhere left out.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut loose = self.loose.iter();
        let mut next_loose = loose.next();
        let mut packed = self.packed.as_ref().map(Packed::met_lines).unwrap_or_default();
        let mut next_packed = packed.next();
        std::iter::from_fn(move || {
            loop {
                let order = match (next_loose, next_packed) {
                    (None, None) => return None,
                    (None, Some(_)) => Ordering::Greater,
                    (Some(_), None) => Ordering::Less,
                    (Some((name, _)), Some(line)) => name.as_bstr().cmp(line.name),
                };
                if order == Ordering::Greater {
                    let line = std::mem::replace(&mut next_packed, packed.next());
                    return line.map(|line| Entry { name: line.name, hex: line.hex });
                }
                if order == Ordering::Equal {
                    next_packed = packed.next();
                }
                if let Some((name, Some(hex))) = std::mem::replace(&mut next_loose, loose.next()) {
                    return Some(Entry { name: name.as_ref(), hex: hex.as_bytes() });
                }
            }
        })
    }

    /// The value of the ref of the full name `full`: null where it cannot be parsed; `None` where there is none or it leads
    /// nowhere.
    pub fn find(&self, full: &BStr) -> Option<ObjectId> {
        if let Ok(at) = self.loose.binary_search_by(|(name, _)| name.as_bstr().cmp(full)) {
            return self.loose[at].1.as_ref().map(|hex| Entry { name: full, hex: hex.as_bytes() }.id());
        }
        self.packed.as_ref()?.find(full).ok()??.id().ok()
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
        Ok(Snapshot { loose: Vec::new(), packed: Some(checked(packed, repository.hash)?), hash: repository.hash })
    }
}

fn open_packed(repository: &Repository) -> Result<Option<Packed>> {
    let path = repository.common_dir.join("packed-refs");
    Packed::open(path, repository.hash)?.map(|packed| checked(packed, repository.hash)).transpose()
}

/// Look at every line, so that later passes over the file need not expect a bad one.
///
/// A file that git wrote comes back as it is. In one of another hand, names that no ref can have get the null id and ids in
/// capitals are put right, in memory.
fn checked(packed: Packed, hash: gix::hash::Kind) -> Result<Packed> {
    let mut plain = true;
    for line in packed.lines() {
        let line = line?;
        let well_formed = is_usual(line.name) || name::is_well_formed_one_level(line.name);
        if !well_formed && !is_safe(line.name) {
            bail!("packed refname is dangerous: {}", line.name);
        }
        plain &= well_formed && !line.has_capitals;
    }
    if plain {
        return Ok(packed);
    }
    let mut content = Vec::with_capacity(packed.body().len());
    for line in packed.lines() {
        let line = line?;
        let id = if name::is_well_formed_one_level(line.name) { line.id()? } else { ObjectId::null(hash) };
        content.extend_from_slice(id.to_hex().to_string().as_bytes());
        content.push(b' ');
        content.extend_from_slice(line.name);
        content.push(b'\n');
    }
    // In the order that it has: where that is not the one it claims, git shows it so as well.
    let header = b"# pack-refs with: sorted \n";
    Packed::from_content([&header[..], &content].concat(), PathBuf::from("packed-refs"), hash)
}

/// True if a name is surely well formed: the quick answer for nearly every name. This runs over every ref of the
/// repository, so it takes sixteen bytes at a time, each beside the one that follows it.
fn is_usual(name: &BStr) -> bool {
    const WIDTH: usize = 16;
    // Letters, digits, `-` and `_`, and single `/` and `.` between them, where no component can end in `.lock`.
    let (Some((first, behind)), Some(last)) = (name.split_first(), name.last()) else { return false };
    let mut is_good = !is_separator(*first) & is_part(*last) & !is_separator(*last);
    for (here, next) in name.as_chunks::<WIDTH>().0.iter().zip(behind.as_chunks::<WIDTH>().0) {
        is_good &= follows(here, next);
    }
    // What is left over; in a long name that is for the most part seen already.
    let rear = behind.len().saturating_sub(WIDTH);
    match (name[rear..].first_chunk::<WIDTH>(), behind[rear..].first_chunk::<WIDTH>()) {
        (Some(here), Some(next)) => is_good &= follows(here, next),
        _ => is_good &= name.iter().zip(behind).all(|(here, next)| follows(&[*here], &[*next])),
    }
    is_good && !(memchr::memchr(b'.', name).is_some() && name.contains_str(".lock"))
}

/// True if each byte of `here` is of a usual name, and the one of `next` at the same place may follow it. No early return
/// and numbers for flags, of which the compiler makes vectors.
fn follows<const N: usize>(here: &[u8; N], next: &[u8; N]) -> bool {
    let strange = here.iter().zip(next).fold(0, |strange, (byte, follower)| {
        strange | u8::from(!is_part(*byte)) | u8::from(is_separator(*byte) & is_separator(*follower))
    });
    strange == 0
}

/// True for what a usual name is made of.
fn is_part(byte: u8) -> bool {
    // `-`, `.`, `/` and the digits follow one another.
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    (byte.wrapping_sub(b'-') <= b'9' - b'-') | is_letter | (byte == b'_') | (byte >= 0x80)
}

fn is_separator(byte: u8) -> bool {
    (byte == b'/') | (byte == b'.')
}

/// True if a malformed name can at least not lead out of the directory of refs.
fn is_safe(name: &BStr) -> bool {
    match name.strip_prefix(b"refs/") {
        Some(rest) => !rest.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")),
        None => !name.is_empty() && name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_'),
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
                let Some(line) = packed.map(|packed| packed.find(name.as_ref())).transpose()?.flatten() else {
                    return Ok(None);
                };
                return Ok(Some(line.id()?).filter(|id| !id.is_null()));
            }
        }
    }
    Ok(None)
}

/// An object id in hex, without an allocation.
struct Hex {
    digits: [u8; 64],
    len: u8,
}

impl Hex {
    fn of(id: &gix::oid) -> Self {
        let mut digits = [0; 64];
        let len = id.hex_to_buf(&mut digits).len() as u8;
        Hex { digits, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[..usize::from(self.len)]
    }
}
