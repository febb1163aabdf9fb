//! Going through packed-refs with a look at each line: every ref as it is advertised, or what is wrong.

use anyhow::{Error, Result, bail};
use bstr::BStr;

use super::Packed;
use crate::refs::{entry::Entry, name, plain};

/// All refs in byte order of the name; in the order of the file where that claims to be sorted and is not, as git has it.
///
/// A malformed line ends it, and is told by [`finish`](Self::finish).
#[derive(Default)]
pub struct Checked<'a> {
    packed: Option<&'a Packed>,
    hex_len: usize,
    rest: &'a [u8],
    failure: Option<Error>,
}

impl<'a> Checked<'a> {
    /// The refs of `packed`.
    pub fn new(packed: &'a Packed) -> Self {
        Checked { packed: Some(packed), hex_len: packed.hex_len, rest: packed.body(), failure: None }
    }

    /// Fails if there was a malformed line among those that were met, or a name that leads out of the directory of refs.
    pub fn finish(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    /// The next ref, where a quick look does not tell what it is worth.
    #[cold]
    fn parse(&mut self) -> Option<Entry<'a>> {
        let packed = self.packed.filter(|_| !self.rest.is_empty())?;
        let start = packed.body().len() - self.rest.len();
        match parse(packed, start) {
            Ok((entry, next)) => {
                self.rest = &packed.body()[next..];
                Some(entry)
            }
            Err(failure) => {
                (self.rest, self.failure) = (&[], Some(failure));
                None
            }
        }
    }
}

impl<'a> Iterator for Checked<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let Some((length, peeled)) = plain::ref_len(self.rest, self.hex_len) else { return self.parse() };
        let (line, behind) = self.rest.split_at(length);
        self.rest = &behind[peeled..];
        Some(Entry::plain(line, self.hex_len))
    }
}

/// The ref that begins at `start`, and where the next one does.
fn parse(packed: &Packed, start: usize) -> Result<(Entry<'_>, usize)> {
    let (parsed, next) = packed.parse(start)?;
    let well_formed = name::is_well_formed_one_level(parsed.name);
    if !well_formed && !is_safe(parsed.name) {
        bail!("packed refname is dangerous: {}", parsed.name);
    }
    let (body, hex_len) = (packed.body(), packed.hex_len);
    let line = &body[start..start + hex_len + 1 + parsed.name.len() + 1];
    let is_plain = well_formed && !parsed.has_capitals && line[hex_len] == b' ';
    let entry = if is_plain { Entry::plain(line, hex_len) } else { Entry::odd(line, hex_len) };
    Ok((entry, next))
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

    const ID: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

    fn packed(refs: &str) -> Packed {
        let content = format!("# pack-refs with: sorted \n{refs}");
        Packed::from_content(content.into(), "packed-refs".into(), gix::hash::Kind::Sha1).unwrap()
    }

    #[test]
    fn a_malformed_line_is_met_wherever_it_is() {
        let lines: Vec<String> = (0..500).map(|at| format!("{ID} refs/tags/with-a-name-{at:05}\n")).collect();
        let all = lines.concat();
        for (at, bad) in [(0, "^no\n"), (all.len() / 4, "no\n"), (all.len(), "no more\n")] {
            let at = all[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let packed = packed(&[&all[..at], bad, &all[at..]].concat());
            let mut refs = Checked::new(&packed);
            assert_eq!(refs.by_ref().count(), all[..at].lines().count());
            let error = refs.finish().unwrap_err();
            assert_eq!(error.to_string(), format!("unexpected line in packed-refs: {}", bad.trim_end()));
        }
    }

    #[test]
    fn a_line_of_any_length_is_given_again() {
        let lengths = (1..80).chain([65_483, 65_484, 100_000]);
        let lines: Vec<String> = lengths.map(|len| format!("{ID} refs/{}\n", "a".repeat(len))).collect();
        for peeled in [String::new(), format!("^{ID}\n")] {
            let packed = packed(&(lines.join(&peeled) + &peeled));
            let mut refs = Checked::new(&packed);
            let given: Vec<_> = refs.by_ref().map(|entry| entry.line().unwrap().to_vec()).collect();
            assert!(given.iter().eq(lines.iter().map(String::as_bytes)));
            refs.finish().unwrap();
        }
    }

    #[test]
    fn what_git_did_not_write_is_put_right() {
        let (capitals, null) = (ID.to_ascii_uppercase(), "0".repeat(40));
        let packed = packed(&format!("{capitals} refs/heads/a\n{ID}\trefs/heads/b\n{ID} refs/heads/c~1\n"));
        let mut refs = Checked::new(&packed);
        let given: Vec<_> = refs.by_ref().map(|entry| (entry.line(), entry.hex(), entry.name())).collect();
        let expected = [(ID, "refs/heads/a"), (ID, "refs/heads/b"), (&null, "refs/heads/c~1")];
        assert!(
            given
                .iter()
                .map(|(line, hex, name)| (line.is_none(), &hex[..], *name))
                .eq(expected.iter().map(|(hex, name)| (true, hex.as_bytes(), BStr::new(name))))
        );
        refs.finish().unwrap();
    }
}
