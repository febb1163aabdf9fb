//! The lines of a journal: words that are escaped, and a checksum behind them of everything up to there.

use bstr::{BString, ByteSlice};

/// The checksum of all words so far.
#[derive(Debug, Clone, Default)]
pub struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// The checksum behind the whole lines of `text`, and their length in bytes.
    pub fn of(text: &[u8]) -> (Self, u64) {
        let (mut checksum, mut length) = (Checksum::default(), 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let mut behind = checksum.clone();
            if checked(line, &mut behind).is_none() {
                break;
            }
            checksum = behind;
            length += line.len() as u64;
        }
        (checksum, length)
    }

    /// Go on over the words of one line.
    pub(super) fn update(&mut self, words: &[u8]) {
        self.0.update(words);
        self.0.update(b"\n");
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0.clone().finalize())
    }
}

/// The words of each line up to the first whose checksum does not hold.
pub(super) fn whole_lines(text: &[u8]) -> impl Iterator<Item = Vec<BString>> {
    let mut checksum = Checksum::default();
    text.split_inclusive(|byte| *byte == b'\n')
        .map_while(move |line| Some(checked(line, &mut checksum)?.split_str(" ").map(unescape).collect()))
}

/// The words of a line whose checksum holds; `checksum` is that of the lines before, and then of this one too.
fn checked<'l>(line: &'l [u8], checksum: &mut Checksum) -> Option<&'l [u8]> {
    let (words, sum) = line.strip_suffix(b"\n")?.rsplit_once_str(" ")?;
    checksum.update(words);
    (sum == checksum.to_string().as_bytes()).then_some(words)
}

/// Append `word` with nothing in it that separates words or lines.
pub(super) fn escape(word: &[u8], out: &mut Vec<u8>) {
    for &byte in word {
        if byte <= b' ' || byte == b'%' || byte == 0x7f {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

fn unescape(word: &[u8]) -> BString {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, behind)) = rest.split_first() {
        let hex = behind
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(value) if byte == b'%' => {
                out.push(value);
                rest = &behind[2..];
            }
            _ => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    out.into()
}
