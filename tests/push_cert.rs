//! Signed pushes: what hooks are told of a certificate, beside git and with keys made by the tools that git signs with.

pub mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use support::{
    certificate::{HEADERS, alike, alike_but_kept, witnessed},
    keys::{Key, Keys, Tool},
    observe::Outcome,
    push::{Push, push, push_to},
    server,
};

const RECEIVE_HOOKS: [&str; 4] = ["pre-receive", "update", "post-receive", "post-update"];

/// An update, its hooks and its certificate, which `key` of these keys has signed.
fn signed(push: Push, keys: &Keys, key: &Key) -> Push {
    keys.trusted_by_server(&push.scene);
    witnessed(push, &RECEIVE_HOOKS)
        .update("refs/heads/main", "main", "next")
        .certified(HEADERS, |text| keys.sign(key, text))
}

/// The hooks that ask saw this of the signature, and so did git's; the others saw nothing.
fn expect(push: &Push, status: &str, key: &str, signer: &str) -> Outcome {
    let outcome = alike(push);
    assert_eq!(outcome.report[..2], ["unpack ok", "ok refs/heads/main"], "{outcome:#?}");
    let line = |name: &str, value: &str| format!("GIT_PUSH_CERT_{name}={value}\n");
    let shown = line("KEY", key) + &line("SIGNER", signer) + &line("STATUS", status) + HEADERS;
    assert_eq!(outcome.seen.matches(&shown).count(), 2, "expected {shown:?} in {}", outcome.seen);
    assert!(outcome.seen.contains("== hooks/update refs/heads/main\n=="), "{}", outcome.seen);
    outcome
}

/// A push that ends both programs.
fn ended(push: &Push) -> Outcome {
    let outcome = alike_but_kept(push);
    assert_eq!(outcome.end, "exit 128");
    outcome
}

/// Make a text another one, of which nobody has asked for a signature.
fn tampered(text: &[u8]) -> Vec<u8> {
    [text, b"what was signed had no such line\n"].concat()
}

#[test]
fn a_good_signature_is_told_with_its_key_and_signer() {
    let Some(keys) = Keys::new() else { return };
    for tool in Tool::ALL {
        let key = keys.make(tool, "alice");
        let outcome = expect(&signed(push(), &keys, &key), "G", &key.id, &key.signer);
        assert!(outcome.stderr.is_empty(), "{tool:?}: {outcome:#?}");
    }
}

#[test]
fn a_repository_of_sha256_names_the_certificate_in_its_own_way() {
    let Some(keys) = Keys::new() else { return };
    let key = keys.make(Tool::SshKeygen, "alice");
    for refs in ["files", "reftable"] {
        let outcome = expect(&signed(push_to("sha256", refs), &keys, &key), "G", &key.id, &key.signer);
        let id = outcome.seen.split("GIT_PUSH_CERT=").nth(1).and_then(|rest| rest.lines().next()).expect("an id");
        assert!(id.len() == 64 && outcome.objects.iter().any(|object| object.starts_with(id)), "{outcome:#?}");
    }
}

#[test]
fn a_signature_of_another_text_is_bad() {
    let Some(keys) = Keys::new() else { return };
    for tool in Tool::ALL {
        let key = keys.make(tool, "mallory");
        let push = signed(push(), &keys, &key).certified(HEADERS, |text| keys.sign(&key, &tampered(text)));
        let (id, signer) = if tool == Tool::SshKeygen { ("", "") } else { (&*key.id, &*key.signer) };
        expect(&push, "B", id, signer);
    }
}

#[test]
fn a_key_that_the_server_does_not_know_cannot_be_checked() {
    let (Some(keys), Some(servers)) = (Keys::new(), Keys::new()) else { return };
    servers.make(Tool::SshKeygen, "bob");
    // What each tool says: that it lacks the key; nothing; that the signature is good, whosever it is.
    for (tool, status) in [(Tool::Gpg, "E"), (Tool::Gpgsm, "N"), (Tool::SshKeygen, "G")] {
        let key = keys.make(tool, "stranger");
        let push = signed(push(), &keys, &key);
        servers.trusted_by_server(&push.scene);
        expect(&push, status, if status == "N" { "" } else { &key.id }, "");
    }
}

