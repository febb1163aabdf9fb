//! Who signed a push: what hooks are told of its certificate (githooks, "pre-receive"; git-receive-pack, "PRE-RECEIVE HOOK").
//!
//! Nothing is decided here. A push with a bad signature, or with the certificate of another push, goes on: hooks judge.

mod gpg;
pub mod nonce;
mod program;
mod ssh;

use std::{
    ffi::{OsStr, OsString},
    fmt::{self, Display},
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::{Context, Result, bail};
use bstr::BString;
use gix::ObjectId;

use self::{nonce::Seen, program::Programs};
use crate::{
    config::Settings,
    wire::push_cert::{Armour, PushCert},
};

/// What the program that checked a signature said of it; empty text where it said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Whether it is good.
    pub status: Status,
    /// Who signed: a user id, the subject of an X.509 certificate, an SSH principal.
    pub signer: BString,
    /// With which key: its long id, the fingerprint of an X.509 certificate, `SHA256:…` of an SSH key.
    pub key: BString,
}

/// The letters of `GIT_PUSH_CERT_STATUS`. There is no `U` among them: git tells the worth of a key from that of its
/// signature, and shows hooks the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `G`: good, whether or not the key is trusted.
    Good,
    /// `B`: it is not of this text, or none at all, or its SSH key is revoked.
    Bad,
    /// `X`: good, and expired.
    Expired,
    /// `Y`: good, made with a key that has expired.
    ExpiredKey,
    /// `R`: good, made with a key that was revoked.
    RevokedKey,
    /// `E`: it cannot be checked, for want of the key perhaps; or there are several.
    Unchecked,
    /// `N`: nothing was said of any signature.
    None,
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Good => "G",
            Status::Bad => "B",
            Status::Expired => "X",
            Status::ExpiredKey => "Y",
            Status::RevokedKey => "R",
            Status::Unchecked => "E",
            Status::None => "N",
        })
    }
}

impl Signature {
    /// Nobody is known to have signed.
    fn of_nobody(status: Status) -> Self {
        Signature { status, signer: BString::default(), key: BString::default() }
    }
}

/// Have the signature of `certificate` checked by the program for its kind, as `settings` name it, with `environment` beside
/// this process's own. The signature is kept in a file in `scratch` meanwhile.
///
/// Fails on one of no known kind, and on settings that make no sense.
pub fn check(
    certificate: &PushCert,
    settings: &Settings,
    environment: &[(OsString, OsString)],
    scratch: &Path,
) -> Result<Signature> {
    let Some(armour) = certificate.armour() else {
        bail!("bad/incompatible signature '{}'", certificate.signature());
    };
    let programs = Programs::read(settings, environment)?;
    let file = scratch.join("signature");
    let cannot = || format!("cannot keep the signature of the push certificate in '{}'", file.display());
    fs::write(&file, certificate.signature()).with_context(cannot)?;
    let checked = match armour {
        Armour::OpenPgp => gpg::check_openpgp(&programs, &file, certificate.payload()),
        Armour::X509 => gpg::check_x509(&programs, &file, certificate.payload()),
        Armour::Ssh => ssh::check(&programs, &file, certificate.payload()),
    };
    fs::remove_file(&file).with_context(cannot)?;
    checked
}

/// The variables by which hooks know the certificate that is stored as the blob `id`; those of the nonce only where one was
/// asked for.
pub fn variables(id: &ObjectId, signature: &Signature, nonce: Option<&Seen>) -> Vec<(OsString, OsString)> {
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("GIT_PUSH_CERT".into(), id.to_string().into()),
        ("GIT_PUSH_CERT_SIGNER".into(), text(&signature.signer)),
        ("GIT_PUSH_CERT_KEY".into(), text(&signature.key)),
        ("GIT_PUSH_CERT_STATUS".into(), signature.status.to_string().into()),
    ];
    if let Some(Seen { nonce, status }) = nonce {
        variables.push(("GIT_PUSH_CERT_NONCE".into(), text(nonce.as_bytes())));
        variables.push(("GIT_PUSH_CERT_NONCE_STATUS".into(), status.word().into()));
        if let nonce::Status::Slop(seconds) = status {
            variables.push(("GIT_PUSH_CERT_NONCE_SLOP".into(), seconds.to_string().into()));
        }
    }
    variables
}
