//! The text of a push certificate (gitprotocol-pack, "Push Certificate"): which part of it says what to update.

use anyhow::{Result, bail};
use bstr::{BStr, ByteSlice};

/// What the lines begin with that open a signature: OpenPGP in both its forms, X.509, SSH.
const ARMOUR: [&[u8]; 4] = [
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
];

/// The update lines of a certificate: what is between its first blank line and its signature, which need not be there.
pub fn commands(certificate: &BStr) -> Result<impl Iterator<Item = &[u8]>> {
    let Some(header) = certificate.find(b"\n\n") else {
        bail!("malformed push certificate {}", certificate[..certificate.len().min(100)].as_bstr());
    };
    // The last opening counts.
    let mut end = certificate.len();
    let mut at = 0;
    for line in certificate.lines_with_terminator() {
        if ARMOUR.iter().any(|armour| line.starts_with(armour)) {
            end = at;
        }
        at += line.len();
    }
    let body = certificate.get(header + 2..end).unwrap_or_default();
    Ok(body.lines_with_terminator().map(|line| line.strip_suffix(b"\n").unwrap_or(line)))
}