#[test]
fn a_key_that_nobody_trusts_signs_as_well_as_any() {
    let (Some(keys), Some(servers)) = (Keys::new(), Keys::new()) else { return };
    let key = keys.make(Tool::Gpg, "alice");
    let public = keys.run("gpg", &["--batch", "--armor", "--export"], b"");
    servers.run("gpg", &["--batch", "--quiet", "--import"], public.as_bytes());
    for level in ["undefined", "Ultimate"] {
        let push = signed(push(), &keys, &key).config("gpg.minTrustLevel", level);
        servers.trusted_by_server(&push.scene);
        expect(&push, "G", &key.id, &key.signer);
    }
}

#[test]
fn keys_and_signatures_that_have_expired_are_told_apart() {
    let Some(keys) = Keys::new() else { return };
    let back_then = ["--faked-system-time", "20200101T000000"];
    let key = keys.openpgp("late", "1d", &back_then);
    expect(&signed(push(), &keys, &key), "Y", &key.id, &key.signer);
    let key = keys.openpgp("later", "never", &[&back_then[..], &["--default-sig-expire", "1d"]].concat());
    expect(&signed(push(), &keys, &key), "X", &key.id, &key.signer);
}

#[test]
fn a_key_that_was_revoked_is_told() {
    let Some(keys) = Keys::new() else { return };
    let key = keys.make(Tool::Gpg, "careless");
    let push_of_before = signed(push(), &keys, &key);
    keys.revoke(&key);
    expect(&push_of_before, "R", &key.id, &key.signer);
}

#[test]
fn an_ssh_key_that_was_revoked_is_no_good() {
    let Some(keys) = Keys::new() else { return };
    let key = keys.make(Tool::SshKeygen, "reckless");
    let revoked = keys.path("reckless.pub").display().to_string();
    let push = signed(push().config("gpg.ssh.revocationFile", &revoked), &keys, &key);
    let (theirs, mine) = server::pushed_to_both(&push);
    let letters = |it: &Outcome| it.seen.matches("GIT_PUSH_CERT_STATUS=B\n").count();
    // Better: git hands ssh-keygen an empty argument before the file of revoked keys, which is not read then.
    assert_eq!((letters(&mine), letters(&theirs)), (2, 0), "{mine:#?}");
    assert!(mine.seen.contains("GIT_PUSH_CERT_KEY=\nGIT_PUSH_CERT_SIGNER=\n"), "{mine:#?}");
}

#[test]
fn a_file_of_revoked_keys_that_is_not_there_revokes_none() {
    let Some(keys) = Keys::new() else { return };
    let key = keys.make(Tool::SshKeygen, "alice");
    let push = signed(push().config("gpg.ssh.revocationFile", "nowhere"), &keys, &key);
    let outcome = expect(&push, "G", &key.id, &key.signer);
    assert!(outcome.stderr.contains("revocation file configured but not found: nowhere"), "{outcome:#?}");
}

#[test]
fn an_ssh_key_counts_as_long_as_its_owner_is_allowed_to_sign() {
    let Some(keys) = Keys::new() else { return };
    let key = keys.make(Tool::SshKeygen, "alice");
    let public = fs::read_to_string(keys.path("alice.pub")).expect("a key");
    let allow = |who: &str| fs::write(keys.allowed_signers(), format!("{who} {public}")).expect("a file");
    allow("\"someone with a name\"");
    expect(&signed(push(), &keys, &key), "G", &key.id, "someone with a name");
    allow("alice@example.org,carol@example.org");
    expect(&signed(push(), &keys, &key), "G", &key.id, "alice@example.org");
    allow("alice@example.org valid-before=\"20200101\"");
    expect(&signed(push(), &keys, &key), "G", &key.id, "");
    allow("alice@example.org namespaces=\"file\"");
    expect(&signed(push(), &keys, &key), "B", "", "");
    fs::remove_file(keys.allowed_signers()).expect("removed");
    expect(&signed(push(), &keys, &key), "G", &key.id, "");
    let unset = signed(push(), &keys, &key).server(&["config", "--unset", "gpg.ssh.allowedSignersFile"]);
    let outcome = expect(&unset, "N", "", "");
    assert!(outcome.stderr.contains("gpg.ssh.allowedSignersFile needs to be configured"), "{outcome:#?}");
}

#[test]
fn a_program_that_says_nothing_vouches_for_nothing() {
    let Some(keys) = Keys::new() else { return };
    // It hears all that it is told: git dies of SIGPIPE where such a program is faster to end than git is to write.
    let silent = keys.path("silent");
    fs::write(&silent, "#!/bin/sh\ncat >/dev/null\n").unwrap();
    fs::set_permissions(&silent, fs::Permissions::from_mode(0o755)).unwrap();
    for (tool, settings, status) in [
        (Tool::Gpg, ["gpg.program", "gpg.openpgp.program"], "N"),
        (Tool::Gpgsm, ["gpg.x509.program", "gpg.x509.program"], "N"),
        (Tool::SshKeygen, ["gpg.ssh.program", "gpg.ssh.program"], "B"),
    ] {
        let key = keys.make(tool, "alice");
        for setting in settings {
            for program in [silent.to_str().unwrap(), "/nowhere/at/all"] {
                expect(&signed(push(), &keys, &key).config(setting, program), status, "", "");
            }
        }
    }
}

