//! The `packed-refs` file: mapped, looked up and listed where it lies. It is never written here.
//!
//! The format is one `<hex> SP <name>` line a ref, each followed by `^<hex>` where it is a tag that was peeled, behind a
//! header line `# pack-refs with: <traits>` (gitrepository-layout, "packed-refs"; git-pack-refs). Nothing is copied for
//! a ref, unless the file is unsorted, and nothing is kept of it: each line is looked at when it is met ([`Checked`]).

mod checked;
mod header;
mod in_order;
mod lines;

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use bstr::{BStr, BString, ByteSlice};

use self::header::Header;
pub use self::{
    checked::Checked,
    header::Peeled,
    in_order::InOrder,
    lines::{Line, Lines},
};

use super::plain::is_lower_hex;

/// How far from one ref of a push the next one is expected in a large file, in bytes.
const NEAR: usize = 4096;

/// Files up to this size, in bytes, are read rather than mapped.
const READ_UP_TO: u64 = 64 * 1024;

/// The packed refs as they stood at one moment. git and this program replace the file and never write into it, so a
/// mapping stays what it was.
pub struct Packed {
    body: Body,
    path: PathBuf,
    hex_len: usize,
    peeled: Peeled,
    was_sorted: bool,
}

enum Body {
    /// The lines behind the header, sorted, in memory that maps the file, which is kept open: so no other can get its inode.
    Mapped(gix::refs::packed::Buffer, File),
    /// The lines behind the header, sorted.
    Read(Vec<u8>),
}

