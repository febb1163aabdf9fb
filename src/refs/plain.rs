//! Lines of packed-refs as git writes them, recognised without a look at each byte by itself.
//!
//! This runs over every ref of the repository. All questions are put to sixteen bytes at once, in sums without branches of
//! which the compiler makes vectors: the answer for a byte is 0 for yes.

/// How many bytes are looked at together.
const WIDTH: usize = 16;

/// How many bytes the line of the ref at the start of `rest` takes, and how many what it peels to, if all of it is as git
/// writes it and its name is a usual one: the quick answer for nearly every ref. The last of a file may get none.
///
/// Where the line ends is found out first and by itself, so that a processor need not wait for the other answers before it
/// begins with the next line.
#[inline]
pub fn ref_len(rest: &[u8], hex_len: usize) -> Option<(usize, usize)> {
    let (hex, behind) = rest.split_at_checked(hex_len)?;
    let (b' ', name) = behind.split_first()? else { return None };
    let (name, behind) = name.split_at(line_end(name)? + 1);
    if !(is_lower_hex(hex) & is_usual(name)) {
        return None;
    }
    let len = hex_len + 1 + name.len();
    match behind {
        [b'^', peeled @ ..] => {
            let (hex, behind) = peeled.split_at_checked(hex_len)?;
            (is_lower_hex(hex) && behind.first() == Some(&b'\n')).then_some((len, hex_len + 2))
        }
        _ => Some((len, 0)),
    }
}

/// True for hex as git writes it.
#[inline]
pub fn is_lower_hex(bytes: &[u8]) -> bool {
    let strange = |byte: u8| above(byte, b'0', b'9').min(above(byte, b'a', b'f'));
    // What the chunks leave over is looked at with what comes before it.
    let Some(last) = bytes.last_chunk::<WIDTH>() else { return bytes.iter().all(|byte| strange(*byte) == 0) };
    let mut found = each(|at| strange(last[at]));
    for chunk in bytes.as_chunks::<WIDTH>().0 {
        found = each(|at| found[at] | strange(chunk[at]));
    }
    u128::from_ne_bytes(found) == 0
}

/// Where the first LF is, unless it is among the last bytes.
#[inline]
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.as_chunks::<WIDTH>().0.iter().enumerate().find_map(|(number, chunk)| {
        let found = u128::from_le_bytes(each(|at| if chunk[at] == b'\n' { u8::MAX } else { 0 }));
        (found != 0).then(|| number * WIDTH + found.trailing_zeros() as usize / 8)
    })
}

/// True if `line`, a name with its LF, is surely well formed: letters, digits, `-` and `_`, and single `/` and `.` between
/// them, where no component can end in `.lock`. Short ones get a no.
#[inline]
fn is_usual(line: &[u8]) -> bool {
    let (Some((_, name)), Some(next)) = (line.split_last(), line.get(1..)) else { return false };
    let (Some(last), Some(behind)) = (name.last_chunk::<WIDTH>(), next.last_chunk::<WIDTH>()) else { return false };
    let mut found = each(|at| is_strange(last[at], behind[at]));
    for (here, next) in name.as_chunks::<WIDTH>().0.iter().zip(next.as_chunks::<WIDTH>().0) {
        found = each(|at| found[at] | is_strange(here[at], next[at]));
    }
    (u128::from_ne_bytes(found) == 0) & (separator(name[0]) != 0) & (separator(last[WIDTH - 1]) != 0)
}

/// 0 if `byte` is of a usual name, and `next` may follow it there.
fn is_strange(byte: u8, next: u8) -> u8 {
    // `-`, `.`, `/` and the digits follow one another.
    let in_range = above(byte, b'-', b'9').min(above(byte | 0x20, b'a', b'z'));
    let part = in_range.min(byte ^ b'_').min(!byte & 0x80);
    // `.` and `/` differ in the last bit alone.
    let two_separators = 2_u8.saturating_sub((byte ^ b'/') | (next ^ b'/'));
    let may_be_lock = 1_u8.saturating_sub((byte ^ b'.') | (next ^ b'l'));
    part | two_separators | may_be_lock
}

/// 0 for `.` and `/`.
fn separator(byte: u8) -> u8 {
    above(byte, b'.', b'/')
}

/// 0 for what is from `low` to `high`.
fn above(byte: u8, low: u8, high: u8) -> u8 {
    byte.wrapping_sub(low).saturating_sub(high - low)
}

fn each(answer: impl Fn(usize) -> u8) -> [u8; WIDTH] {
    let mut all = [0; WIDTH];
    for (at, one) in all.iter_mut().enumerate() {
        *one = answer(at);
    }
    all
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::*;
    use crate::refs::name::is_well_formed_one_level;

    #[test]
    fn hex_is_told_from_anything_else_at_any_place() {
        for byte in 0..=255 {
            for at in 0..40 {
                let mut hex = [b'7'; 40];
                hex[at] = byte;
                assert_eq!(is_lower_hex(&hex), matches!(byte, b'0'..=b'9' | b'a'..=b'f'), "{byte} at {at}");
            }
        }
    }

    /// How long the name at the start of `text` is, if its line is judged to be one that git wrote.
    fn judged(text: &[u8]) -> Option<usize> {
        // Behind each line there is more, so that every name gets an answer.
        let rest = [&[b'7'; 40], &b" "[..], text, b"\n", &[b'\n'; 64]].concat();
        ref_len(&rest, 40).map(|(len, _)| len - 42)
    }

    #[test]
    fn no_name_is_usual_that_is_not_well_formed() {
        let mut usual = 0;
        for at in 0..40 {
            for pair in 0..=u16::MAX {
                let mut name = *b"refs/heads/a-branch/of_some.height/and-more";
                name[at..at + 2].copy_from_slice(&pair.to_ne_bytes());
                let has_lf = name.contains(&b'\n');
                if let Some(length) = judged(&name) {
                    assert!(length == name.len() || has_lf, "{}", name.as_bstr());
                    assert!(is_well_formed_one_level(name[..length].as_bstr()), "{}", name.as_bstr());
                    usual += 1;
                }
            }
        }
        // Pairs of the 64 bytes of usual names and of those behind ASCII, more than half of them.
        assert!(usual > 40 * 150 * 150, "{usual}");
    }

    #[test]
    fn the_start_and_the_end_of_a_name_count() {
        for (start, end) in [
            ("", ".lock"),
            ("", ".lock/b"),
            ("", "/"),
            ("", "."),
            ("", "..b"),
            ("", "//b"),
            ("", "./b"),
            ("/", ""),
            (".", ""),
        ] {
            for len in 16..50 {
                let name = format!("{start}{}{end}", "a".repeat(len));
                assert_eq!(judged(name.as_bytes()), None, "{name}");
            }
        }
        for len in 16..50 {
            assert_eq!(judged("a".repeat(len).as_bytes()), Some(len));
            let name = format!("refs/{}/\u{e4}.b", "a".repeat(len));
            assert_eq!(judged(name.as_bytes()), Some(name.len()));
        }
        assert_eq!(judged(b""), None);
    }
}
