//! Signatures made with OpenSSH keys, checked by ssh-keygen (its manual page, "-Y"): first it says whose key it is, according to
//! the file of allowed signers, then whether the signature is good for one of these.

use std::{ffi::OsStr, path::Path};

use anyhow::Result;
use bstr::{BStr, ByteSlice};

use super::{
    Signature, Status,
    program::{Programs, Said},
};

/// Check the signature in `file` of `payload`.
pub fn check(programs: &Programs<'_>, file: &Path, payload: &[u8]) -> Result<Signature> {
    let Some(allowed) = &programs.allowed_signers else {
        say!("error: gpg.ssh.allowedSignersFile needs to be configured and exist for ssh signature verification");
        return Ok(Signature::of_nobody(Status::None));
    };
    let ask = |action: &str, arguments: &[&OsStr], stdin: &[u8]| -> Result<Option<Said>> {
        let action = ["-Y", action].map(OsStr::new);
        let said = programs.run(&programs.ssh, &[&action, arguments].concat(), stdin)?;
        Ok(said.filter(|said| said.is_success))
    };
    // What git's signatures are made for, so that none made for another purpose passes.
    let namespace = ["-n", "git"].map(OsStr::new);
    let allowed = [OsStr::new("-f"), allowed.as_os_str()];
    let signature = [OsStr::new("-s"), file.as_os_str()];

    let found = ask("find-principals", &[allowed, signature].concat(), b"")?;
    let principals = found.map(|said| said.output).unwrap_or_default();
    let mut said = None;
    if principals.is_empty() {
        // Nobody's key that is known here, but the signature may be good all the same.
        said = ask("check-novalidate", &[namespace, signature].concat(), payload)?;
    }
    for principal in principals.lines().filter(|line| !line.is_empty()) {
        let who = [OsStr::new("-I"), principal.to_os_str()?];
        let arguments = [&[namespace, allowed, who, signature].concat(), revocations(programs).as_slice()].concat();
        said = ask("verify", &arguments, payload)?;
        if said.is_some() {
            break;
        }
    }
    Ok(said.and_then(|said| read(&said.output)).unwrap_or(Signature::of_nobody(Status::Bad)))
}

/// The arguments that name the file of revoked keys. One that is not there revokes none, which is told.
fn revocations<'a>(programs: &'a Programs<'_>) -> Vec<&'a OsStr> {
    match &programs.revocations {
        Some(file) if file.exists() => vec![OsStr::new("-r"), file.as_os_str()],
        Some(file) => {
            say!("warning: ssh signing revocation file configured but not found: {}", file.display());
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// What ssh-keygen says of a good signature: `Good "git" signature for <principal> with <type> key <fingerprint>`, or without
/// `for <principal>`.
fn read(output: &[u8]) -> Option<Signature> {
    let line = output.lines().map(ByteSlice::trim_end).find(|line| !line.is_empty())?;
    let rest = line.strip_prefix(b"Good \"git\" signature ")?;
    // A principal may have any words in it, but nothing behind it has.
    let (signer, with) = match rest.strip_prefix(b"for ") {
        Some(rest) => rest.rsplit_once_str(" with ")?,
        None => (&b""[..], rest.strip_prefix(b"with ")?),
    };
    let (_, key) = with.split_once_str("key ")?;
    Some(Signature { status: Status::Good, signer: BStr::new(signer).into(), key: key.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_signature_is_read_and_nothing_else_is() {
        let shown = |output: &str| read(output.as_bytes()).map(|it| format!("{} {}/{}", it.status, it.key, it.signer));
        let expect = |output: &str, expected: Option<&str>| assert_eq!(shown(output).as_deref(), expected, "{output}");
        expect("Good \"git\" signature for a@b with ED25519 key SHA256:abc\n", Some("G SHA256:abc/a@b"));
        expect("\nGood \"git\" signature with RSA key SHA256:abc  \nmore", Some("G SHA256:abc/"));
        let words = "Good \"git\" signature for one with a key of his own with ED25519-SK key SHA256:abc\n";
        expect(words, Some("G SHA256:abc/one with a key of his own"));
        for other in [
            "",
            "Could not verify signature.\n",
            "Good \"file\" signature for a@b with ED25519 key SHA256:abc\n",
            "Good \"git\" signature for a@b\n",
            "Good \"git\" signature for a@b with ED25519 SHA256:abc\n",
            "First this\nGood \"git\" signature with RSA key SHA256:abc\n",
        ] {
            expect(other, None);
        }
    }
}