impl Packed {
    /// Open the file at `path`; `None` if there is none.
    ///
    /// Only the header and the file's end are looked at; a malformed line is an error when it is met.
    pub fn open(path: PathBuf, hash: gix::hash::Kind) -> Result<Option<Self>> {
        let failed = || format!("cannot read '{}'", path.display());
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).with_context(failed),
        };
        if file.metadata().with_context(failed)?.len() > READ_UP_TO
            && let Some((buffer, peeled)) = Self::map(&path, &mut file, hash).with_context(failed)?
        {
            let (body, hex_len) = (Body::Mapped(buffer, file), hash.len_in_hex());
            return Ok(Some(Packed { body, path, hex_len, peeled, was_sorted: true }));
        }
        // The file at hand, not the one that a rename may have put in its place.
        let mut content = Vec::new();
        io::Seek::rewind(&mut file).with_context(failed)?;
        file.read_to_end(&mut content).with_context(failed)?;
        Self::from_content(content, path, hash).map(Some)
    }

    /// Take `content` for that of the file at `path`, which is used in messages only.
    pub fn from_content(mut content: Vec<u8>, path: PathBuf, hash: gix::hash::Kind) -> Result<Self> {
        check_end(&content, &path)?;
        let header = Header::of(&content, &path)?;
        content.drain(..header.len);
        let (peeled, was_sorted) = (header.peeled, header.sorted);
        let mut this = Packed { body: Body::Read(content), path, hex_len: hash.len_in_hex(), peeled, was_sorted };
        if !was_sorted {
            this.sort()?;
        }
        Ok(this)
    }

    /// Take `lines`, which are in byte order of the name, for those of the file at `path`, which is used in messages only.
    pub fn from_sorted(lines: Vec<u8>, path: PathBuf, hash: gix::hash::Kind) -> Self {
        let hex_len = hash.len_in_hex();
        Packed { body: Body::Read(lines), path, hex_len, peeled: Peeled::Unknown, was_sorted: true }
    }

    /// The lines of `file`, which is the one at `path`, mapped, with what the header promises, if that is that they need no
    /// sorting. `gix` does the mapping, which takes `unsafe`.
    fn map(path: &Path, file: &mut File, hash: gix::hash::Kind) -> Result<Option<(gix::refs::packed::Buffer, Peeled)>> {
        let mut head = Vec::with_capacity(4096);
        file.take(4096).read_to_end(&mut head)?;
        let header = Header::of(&head, path)?;
        if !header.sorted {
            return Ok(None);
        }
        let Ok(buffer) = gix::refs::packed::Buffer::open(path.to_owned(), READ_UP_TO, hash) else { return Ok(None) };
        // It was opened anew, and may have been replaced in between.
        if !is_at(file, path) {
            return Ok(None);
        }
        check_end(buffer.as_ref(), path)?;
        Ok(Some((buffer, header.peeled)))
    }

    /// True if this is what stands at its path now.
    pub fn is_current(&self) -> bool {
        matches!(&self.body, Body::Mapped(_, file) if is_at(file, &self.path))
    }

    /// What the header promises about `^` lines.
    pub fn peeled(&self) -> Peeled {
        self.peeled
    }

    /// True if the file itself says that it is sorted. What [`lines`](Self::lines) gives is sorted in any case.
    pub fn was_sorted(&self) -> bool {
        self.was_sorted
    }

    /// Everything behind the header, in bytes.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Mapped(buffer, _) => buffer.as_ref(),
            Body::Read(bytes) => bytes,
        }
    }

    /// All refs in byte order of the name; the first malformed line is an error and the end.
    pub fn lines(&self) -> Lines<'_> {
        Lines { packed: self, at: 0 }
    }

    /// The ref of the full `name`, by binary search.
    pub fn find(&self, name: &BStr) -> Result<Option<Line<'_>>> {
        let first = self.lines_from(name)?.next().transpose()?;
        Ok(first.filter(|line| line.name == name))
    }

    /// The refs from `name` on, or from where it would be, by binary search.
    pub fn lines_from(&self, name: &BStr) -> Result<Lines<'_>> {
        self.search(0, usize::MAX, name)
    }

    /// The same where all refs before that at [`offset`](Lines::offset) come before `name`, which is rather near.
    pub fn lines_from_behind(&self, offset: usize, name: &BStr) -> Result<Lines<'_>> {
        self.search(offset, NEAR, name)
    }

    /// All refs before `low`, where one begins, come before `name`. `reach`, in bytes, is where to look first; it doubles until
    /// that is too far, and then the search goes back in halves.
    fn search(&self, mut low: usize, mut reach: usize, name: &BStr) -> Result<Lines<'_>> {
        let mut high = self.body().len();
        while low < high {
            let at = self.start_of_ref(low, low + reach.min(high - low) / 2);
            let (found, next) = self.name_at(at)?;
            if found < name {
                low = next;
                reach = reach.saturating_mul(2);
            } else {
                high = at;
            }
        }
        Ok(Lines { packed: self, at: low })
    }

    /// The name of the ref that begins at `at`, and where the next one does. Of the ids only the place is looked at.
    fn name_at(&self, at: usize) -> Result<(&BStr, usize)> {
        let rest = &self.body()[at..];
        let Some([b' ' | b'\t', name @ ..]) = rest.get(self.hex_len..) else { return Err(self.invalid(rest)) };
        let Some(end) = memchr::memchr(b'\n', name) else { return Err(self.invalid(rest)) };
        let (name, behind) = (&name[..end], &name[end + 1..]);
        let peeled = match behind.first() {
            Some(b'^') => memchr::memchr(b'\n', behind).map_or(behind.len(), |end| end + 1),
            _ => 0,
        };
        Ok((name.as_bstr(), self.body().len() - behind.len() + peeled))
    }

    /// Where the ref that `at` lies in begins; `low` is a beginning too, not behind `at`.
    fn start_of_ref(&self, low: usize, mut at: usize) -> usize {
        let body = self.body();
        loop {
            let start = body[low..at].rfind_byte(b'\n').map_or(low, |newline| low + newline + 1);
            if body[start] != b'^' || start == low {
                return start;
            }
            at = start - 1;
        }
    }

    /// The ref that begins at `at` in the [body](Self::body), and where the next one does.
    pub fn parse(&self, at: usize) -> Result<(Line<'_>, usize)> {
        let rest = &self.body()[at..];
        let invalid = |line| Err(self.invalid(line));
        let Some(hex) = rest.get(..self.hex_len) else { return invalid(rest) };
        let has_capitals = !is_lower_hex(hex);
        if has_capitals && !is_hex(hex) {
            return invalid(rest);
        }
        let Some(b' ' | b'\t') = rest.get(self.hex_len) else { return invalid(rest) };
        let name = &rest[self.hex_len + 1..];
        let Some(end) = memchr::memchr(b'\n', name) else { return invalid(rest) };
        let (name, behind) = (&name[..end], &name[end + 1..]);
        let mut peeled = None;
        let mut next = self.hex_len + 1 + end + 1;
        if behind.first() == Some(&b'^') {
            peeled = behind.get(1..=self.hex_len).filter(|hex| is_lower_hex(hex) || is_hex(hex));
            if peeled.is_none() || behind.get(self.hex_len + 1) != Some(&b'\n') {
                return invalid(behind);
            }
            next += self.hex_len + 2;
        }
        Ok((Line { name: name.as_bstr(), hex, has_capitals, peeled }, at + next))
    }

    /// git does not trust a file without the `sorted` trait, and reads it as if it were sorted.
    fn sort(&mut self) -> Result<()> {
        let mut lines = Vec::new();
        let mut at = 0;
        while at < self.body().len() {
            let (line, next) = self.parse(at)?;
            lines.push((line.name, at..next));
            at = next;
        }
        if lines.is_sorted_by_key(|(name, _)| *name) {
            return Ok(());
        }
        lines.sort_by_key(|(name, _)| *name);
        let mut sorted = Vec::with_capacity(self.body().len());
        for (_, range) in lines {
            sorted.extend_from_slice(&self.body()[range]);
        }
        self.body = Body::Read(sorted);
        Ok(())
    }

    fn invalid(&self, from: &[u8]) -> anyhow::Error {
        anyhow::anyhow!("unexpected line in {}: {}", self.path.display(), first_line(from))
    }
}

