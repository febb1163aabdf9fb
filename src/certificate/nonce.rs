//! The nonce that a certificate has to repeat, so that nobody can use it a second time (git-config, "receive.certNonceSeed",
//! "receive.certNonceSlop"): `<seconds>-<HMAC in hex>`, of a text that only those know who have the seed.

use std::{
    hint::black_box,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use bstr::{BStr, ByteSlice};
use gix::{ObjectId, hash::Kind};

/// A nonce that this process gives out, and what it was made from.
#[derive(Debug, Clone)]
pub struct Nonce<'a> {
    directory: &'a BStr,
    seed: &'a BStr,
    hash: Kind,
    /// Seconds since 1970.
    at: i64,
    text: String,
}

/// The nonce of a certificate, as hooks see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The one given out; that of the certificate if it counts as such.
    pub nonce: String,
    /// How the certificate's compares to it.
    pub status: Status,
}

/// What is to be said of a certificate's nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is the one that was given out, or as good as that.
    Ok,
    /// It is none that was given out here.
    Bad,
    /// There is none.
    Missing,
    /// It was given out so many seconds before this process did, or after it if negative.
    Slop(i64),
}

impl Status {
    /// The word in `GIT_PUSH_CERT_NONCE_STATUS`.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Bad => "BAD",
            Status::Missing => "MISSING",
            Status::Slop(_) => "SLOP",
        }
    }
}

impl<'a> Nonce<'a> {
    /// One for this moment and the repository that the client calls `directory`, with the HMAC of its `hash`.
    pub fn issue(directory: &'a BStr, hash: Kind, seed: &'a BStr) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self::given_out_at(i64::try_from(now)?, directory, hash, seed)
    }

    /// The one that was or will be given out so many seconds after 1970 began.
    pub fn given_out_at(at: i64, directory: &'a BStr, hash: Kind, seed: &'a BStr) -> Result<Self> {
        // git takes the public text for the key and the seed for the message. Processes of both kinds may serve one repository,
        // and each has to know the other's.
        let mac = hmac(hash, format!("{directory}:{at}").as_bytes(), seed)?;
        Ok(Nonce { directory, seed, hash, at, text: format!("{at}-{mac}") })
    }

    /// What the client is to sign.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What to say of a certificate whose nonce is `received`.
    ///
    /// In a conversation nothing but this very nonce will do. Otherwise it was given out by another process, perhaps on
    /// another machine: `slop` is by how many seconds it may be off, 0 if such a nonce is never as good as this one.
    pub fn judge(&self, received: Option<&BStr>, slop: Option<u64>) -> Result<Seen> {
        let seen = |status| Ok(Seen { nonce: self.text.clone(), status });
        let Some(received) = received else { return seen(Status::Missing) };
        if is_same(received, self.text.as_bytes()) {
            return seen(Status::Ok);
        }
        let (Some(slop), Some(at)) = (slop, seconds_of(received)) else { return seen(Status::Bad) };
        let expected = Self::given_out_at(at, self.directory, self.hash, self.seed)?;
        if !is_same(received, expected.text.as_bytes()) {
            return seen(Status::Bad);
        }
        let off = self.at - at;
        if slop > 0 && off.unsigned_abs() <= slop {
            return Ok(Seen { nonce: expected.text, status: Status::Ok });
        }
        seen(Status::Slop(off))
    }
}

/// When a nonce claims to have been given out.
fn seconds_of(nonce: &BStr) -> Option<i64> {
    let (seconds, _) = nonce.split_once_str("-")?;
    seconds.to_str().ok()?.parse().ok()
}

/// True if the texts are equal, after a time that does not tell where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
    a.len() == b.len() && differences == 0
}

/// RFC 2104. Both hashes work on blocks of 64 bytes.
fn hmac(hash: Kind, key: &[u8], message: &[u8]) -> Result<ObjectId> {
    let mut block = [0; 64];
    if key.len() > block.len() {
        let digest = digest(hash, &[key])?;
        block[..digest.as_slice().len()].copy_from_slice(digest.as_slice());
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = digest(hash, &[&block.map(|byte| byte ^ 0x36), message])?;
    digest(hash, &[&block.map(|byte| byte ^ 0x5c), inner.as_slice()])
}

fn digest(hash: Kind, parts: &[&[u8]]) -> Result<ObjectId> {
    let mut hasher = gix::hash::hasher(hash);
    parts.iter().for_each(|part| hasher.update(part));
    Ok(hasher.try_finalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_that_of_the_rfcs() {
        let check = |hash, key: &[u8], message: &str, expected: &str| {
            assert_eq!(hmac(hash, key, message.as_bytes()).unwrap().to_string(), expected);
        };
        // RFC 2202 (SHA-1) and RFC 4231 (SHA-256): a short key, and one that is longer than a block.
        let question = "what do ya want for nothing?";
        check(Kind::Sha1, b"Jefe", question, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let long = "Test Using Larger Than Block-Size Key - Hash Key First";
        check(Kind::Sha1, &[0xaa; 80], long, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        check(Kind::Sha256, b"Jefe", question, expected);
        let expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        check(Kind::Sha256, &[0xaa; 131], long, expected);
    }

    #[test]
    fn a_nonce_is_good_for_one_process_one_directory_and_one_seed() {
        let [here, seed] = ["srv.git", "sesame"].map(BStr::new);
        let nonce = |at, directory, seed| Nonce::given_out_at(at, directory, Kind::Sha1, seed).unwrap();
        let now = nonce(1_795_263_995, here, seed);
        // As git 2.47 gave it out.
        assert_eq!(now.text(), "1795263995-defe1c60540534515d8bbabe88c555f8475cf75f");
        let judge = |received: &Nonce<'_>, slop| now.judge(Some(received.text.as_bytes().as_bstr()), slop).unwrap();
        let status = |received: &Nonce<'_>, slop| judge(received, slop).status;
        for slop in [None, Some(0), Some(9)] {
            assert_eq!(judge(&now, slop), Seen { nonce: now.text.clone(), status: Status::Ok });
            assert_eq!(now.judge(None, slop).unwrap().status, Status::Missing);
            assert_eq!(status(&nonce(now.at, BStr::new("./srv.git"), seed), slop), Status::Bad);
            assert_eq!(status(&nonce(now.at - 5, here, BStr::new("open")), slop), Status::Bad);
            for nonsense in ["", "-", "0-0", "99999999999999999999-0", "1795263995", "-1-2", &now.text[..50]] {
                assert_eq!(now.judge(Some(nonsense.into()), slop).unwrap().status, Status::Bad, "{nonsense}");
            }
        }
        let (earlier, later) = (nonce(now.at - 10, here, seed), nonce(now.at + 10, here, seed));
        assert_eq!([&earlier, &later].map(|it| status(it, None)), [Status::Bad; 2]);
        for slop in [0, 9] {
            assert_eq!(judge(&earlier, Some(slop)), Seen { nonce: now.text.clone(), status: Status::Slop(10) });
            assert_eq!(status(&later, Some(slop)), Status::Slop(-10));
        }
        assert_eq!(judge(&earlier, Some(10)), Seen { nonce: earlier.text.clone(), status: Status::Ok });
        assert_eq!(status(&later, Some(10)), Status::Ok);
    }
}
