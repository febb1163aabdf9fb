//! The text of a push certificate (gitprotocol-pack, "Push Certificate"): headers, updates, and the signature under both.
//! What the signature is worth is for [`certificate`](crate::certificate) to find out.

use anyhow::{Result, bail};
use bstr::{BStr, BString, ByteSlice};

/// The kinds of signature that git knows, each with the lines that open one.
const ARMOUR: [(&[u8], Armour); 4] = [
    (b"-----BEGIN PGP SIGNATURE-----", Armour::OpenPgp),
    (b"-----BEGIN PGP MESSAGE-----", Armour::OpenPgp),
    (b"-----BEGIN SIGNED MESSAGE-----", Armour::X509),
    (b"-----BEGIN SSH SIGNATURE-----", Armour::Ssh),
];

/// Whose kind of signature it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armour {
    /// OpenPGP
    OpenPgp,
    /// X.509, in a PKCS#7 or CMS container
    X509,
    /// An OpenSSH key
    Ssh,
}

/// A certificate as it was received.
#[derive(Debug, Clone)]
pub struct PushCert {
    text: BString,
    /// Where the updates begin: behind the first empty line.
    body: usize,
    /// Where the signature begins; the end of the text if there is none.
    signature: usize,
    armour: Option<Armour>,
}

impl PushCert {
    /// Take a text apart; fails on one without an empty line. That it is signed, or has any header, is not asked for.
    pub fn parse(text: BString) -> Result<Self> {
        let Some(header) = text.find(b"\n\n") else {
            bail!("malformed push certificate {}", text[..text.len().min(100)].as_bstr());
        };
        // The last opening counts.
        let (mut signature, mut armour) = (text.len(), None);
        let mut at = 0;
        for line in text.lines_with_terminator() {
            if let Some((_, kind)) = ARMOUR.iter().find(|(opening, _)| line.starts_with(opening)) {
                (signature, armour) = (at, Some(*kind));
            }
            at += line.len();
        }
        Ok(PushCert { text, body: header + 2, signature, armour })
    }

    /// All of it.
    pub fn text(&self) -> &BStr {
        self.text.as_ref()
    }

    /// What is signed.
    pub fn payload(&self) -> &BStr {
        self.text[..self.signature].as_bstr()
    }

    /// The signature with its armour, empty if there is none.
    pub fn signature(&self) -> &BStr {
        self.text[self.signature..].as_bstr()
    }

    /// The kind of the signature, `None` if there is none.
    pub fn armour(&self) -> Option<Armour> {
        self.armour
    }

    /// The values of all headers `<name> SP <value>`, in order.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a BStr> {
        let lines = self.text[..self.body].lines();
        lines.filter_map(move |line| Some(line.strip_prefix(name.as_bytes())?.strip_prefix(b" ")?.as_bstr()))
    }

    /// The lines that say what to update.
    pub fn updates(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.text.get(self.body..self.signature).unwrap_or_default();
        body.lines_with_terminator().map(|line| line.strip_suffix(b"\n").unwrap_or(line))
    }

    /// True if these push options are those that were signed, in number, order and text.
    pub fn agrees_with(&self, push_options: &[BString]) -> bool {
        self.headers("push-option").eq(push_options.iter().map(|option| option.as_bstr()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "certificate version 0.1\nnonce 1-2\npush-option a\npush-option b c\nnonce x\n";

    fn parse(text: String) -> PushCert {
        PushCert::parse(text.into()).unwrap()
    }

    #[test]
    fn a_certificate_is_headers_updates_and_signature() {
        let cert = parse(format!("{HEAD}\nfirst\nsecond\n-----BEGIN SSH SIGNATURE-----\n\nnonce 3\n"));
        assert_eq!(cert.headers("nonce").collect::<Vec<_>>(), ["1-2", "x"]);
        assert!(cert.headers("non").next().is_none());
        assert_eq!(cert.updates().collect::<Vec<_>>(), [b"first".as_slice(), b"second"]);
        assert_eq!(cert.armour(), Some(Armour::Ssh));
        assert!(cert.payload().ends_with(b"\nsecond\n") && cert.signature().starts_with(b"-----BEGIN SSH"));
        assert_eq!(format!("{}{}", cert.payload(), cert.signature()), *cert.text());
    }

    #[test]
    fn options_agree_in_number_order_and_text() {
        let cert = parse(format!("{HEAD}\n"));
        let agrees = |options: &[&str]| cert.agrees_with(&options.iter().map(|&it| it.into()).collect::<Vec<_>>());
        assert!(agrees(&["a", "b c"]));
        for others in [&["a"][..], &["b c", "a"], &["a", "b"], &["a", "b c", ""], &[]] {
            assert!(!agrees(others), "{others:?}");
        }
        assert!(parse("\n\n".into()).agrees_with(&[]));
    }

    #[test]
    fn the_last_opening_begins_the_signature_and_none_is_none() {
        let cert = parse("x\n\n-----BEGIN PGP SIGNATURE-----\n-----BEGIN SIGNED MESSAGE-----".into());
        assert_eq!((cert.armour(), cert.updates().count()), (Some(Armour::X509), 1));
        let cert = parse("x\n\nabout -----BEGIN PGP SIGNATURE-----\n".into());
        assert_eq!((cert.armour(), cert.signature()), (None, BStr::new("")));
        // A signature before the first empty line leaves no room for updates.
        assert_eq!(parse("x\n-----BEGIN PGP MESSAGE-----\n\ny\n".into()).updates().count(), 0);
    }

    #[test]
    fn a_text_without_an_empty_line_is_malformed() {
        let error = PushCert::parse("x".repeat(200).into()).unwrap_err();
        assert_eq!(error.to_string(), format!("malformed push certificate {}", "x".repeat(100)));
    }
}
