//! Deltas: how an object is made from another one (gitformat-pack, "Deltified representation").

use anyhow::{Result, bail, ensure};

/// git takes nothing shorter for a delta, and could not read the object again.
const SHORTEST: usize = 4;

/// The sizes of base and result that `delta` claims, and its instructions.
fn sizes(delta: &[u8]) -> Result<(u64, u64, &[u8])> {
    ensure!(delta.len() >= SHORTEST, "delta of {} bytes", delta.len());
    let (base, rest) = size(delta)?;
    let (result, rest) = size(rest)?;
    Ok((base, result, rest))
}

fn size(delta: &[u8]) -> Result<(u64, &[u8])> {
    let mut size = 0;
    for (at, &byte) in delta.iter().enumerate().take(9) {
        size |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((size, &delta[at + 1..]));
        }
    }
    bail!("delta without sizes")
}

/// One step of a delta.
enum Step<'a> {
    /// So many bytes of the base, from there.
    Copy(usize, usize),
    /// These bytes.
    Insert(&'a [u8]),
}

/// The first instruction and those behind it; `None` at the end, or where it breaks off.
fn step(instructions: &[u8]) -> Option<(Step<'_>, &[u8])> {
    let (&code, mut rest) = instructions.split_first()?;
    if code & 0x80 == 0 {
        let (bytes, rest) = rest.split_at_checked(usize::from(code))?;
        return (code != 0).then_some((Step::Insert(bytes), rest));
    }
    let mut number = |bits: std::ops::Range<u8>| {
        let mut number = 0;
        for (place, _) in bits.enumerate().filter(|(_, bit)| code >> bit & 1 == 1) {
            let (&byte, behind) = rest.split_first()?;
            number |= usize::from(byte) << (8 * place);
            rest = behind;
        }
        Some(number)
    };
    let from = number(0..4)?;
    let len = number(4..7)?;
    Some((Step::Copy(from, if len == 0 { 0x10000 } else { len }), rest))
}

/// How many bytes the instructions make of a base of `base` bytes, while more than `reserve` bytes of them are left, and what
/// is left of them then.
fn measure(base: u64, mut rest: &[u8], reserve: usize) -> Result<(u64, &[u8])> {
    let mut made = 0;
    while rest.len() > reserve {
        let Some((next, behind)) = step(rest) else { bail!("delta with a bad instruction") };
        made += match next {
            Step::Insert(bytes) => bytes.len() as u64,
            Step::Copy(from, len) => {
                ensure!((from + len) as u64 <= base, "delta copies from beyond its base");
                len as u64
            }
        };
        rest = behind;
    }
    Ok((made, rest))
}

/// What `delta` makes of `base`, into `result`, which is cleared. Nothing is allocated before all of `delta` was checked:
/// the result is as large as its instructions say, never only as its header claims, and no larger than `limit` bytes.
pub fn apply(base: &[u8], delta: &[u8], limit: u64, result: &mut Vec<u8>) -> Result<()> {
    let (base_size, result_size, instructions) = sizes(delta)?;
    ensure!(base_size == base.len() as u64, "delta for a base of another size");
    let (made, _) = measure(base_size, instructions, 0)?;
    ensure!(made == result_size, "delta makes {made} bytes where it promised {result_size}");
    ensure!(
        made <= limit,
        "delta makes {made} bytes, more than the {limit} that core.bigFileThreshold leaves to deltas"
    );
    result.clear();
    result.reserve_exact(made as usize);
    let mut rest = instructions;
    while let Some((next, behind)) = step(rest) {
        match next {
            Step::Insert(bytes) => result.extend_from_slice(bytes),
            Step::Copy(from, len) => result.extend_from_slice(&base[from..from + len]),
        }
        rest = behind;
    }
    Ok(())
}

/// Checks a delta that comes in pieces, without its base: one that cannot be right is known before it is held in memory.
#[derive(Default)]
pub struct Check {
    /// What was not looked at yet.
    rest: Vec<u8>,
    /// The sizes of base and result.
    sizes: Option<(u64, u64)>,
    made: u64,
}

/// More than the two sizes take.
const SIZES: usize = 20;
/// One byte less than the longest instruction.
const RESERVE: usize = 127;

impl Check {
    /// Look at the next piece.
    pub fn take(&mut self, piece: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(piece);
        if self.rest.len() < SIZES { Ok(()) } else { self.look(RESERVE) }
    }

    /// There are no more.
    pub fn finish(mut self) -> Result<()> {
        self.look(0)?;
        let promised = self.sizes.map(|(_, result)| result);
        ensure!(promised == Some(self.made), "delta makes {} bytes where it promised others", self.made);
        Ok(())
    }

    fn look(&mut self, reserve: usize) -> Result<()> {
        let (base, result, rest) = match self.sizes {
            Some((base, result)) => (base, result, &self.rest[..]),
            None => sizes(&self.rest)?,
        };
        let (made, rest) = measure(base, rest, reserve)?;
        let seen = self.rest.len() - rest.len();
        self.sizes = Some((base, result));
        self.made += made;
        self.rest.drain(..seen);
        ensure!(self.made <= result, "delta makes more bytes than it promised");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(delta: &[u8]) -> Result<Vec<u8>> {
        let mut result = Vec::new();
        apply(b"hello world", delta, 1 << 20, &mut result).map(|()| result)
    }

    #[test]
    fn a_delta_copies_and_inserts() {
        let delta = [11, 9, 0x91, 6, 5, 4, b'!', b'!', b'!', b'!'];
        assert_eq!(applied(&delta).unwrap(), b"world!!!!");
        let mut check = Check::default();
        delta.chunks(3).for_each(|piece| check.take(piece).unwrap());
        check.finish().unwrap();
    }

    #[test]
    fn what_a_delta_claims_is_not_believed() {
        for (delta, complaint) in [
            (&[12, 1, 1, b'x'][..], "another size"),
            (&[11, 0xff, 0xff, 0xff, 0x7f, 1, b'x'], "promised 268435455"),
            (&[11, 1, 2, b'x'], "bad instruction"),
            (&[11, 1, 0, b'x'], "bad instruction"),
            (&[11, 5, 0x91, 8, 5], "beyond its base"),
            (&[11, 5, 0x91, 8], "bad instruction"),
            (&[11, 0x80, 0x80, 0x80], "without sizes"),
            (&[11, 0], "delta of 2 bytes"),
            (&[11, 0x80, 0], "delta of 3 bytes"),
            (&[0xff; 40], "without sizes"),
        ] {
            let err = applied(delta).unwrap_err().to_string();
            assert!(err.contains(complaint), "{delta:?}: {err}");
            let checked =
                delta.chunks(2).try_fold(Check::default(), |mut check, piece| check.take(piece).map(|()| check));
            let base_only = complaint == "another size";
            assert_eq!(checked.and_then(Check::finish).is_ok(), base_only, "{delta:?}");
        }
    }
}
