//! What is in a tree, taken apart as git does it: everywhere and always to the same end (gitformat-pack, gitcore-tutorial).

use gix::{objs::Kind, oid};

/// One entry of a tree.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The file mode; git keeps the last sixteen bits of whatever number stands there.
    pub mode: u16,
    /// Whether that number is written with a zero in front.
    pub is_padded: bool,
    /// The file name, never empty.
    pub name: &'a [u8],
    /// What it names.
    pub id: &'a oid,
}

impl Entry<'_> {
    /// What the mode says that `id` is; gitlinks, which name what lives in another repository, and what nobody knows
    /// have no kind.
    pub fn kind(&self) -> Option<Kind> {
        match self.mode & 0o170_000 {
            0o040_000 => Some(Kind::Tree),
            0o100_000 | 0o120_000 => Some(Kind::Blob),
            _ => None,
        }
    }

    /// True if it is a symlink.
    pub fn is_symlink(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }
}

/// What follows is no entry, in git's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The entries of a tree's `content` in the order that they have; ends after the first malformed one.
pub fn entries(content: &[u8], hash: gix::hash::Kind) -> impl Iterator<Item = Result<Entry<'_>, Malformed>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = entry(&mut rest, hash.len_in_bytes()).map_err(Malformed);
        if entry.is_err() {
            rest = &[];
        }
        Some(entry)
    })
}

fn entry<'a>(rest: &mut &'a [u8], id_len: usize) -> Result<Entry<'a>, &'static str> {
    const SHORT: &str = "too-short tree object";
    // The last entry is looked at before any other: its id has a NUL before it.
    let last_nul = rest.len().checked_sub(id_len + 1).filter(|at| *at >= 2 && rest[*at] == 0).ok_or(SHORT)?;
    let digits = rest.iter().take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if digits == 0 || rest[digits] != b' ' {
        return Err("malformed mode in tree entry");
    }
    let mode = rest[..digits].iter().fold(0_u16, |mode, digit| mode << 3 | u16::from(digit - b'0'));
    let name = &rest[digits + 1..=last_nul];
    let name = &name[..memchr::memchr(0, name).ok_or(SHORT)?];
    if name.is_empty() {
        return Err("empty filename in tree entry");
    }
    let (id, after) = rest[digits + 1 + name.len() + 1..].split_at(id_len);
    let entry = Entry { mode, is_padded: rest[0] == b'0', name, id: oid::from_bytes_unchecked(id) };
    *rest = after;
    Ok(entry)
}
