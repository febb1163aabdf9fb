//! Names of git's own files, and what a file system may take for one of them: HFS+ folds case and overlooks some characters,
//! NTFS has short names (`GITMOD~1`) and streams (`.git::$DATA`), and drops spaces and dots at the end.
//!
//! Verdicts are those of git, on every system. gix-validate knows such names too; it differs from git over malformed UTF-8.

/// A file of git's own in a work tree, other than `.git`.
pub struct DotName {
    /// Without the dot, in lower case.
    name: &'static [u8],
    /// How its short name starts on NTFS where the four obvious ones are taken.
    hashed: &'static [u8; 6],
}

/// `.gitmodules`
pub const GITMODULES: DotName = DotName { name: b"gitmodules", hashed: b"gi7eba" };
/// `.gitattributes`
pub const GITATTRIBUTES: DotName = DotName { name: b"gitattributes", hashed: b"gi7d29" };
/// `.gitignore`
pub const GITIGNORE: DotName = DotName { name: b"gitignore", hashed: b"gi250a" };
/// `.mailmap`
pub const MAILMAP: DotName = DotName { name: b"mailmap", hashed: b"maba30" };

/// True if a file `name` may be one that any of these functions is about: most are not, which their first byte shows.
pub fn is_suspect(name: &[u8]) -> bool {
    match name.first() {
        Some(b'.' | b'g' | b'G' | b'm' | b'M' | b'~' | 0x80..) => true,
        _ => name.contains(&b'\\'),
    }
}

/// True if some file system takes `name` for `.git`.
pub fn is_dot_git(name: &[u8]) -> bool {
    is_on_hfs(name, b"git") || is_dot_git_on_ntfs(name)
}

/// True if NTFS takes `name`, or what it is up to the first separator, for `.git`.
pub fn is_dot_git_on_ntfs(name: &[u8]) -> bool {
    let rest = strip_prefix(name, b".git").or_else(|| strip_prefix(name, b"git~1"));
    rest.is_some_and(|rest| matches!(behind_padding(rest), None | Some(b'\\' | b'/' | b':')))
}

impl DotName {
    /// True if some file system takes `name` for this one.
    pub fn is(&self, name: &[u8]) -> bool {
        is_on_hfs(name, self.name) || self.is_on_ntfs(name)
    }

    /// True if NTFS takes `name` for this one.
    pub fn is_on_ntfs(&self, name: &[u8]) -> bool {
        let rest = match name.strip_prefix(b".") {
            Some(name) => strip_prefix(name, self.name),
            None => self.behind_short_name(name),
        };
        rest.is_some_and(|rest| matches!(behind_padding(rest), None | Some(b':')))
    }

    /// What follows in `name` the eight characters of a short name: the first six of this one's, or up to six of its
    /// hash, then `~` and a number.
    fn behind_short_name<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        let (short, rest) = name.split_at_checked(8)?;
        let tilde = short.iter().position(|byte| *byte == b'~')?;
        let (stem, number) = (&short[..tilde], &short[tilde + 1..]);
        let is_obvious = |len| stem.eq_ignore_ascii_case(&self.name[..len]) && matches!(number, [b'1'..=b'4']);
        let is_hashed = stem.len() <= 6
            && stem.eq_ignore_ascii_case(&self.hashed[..stem.len()])
            && matches!(number, [b'1'..=b'9', digits @ ..] if digits.iter().all(u8::is_ascii_digit));
        (is_obvious(6) || is_hashed).then_some(rest)
    }
}

/// The first byte of `rest` that NTFS does not drop from the end of a name.
fn behind_padding(rest: &[u8]) -> Option<u8> {
    rest.iter().copied().find(|byte| !matches!(byte, b' ' | b'.'))
}

/// What follows `prefix`, in whatever case.
fn strip_prefix<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// True if HFS+ takes `name` for a dot and `wanted`, alone or before a slash.
fn is_on_hfs(name: &[u8], wanted: &[u8]) -> bool {
    let mut characters = hfs_characters(name);
    characters.next() == Some('.')
        && wanted.iter().all(|&byte| characters.next().is_some_and(|c| c.to_ascii_lowercase() == char::from(byte)))
        && matches!(characters.next(), None | Some('/'))
}

/// The characters of `name` that count on HFS+. What is no UTF-8 ends it, for git; so do the two characters that are none.
fn hfs_characters(mut name: &[u8]) -> impl Iterator<Item = char> {
    std::iter::from_fn(move || {
        loop {
            let (character, len) = bstr::decode_utf8(name);
            let character = character.filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}'))?;
            name = &name[len..];
            if !matches!(character, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
            {
                return Some(character);
            }
        }
    })
}
