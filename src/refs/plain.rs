//! Lines of packed-refs as git writes them, recognised without a look at each byte by itself.
//!
//! This runs over every ref of the repository. All questions are put to sixteen bytes at once, in sums without branches of
//! which the compiler makes vectors: the answer for a byte is 0 for yes.

use bstr::ByteSlice;

/// How many bytes are looked at together.
const WIDTH: usize = 16;

/// How many bytes the line of the ref at the start of `rest` takes, and how many what it peels to, if all of it is as git
/// writes it and its name is a usual one: the quick answer for nearly every ref.
#[inline]
pub fn ref_len(rest: &[u8], hex_len: usize) -> Option<(usize, usize)> {
    let (hex, behind) = rest.split_at_checked(hex_len)?;
    let (b' ', name) = behind.split_first()? else { return None };
    let name_len = usual_name_len(name).filter(|_| is_lower_hex(hex))?;
    match &name[name_len + 1..] {
        [b'^', peeled @ ..] => {
            let (hex, behind) = peeled.split_at_checked(hex_len)?;
            (is_lower_hex(hex) && behind.first() == Some(&b'\n')).then_some((hex_len + name_len + 2, hex_len + 2))
        }
        _ => Some((hex_len + name_len + 2, 0)),
    }
}

/// True for hex as git writes it.
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

/// How long the name is that ends at the first LF of `bytes`, if it is surely well formed: letters, digits, `-` and `_`, and
/// single `/` and `.` between them, where no component can end in `.lock`. The last names of a file may get no answer.
fn usual_name_len(bytes: &[u8]) -> Option<usize> {
    let chunks = bytes.as_chunks::<WIDTH>().0.iter().zip(bytes.get(1..)?.as_chunks::<WIDTH>().0);
    let mut dots = 0;
    for (number, (here, next)) in chunks.enumerate() {
        dots |= u128::from_ne_bytes(each(|at| is_zero(here[at] ^ b'.')));
        let Some(at) = first(each(|at| is_strange(here[at], next[at]))) else { continue };
        let (name, behind) = bytes.split_at(number * WIDTH + at);
        let (start, end) = (name.first()?, name.last()?);
        let is_usual = behind.first() == Some(&b'\n') && separator(*start) != 0 && separator(*end) != 0;
        return (is_usual && (dots == 0 || !name.contains_str(".lock"))).then_some(name.len());
    }
    None
}

/// 0 if `byte` is of a usual name, and `next` may follow it there.
fn is_strange(byte: u8, next: u8) -> u8 {
    // `-`, `.`, `/` and the digits follow one another.
    let in_range = above(byte, b'-', b'9').min(above(byte | 0x20, b'a', b'z'));
    let part = in_range.min(byte ^ b'_').min(!byte & 0x80);
    part | is_zero(separator(byte) | separator(next))
}

/// 0 for `.` and `/`.
fn separator(byte: u8) -> u8 {
    above(byte, b'.', b'/')
}

/// 0 for what is from `low` to `high`.
fn above(byte: u8, low: u8, high: u8) -> u8 {
    byte.wrapping_sub(low).saturating_sub(high - low)
}

/// 1 for 0, and 0 for the rest.
fn is_zero(byte: u8) -> u8 {
    1_u8.saturating_sub(byte)
}

fn each(answer: impl Fn(usize) -> u8) -> [u8; WIDTH] {
    let mut all = [0; WIDTH];
    for (at, one) in all.iter_mut().enumerate() {
        *one = answer(at);
    }
    all
}

/// The first that is not 0.
fn first(answers: [u8; WIDTH]) -> Option<usize> {
    let answers = u128::from_le_bytes(answers);
    (answers != 0).then(|| answers.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn no_name_is_usual_that_is_not_well_formed() {
        // Behind each line there is more, so that every name gets an answer.
        let judged = |name: &[u8]| usual_name_len(&[name, b"\n", &[b'\n'; 64]].concat());
        let mut usual = 0;
        for at in 0..40 {
            for pair in 0..=u16::MAX {
                let mut name = *b"refs/heads/a-branch/of_some.length/and-more";
                name[at..at + 2].copy_from_slice(&pair.to_ne_bytes());
                let has_lf = name.contains(&b'\n');
                if let Some(length) = judged(&name) {
                    assert!(length == name.len() || has_lf, "{}", name.as_bstr());
                    assert!(is_well_formed_one_level(name[..length].as_bstr()), "{}", name.as_bstr());
                    usual += 1;
                }
            }
        }
        assert!(usual > 40 * 60 * 60, "{usual}");
        for name in
            ["refs/heads/a.lock", "refs/heads/a.lock/b", "refs//a", "/refs/a", "refs/a/", "refs/a.", "refs/a..b", ""]
        {
            assert_eq!(judged(name.as_bytes()), None, "{name}");
        }
        assert_eq!(judged(b"refs/heads/\xc3\xa4.b"), Some(15));
    }
}
