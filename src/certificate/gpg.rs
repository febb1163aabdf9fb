//! Signatures of OpenPGP and X.509, checked by gpg and gpgsm, which say on a channel for programs what they have found
//! (GnuPG's doc/DETAILS, "Format of the --status-fd output").

use std::{ffi::OsStr, path::Path};

use anyhow::Result;
use bstr::ByteSlice;

use super::{
    Signature, Status,
    program::{Programs, Said},
};

/// What a line says of a signature, and whether it names who signed. There can be one of these for each signature.
const FINDINGS: [(&[u8], Status, bool); 6] = [
    (b"GOODSIG ", Status::Good, true),
    (b"BADSIG ", Status::Bad, true),
    (b"ERRSIG ", Status::Unchecked, false),
    (b"EXPSIG ", Status::Expired, true),
    (b"EXPKEYSIG ", Status::ExpiredKey, true),
    (b"REVKEYSIG ", Status::RevokedKey, true),
];

const TRUST: [&[u8]; 5] = [b"UNDEFINED", b"NEVER", b"MARGINAL", b"FULLY", b"ULTIMATE"];

/// True if `level` is a degree of trust in a key.
pub fn is_trust_level(level: &[u8]) -> bool {
    TRUST.iter().any(|known| level.eq_ignore_ascii_case(known))
}

/// Check the OpenPGP signature in `file` of `payload`.
pub fn check_openpgp(programs: &Programs<'_>, file: &Path, payload: &[u8]) -> Result<Signature> {
    check(programs, &programs.openpgp, &["--keyid-format=long"], file, payload)
}

/// Check the X.509 signature in `file` of `payload`.
pub fn check_x509(programs: &Programs<'_>, file: &Path, payload: &[u8]) -> Result<Signature> {
    check(programs, &programs.x509, &[], file, payload)
}

fn check(programs: &Programs<'_>, program: &Path, options: &[&str], file: &Path, payload: &[u8]) -> Result<Signature> {
    let options = options.iter().copied().chain(["--status-fd=1", "--verify"]).map(OsStr::new);
    let arguments: Vec<_> = options.chain([file.as_os_str(), OsStr::new("-")]).collect();
    Ok(match programs.run(program, &arguments, payload)? {
        None => Signature::of_nobody(Status::None),
        // So much is not said of one signature.
        Some(Said { is_cut: true, .. }) => Signature::of_nobody(Status::Unchecked),
        Some(said) => read(&said.output),
    })
}

/// What `output` says of the signature.
fn read(output: &[u8]) -> Signature {
    let mut found: Option<Signature> = None;
    for line in output.lines().filter_map(|line| line.strip_prefix(b"[GNUPG:] ")) {
        if let Some(trust) = line.strip_prefix(b"TRUST_")
            && !TRUST.contains(&trust.fields().next().unwrap_or_default())
        {
            return Signature::of_nobody(Status::Unchecked);
        }
        let finding = FINDINGS.iter().find_map(|(word, status, has_signer)| {
            let (key, signer) = line.strip_prefix(*word).map(|rest| rest.split_once_str(" ").unwrap_or((rest, b"")))?;
            let signer = if *has_signer { signer } else { b"" };
            Some(Signature { status: *status, signer: signer.into(), key: key.into() })
        });
        // The client must not choose which of several counts.
        if finding.is_some() && found.is_some() {
            return Signature::of_nobody(Status::Unchecked);
        }
        found = found.or(finding);
    }
    found.unwrap_or(Signature::of_nobody(Status::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, key and signer, as git 2.47 shows hooks what its gpg says.
    fn shown(lines: &[&str]) -> String {
        let output: String = lines.iter().map(|line| format!("[GNUPG:] {line}\n")).collect();
        let Signature { status, signer, key } = read(output.as_bytes());
        format!("{status} {key}/{signer}")
    }

    #[test]
    fn each_finding_has_its_letter() {
        for (line, expected) in [
            ("GOODSIG 12 A U Thor <a@example.org>", "G 12/A U Thor <a@example.org>"),
            ("BADSIG 12 A", "B 12/A"),
            ("ERRSIG 12 1 10 00 17 9 -", "E 12/"),
            ("EXPSIG 12 A", "X 12/A"),
            ("EXPKEYSIG 12 A", "Y 12/A"),
            ("REVKEYSIG 12 A", "R 12/A"),
            ("NODATA 4", "N /"),
            ("GOODSIG", "N /"),
            ("GOODSIG 12", "G 12/"),
            ("GOODSIG 12  A ", "G 12/ A "),
            ("VALIDSIG 12", "N /"),
        ] {
            assert_eq!(shown(&["NEWSIG", "KEY_CONSIDERED 12 0", line, "SOMETHING ELSE"]), expected);
        }
        assert_eq!(read(b"gpg: GOODSIG 12 A\nx [GNUPG:] GOODSIG 12 A\n").status, Status::None);
    }

    #[test]
    fn trust_changes_nothing_and_nonsense_counts_for_nothing() {
        for trust in ["TRUST_NEVER", "TRUST_UNDEFINED 0 pgp", "TRUST_ULTIMATE 0 shell"] {
            assert_eq!(shown(&["GOODSIG 12 A", trust]), "G 12/A");
        }
        assert_eq!(shown(&["GOODSIG 12 A", "TRUST_BOGUS"]), "E /");
        for second in ["GOODSIG 13 B", "ERRSIG 13", "BADSIG 12 A"] {
            assert_eq!(shown(&["GOODSIG 12 A", second]), "E /");
        }
    }
}
