//! Pushes with a certificate, hooks that look at it, and both programs' answers compared.

use std::path::Path;

use super::{observe::Outcome, push::Push, server};

/// The headers of a certificate that has no nonce and no options.
pub const HEADERS: &str = "certificate version 0.1\npusher A U Thor <author@example.org> 1700000000 +0000\n";
/// What looks like a signature, and is none.
pub const NO_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----\n\nnone\n-----END PGP SIGNATURE-----\n";
/// What nonces are made from.
pub const SEED: &str = "sesame";

/// The push in a certificate with these headers and a signature that nobody has made, to a server with a seed.
pub fn unsigned(push: Push, headers: &str) -> Push {
    let push = push.config("receive.certNonceSeed", SEED).config("gpg.program", "true");
    push.certified(headers, |_| NO_SIGNATURE.into())
}

/// The script of a hook that appends what it is told of the certificate to `seen`, which lies at `path`, with what a clock has
/// to do with left out, and the certificate itself, read as hooks read it.
pub fn witness(path: &Path) -> String {
    format!(
        "{{ echo \"== $0 $1\"; env | grep ^GIT_PUSH_CERT | sort | sed -E \
         's/^(GIT_PUSH_CERT_NONCE)=[0-9]+-[0-9a-f]+$/\\1=…/; s/^(GIT_PUSH_CERT_NONCE_SLOP=-?)[0-9]+$/\\1…/'\n\
         test -z \"$GIT_PUSH_CERT\" || git cat-file blob $GIT_PUSH_CERT; }} >>'{}' 2>&1\n",
        path.display()
    )
}

/// The push with such a hook for each of `names`.
pub fn witnessed(push: Push, names: &[&str]) -> Push {
    let script = witness(&push.scene.path("seen"));
    names.iter().fold(push, |push, name| push.hook(name, &script))
}

/// Both programs' answer to the same push, which must be one: but for the nonce, which is never the same for long.
pub fn alike(push: &Push) -> Outcome {
    let (mut theirs, mut mine) = server::pushed_to_both(push);
    for outcome in [&mut theirs, &mut mine] {
        if let Some(line) = outcome.advertisement.first_mut() {
            *line = line.split(' ').filter(|word| !word.starts_with("push-cert=")).collect::<Vec<_>>().join(" ");
        }
    }
    let differences = mine.differences(&theirs, push.own_words);
    assert!(differences.is_empty(), "they differ in\n{differences}\ngit: {theirs:#?}");
    mine
}

/// The same for a push of which nothing is carried out: git has kept its certificate by then, and ours must leave nothing.
pub fn alike_but_kept(push: &Push) -> Outcome {
    let before = Outcome::found_in(&push.scene);
    let (theirs, mine) = server::pushed_to_both(push);
    let said = |it: &Outcome| {
        let texts = [&it.end, &it.told, &it.stderr, &it.seen].map(|text| vec![text.clone()]).concat();
        [texts, it.report.clone(), it.refs.clone()].concat()
    };
    assert_eq!(said(&mine), said(&theirs), "ours on the left");
    assert_eq!((&mine.objects, &mine.files), (&before.objects, &before.files), "nothing is left");
    mine
}