#[test]
fn what_is_no_signature_is_not_taken_for_one() {
    let Some(keys) = Keys::new() else { return };
    for armour in ["PGP SIGNATURE", "PGP MESSAGE", "SIGNED MESSAGE"] {
        let nonsense = format!("-----BEGIN {armour}-----\n\nx\n-----END {armour}-----\n");
        let push = witnessed(push(), &RECEIVE_HOOKS).update("refs/heads/main", "main", "next");
        keys.trusted_by_server(&push.scene);
        expect(&push.certified(HEADERS, |_| nonsense), "N", "", "");
    }
    // Two signatures: which of them counts is not for the client to choose.
    let keys_of_two = ["one", "two"].map(|name| keys.make(Tool::Gpg, name));
    let push = signed(push(), &keys, &keys_of_two[0]).certified(HEADERS, |text| {
        let both = keys_of_two.iter().flat_map(|key| ["-u", &key.id]).collect::<Vec<_>>();
        keys.run("gpg", &[&["--batch", "-bsa"], &both[..]].concat(), text) + "\n"
    });
    expect(&push, "E", "", "");
}

#[test]
fn a_text_that_nobody_signed_is_fatal_where_a_hook_asks() {
    let unsigned = |push: Push| push.update("refs/heads/main", "main", "next").certified(HEADERS, |_| String::new());
    assert_eq!(ended(&unsigned(push().hook("pre-receive", ""))).stderr, "fatal: bad/incompatible signature ''\n");
    // Where only post-receive would ask, git finds out when all is done.
    let push_that_one_hears_of = unsigned(push().hook("post-receive", ""));
    let before = Outcome::found_in(&push_that_one_hears_of.scene);
    let after = server::pushed(&push_that_one_hears_of);
    assert_eq!(after.stderr, "fatal: bad/incompatible signature ''\n");
    assert_eq!((before.refs, before.objects, &*after.end), (after.refs, after.objects, "exit 128"));
    assert_eq!(alike(&unsigned(push().hook("update", ""))).report[1], "ok refs/heads/main");
}

#[test]
fn settings_that_make_no_sense_are_fatal_where_a_signature_is_checked() {
    for (section, name, value) in [
        ("gpg", "format", " = gpg"),
        ("gpg", "minTrustLevel", " = some"),
        ("gpg", "minTrustLevel", ""),
        ("gpg", "program", ""),
        ("gpg \"ssh\"", "allowedSignersFile", " = ~nobody-of-this-name/allowed"),
        // That is gpg.ssh.defaultKeyCommand, of signatures to be made.
        ("gpg \"ssh\"", "defaultKeyCommand", ""),
        ("user", "signingKey", ""),
    ] {
        let add = format!("printf '[{section}]\\n\\t{name}{value}\\n' >>server.git/config");
        let push = witnessed(push(), &["pre-receive"]).shell(&add).update("refs/heads/main", "main", "next");
        let push = push.certified(HEADERS, |_| "-----BEGIN PGP SIGNATURE-----\n".into());
        ended(&push);
    }
}

#[test]
fn nothing_is_kept_or_checked_if_nobody_asks() {
    let checker = "touch SCENE/checked; exit 0";
    let push = push().shell(&format!("printf '#!/bin/sh\\n{checker}\\n' | sed \"s,SCENE,$PWD,\" >gpg; chmod +x gpg"));
    let push = push.shell("git -C server.git config gpg.program $PWD/gpg");
    let push = push.update("refs/heads/main", "main", "next");
    let push = push.certified(HEADERS, |_| "-----BEGIN PGP SIGNATURE-----\n".into());
    let push = witnessed(push, &["update", "post-update"]);
    let outcome = alike(&push);
    assert!(!outcome.seen.contains("GIT_PUSH_CERT") && !push.scene.path("checked").exists(), "{outcome:#?}");
    // The program is the one that would have been asked.
    let push = witnessed(push, &["post-receive"]).update("refs/heads/other", "0", "next");
    server::pushed(&push);
    assert!(push.scene.path("checked").exists());
}
