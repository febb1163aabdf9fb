//! packed-refs with each line looked at once, so that going over them again costs next to nothing.

use std::{ops::Range, path::PathBuf, thread};

use anyhow::{Result, anyhow, bail};
use bstr::{BStr, ByteSlice};
use gix::ObjectId;

use super::Packed;
use crate::refs::{name, plain};

/// From this size on, in bytes, two threads look at a half each.
const LARGE: usize = 1 << 20;

/// A file of which every line is well formed, and its hex what is advertised.
pub struct Checked {
    packed: Packed,
    /// Of the line of each ref, in bytes; 0 for one that is longer than can be said here.
    lengths: Vec<u16>,
}

impl Checked {
    /// Look at every line of `packed`; the first malformed one is an error.
    ///
    /// A file that git wrote stays as it is. In one of another hand, names that no ref can have get the null id and ids in
    /// capitals are put right, in memory.
    pub fn new(packed: Packed, hash: gix::hash::Kind) -> Result<Self> {
        let (mut lengths, is_plain) = measure(&packed)?;
        if is_plain {
            return Ok(Checked { packed, lengths });
        }
        let packed = put_right(&packed, hash)?;
        (lengths, _) = measure(&packed)?;
        Ok(Checked { packed, lengths })
    }

    /// All refs in byte order of the name, each as `<hex> SP <name> LF`.
    pub fn lines(&self) -> CheckedLines<'_> {
        CheckedLines { rest: self.packed.body(), hex_len: self.packed.hex_len, lengths: self.lengths.iter() }
    }

    /// How many refs there are.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// The value of the ref of the full `name`.
    pub fn find(&self, name: &BStr) -> Result<Option<ObjectId>> {
        self.packed.find(name)?.map(|line| line.id()).transpose()
    }

    /// See [`Packed::is_current`].
    pub fn is_current(&self) -> bool {
        self.packed.is_current()
    }
}

/// See [`Checked::lines`].
#[derive(Debug, Clone, Default)]
pub struct CheckedLines<'a> {
    rest: &'a [u8],
    hex_len: usize,
    lengths: std::slice::Iter<'a, u16>,
}

impl<'a> Iterator for CheckedLines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let length = match usize::from(*self.lengths.next()?) {
            0 => self.rest.find_byte(b'\n')? + 1,
            length => length,
        };
        let (line, mut behind) = self.rest.split_at_checked(length)?;
        if behind.first() == Some(&b'^') {
            behind = behind.get(self.hex_len + 2..)?;
        }
        self.rest = behind;
        Some(line)
    }
}

/// How long the line of each ref is, and true if each of them is what is advertised.
fn measure(packed: &Packed) -> Result<(Vec<u16>, bool)> {
    let len = packed.body().len();
    if len < LARGE {
        return measure_part(packed, 0..len);
    }
    let middle = packed.start_of_ref(0, len / 2);
    thread::scope(|scope| {
        let rest = || measure_part(packed, middle..len);
        let beside = thread::Builder::new().name("packed-refs".into()).spawn_scoped(scope, rest);
        let (mut lengths, is_plain) = measure_part(packed, 0..middle)?;
        let (others, are_plain) = match beside {
            Ok(beside) => beside.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))?,
            Err(_) => rest()?,
        };
        lengths.extend(others);
        Ok((lengths, is_plain && are_plain))
    })
}

/// The same for the refs that begin in `range`, where one begins at either end.
fn measure_part(packed: &Packed, range: Range<usize>) -> Result<(Vec<u16>, bool)> {
    let (body, hex_len) = (&packed.body()[..range.end], packed.hex_len);
    let (mut is_plain, mut at) = (true, range.start);
    // Nearly all names are longer than 16 bytes; memory that is not needed is never touched.
    let mut lengths = Vec::with_capacity(range.len() / (hex_len + 16));
    while at < body.len() {
        let length = match plain::ref_len(&body[at..], hex_len) {
            Some((length, peeled)) => {
                at += length + peeled;
                length
            }
            None => {
                let (line, next) = packed.parse(at)?;
                let well_formed = name::is_well_formed_one_level(line.name);
                if !well_formed && !is_safe(line.name) {
                    bail!("packed refname is dangerous: {}", line.name);
                }
                is_plain &= well_formed && !line.has_capitals && body[at + hex_len] == b' ';
                at = next;
                hex_len + 1 + line.name.len() + 1
            }
        };
        lengths.push(u16::try_from(length).unwrap_or(0));
    }
    Ok((lengths, is_plain))
}

/// The refs of `packed` as they are advertised, in the order that the file has: where that is not the one it claims, git
/// shows it so as well.
fn put_right(packed: &Packed, hash: gix::hash::Kind) -> Result<Packed> {
    let mut content = b"# pack-refs with: sorted \n".to_vec();
    for line in packed.lines() {
        let line = line?;
        let id = if name::is_well_formed_one_level(line.name) { line.id()? } else { ObjectId::null(hash) };
        content.extend_from_slice(id.to_hex().to_string().as_bytes());
        content.push(b' ');
        content.extend_from_slice(line.name);
        content.push(b'\n');
    }
    Packed::from_content(content, PathBuf::from("packed-refs"), hash)
}

/// True if a malformed name can at least not lead out of the directory of refs.
fn is_safe(name: &BStr) -> bool {
    match name.strip_prefix(b"refs/") {
        Some(rest) => !rest.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")),
        None => !name.is_empty() && name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_looked_at_to_its_end() {
        let id = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let lines: Vec<String> = (0..20_000).map(|at| format!("{id} refs/tags/{at:05}\n")).collect();
        let hash = gix::hash::Kind::Sha1;
        let checked = |refs: &str| {
            let content = format!("# pack-refs with: sorted \n{refs}");
            let packed = Packed::from_content(content.into(), "packed-refs".into(), hash).unwrap();
            Checked::new(packed, hash)
        };
        // The middle falls on one line or another, and on one that says what a tag points at.
        for shift in (0..100).step_by(9) {
            let first = format!("{id} refs/heads/{}\n", "a".repeat(1 + shift));
            let peeled = format!("^{id}\n");
            let content = format!("{first}{}{peeled}", lines.join(&peeled));
            let given = checked(&content).unwrap();
            assert!(content.len() > LARGE && given.count() == 1 + lines.len());
            assert!(given.lines().eq([&first].into_iter().chain(&lines).map(|line| line.as_bytes())));
        }
        let all = lines.concat();
        for (at, bad) in [(0, "^no\n"), (all.len() / 4, "no\n"), (all.len(), "no more\n")] {
            let at = all[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let Err(error) = checked(&[&all[..at], bad, &all[at..]].concat()) else { panic!("{bad}") };
            assert_eq!(error.to_string(), format!("unexpected line in packed-refs: {}", bad.trim_end()));
        }
    }

    #[test]
    fn a_line_of_any_length_is_given_again() {
        let id = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let lines: Vec<String> =
            [1, 3, 100, 65_483, 65_484, 100_000].map(|len| format!("{id} refs/{}\n", "a".repeat(len))).into();
        for peeled in [String::new(), format!("^{id}\n")] {
            let content = format!("# pack-refs with: sorted \n{}", lines.join(&peeled) + &peeled);
            let hash = gix::hash::Kind::Sha1;
            let packed = Packed::from_content(content.into(), "packed-refs".into(), hash).unwrap();
            let given: Vec<_> = Checked::new(packed, hash).unwrap().lines().map(<[u8]>::to_vec).collect();
            assert!(given.iter().eq(lines.iter().map(String::as_bytes)));
        }
    }
}