/// True if `file` is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    file.metadata().is_ok_and(|ours| std::fs::metadata(path).is_ok_and(|there| identity(ours) == identity(there)))
}

/// A file whose last line is cut off was not written by anyone who knows how; git takes none of it.
fn check_end(content: &[u8], path: &Path) -> Result<()> {
    if content.last().is_some_and(|last| *last != b'\n') {
        let start = content.rfind_byte(b'\n').map_or(0, |newline| newline + 1);
        bail!("unterminated line in {}: {}", path.display(), first_line(&content[start..]));
    }
    Ok(())
}

/// What a message shows of a line: no more than 80 bytes.
fn first_line(from: &[u8]) -> BString {
    let line = from.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() < 80 { line.into() } else { [&line[..75], b"..."].concat().into() }
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

    fn packed(content: &str) -> Result<Packed> {
        Packed::from_content(content.into(), "packed-refs".into(), gix::hash::Kind::Sha1)
    }

    #[test]
    fn every_ref_is_found_and_no_other() {
        let names: Vec<String> = (0..50).map(|at| format!("refs/tags/{at:03}")).collect();
        // Tags that were peeled among others that were not.
        let line = |(at, name): (usize, &String)| {
            format!("{ID} {name}\n{}", if at % 3 == 0 { format!("^{ID}\n") } else { String::new() })
        };
        let sorted: String = names.iter().enumerate().map(line).collect();
        let reversed: String = names.iter().enumerate().rev().map(line).collect();
        for content in [format!("# pack-refs with: peeled sorted \n{sorted}"), reversed] {
            let packed = packed(&content).unwrap();
            for (at, name) in names.iter().enumerate() {
                let found = packed.find(name.as_str().into()).unwrap().unwrap();
                assert_eq!((found.name, found.peeled.is_some()), (name.as_str().into(), at % 3 == 0));
            }
            for absent in ["refs/tags", "refs/tags/0005", "refs/tags/999", "", "z"] {
                assert!(packed.find(absent.into()).unwrap().is_none());
            }
            assert_eq!(packed.lines().count(), 50);
        }
    }

    #[test]
    fn from_any_ref_on_each_later_one_is_found() {
        let names: Vec<String> = (0..300).map(|at| format!("refs/tags/{at:03}")).collect();
        let content: String = names.iter().map(|name| format!("{ID} {name}\n^{ID}\n")).collect();
        let packed = packed(&format!("# pack-refs with: sorted \n{content}")).unwrap();
        let mut lines = packed.lines();
        for from in 0..names.len() {
            let offset = lines.offset();
            for (at, name) in names.iter().enumerate().skip(from) {
                for sought in [name.clone(), format!("{name}-")] {
                    let next = packed.lines_from_behind(offset, sought.as_str().into()).unwrap().next();
                    let expected = names.get(at + usize::from(sought != *name));
                    assert_eq!(next.map(|line| line.unwrap().name), expected.map(|name| name.as_str().into()));
                }
            }
            lines.next();
        }
    }

    #[test]
    fn a_malformed_line_is_met_once() {
        let packed = packed(&format!("# pack-refs with: sorted \n{ID} a\nwhat\n{ID} b\n")).unwrap();
        let met: Vec<_> =
            packed.lines().map(|line| line.map_err(|err| err.to_string()).map(|line| line.name)).collect();
        assert_eq!(met, [Ok("a".into()), Err("unexpected line in packed-refs: what".into())]);
    }

    #[test]
    fn the_header_tells_what_is_peeled() {
        let of = |traits: &str| packed(&format!("# pack-refs with:{traits}\n")).unwrap().peeled();
        assert_eq!(of(" peeled fully-peeled sorted      "), Peeled::Fully);
        assert_eq!(of(" peeled "), Peeled::Tags);
        assert_eq!(of(" unpeeled"), Peeled::Unknown);
    }
}
