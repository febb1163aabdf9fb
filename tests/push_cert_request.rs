//! What is in a certificate, and what becomes of it: the nonce that it repeats, the options that were signed, any bytes at all; kept
//! with the repository, or gone with the push.

pub mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use balanced_receive_pack::certificate::nonce::Nonce;
use support::{
    alike::Place,
    balanced::eventually,
    certificate::{HEADERS, NO_SIGNATURE, SEED, alike, alike_but_kept, unsigned, witnessed},
    gits,
    observe::Outcome,
    ours,
    push::{Push, pkt_line, push, push_to},
    scene::Scene,
    server,
};

/// An update that pre-receive sees.
fn update() -> Push {
    witnessed(push(), &["pre-receive"]).update("refs/heads/main", "main", "next")
}

/// What a program advertises as its nonce.
fn nonce_of(place: &Place<'_>, program: impl AsRef<std::ffi::OsStr>, directory: &str) -> String {
    let answer = place.answer(program, &[directory]);
    let list = answer.stdout.split(" push-cert=").nth(1).expect("certificates are asked for");
    list.split(' ').next().expect("a nonce").to_owned()
}

#[test]
fn the_nonce_is_the_one_that_git_gives_out() {
    for (hash, directory, seed) in [
        ("sha1", "server.git", SEED),
        ("sha1", "server", "a long seed, and not a good one: the key of an HMAC is cut into blocks of 64 bytes"),
        ("sha1", "./././././././././././././././././././././././././././././././server.git//", SEED),
        ("sha256", "server.git", SEED),
        ("sha256", "server.git", ""),
    ] {
        let scene = Scene::new(hash, "files");
        scene.git("server.git", &["config", "receive.certNonceSeed", seed]);
        let place = Place::new(&scene, ".");
        eventually("one second that is long enough", || {
            let nonces = [gits().as_path(), ours(), &gits()].map(|program| nonce_of(&place, program, directory));
            (nonces[0] == nonces[2]).then(|| assert_eq!(nonces[0], nonces[1], "{directory} {seed}"))
        });
    }
}

#[test]
fn certificates_are_asked_for_between_offset_deltas_and_push_options() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["config", "receive.advertisePushOptions", "true"]);
    scene.git("server.git", &["config", "receive.certNonceSeed", SEED]);
    let advertised = Place::new(&scene, ".").answer(ours(), &["server.git"]).stdout;
    let (before, after) = advertised.split_once(" push-cert=").expect("certificates are asked for");
    assert!(before.ends_with(" ofs-delta"), "{advertised}");
    assert!(after.split_once(' ').is_some_and(|(_, rest)| rest.starts_with("push-options ")), "{advertised}");
}

#[test]
fn bad_settings_of_the_nonce_are_fatal() {
    let scene = Scene::new("sha1", "files");
    let place = Place::new(&scene, ".");
    for (key, value) in [("receive.certNonceSlop", "-1"), ("receive.certNonceSlop", "soon")] {
        scene.git("server.git", &["config", key, value]);
        assert_eq!(place.alike(&format!("{key}={value}"), &["server.git"]).status, Some(128));
    }
    scene.write(
        "server.git/config",
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[receive]\n\tcertNonceSeed\n",
    );
    assert_eq!(place.alike("a seed without its value", &["server.git"]).status, Some(128));
}

/// A nonce that was given out so many seconds ago.
fn given_out(ago: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let nonce = Nonce::given_out_at(now - ago, "server.git".into(), gix::hash::Kind::Sha1, SEED.into());
    nonce.expect("an HMAC").text().to_owned()
}

#[test]
fn a_nonce_of_another_process_counts_only_where_each_request_has_one() {
    for (ago, slop, stateless, expected) in [
        (1000, "0", false, "STATUS=BAD"),
        (1000, "2000", false, "STATUS=BAD"),
        (1000, "0", true, "SLOP=…\nGIT_PUSH_CERT_NONCE_STATUS=SLOP"),
        (-1000, "500", true, "SLOP=-…\nGIT_PUSH_CERT_NONCE_STATUS=SLOP"),
        (1000, "2000", true, "STATUS=OK"),
        (-1000, "2k", true, "STATUS=OK"),
    ] {
        let push = update().config("receive.certNonceSlop", slop);
        let push = if stateless { push.argument("--stateless-rpc") } else { push };
        let nonce = given_out(ago);
        // Which nonce it is that hooks see, the text itself.
        let told = format!("echo $GIT_PUSH_CERT_NONCE >{}", push.scene.path("nonce").display());
        let push = unsigned(push.hook("post-receive", &told), &format!("{HEADERS}nonce {nonce}\n"));
        let outcome = alike(&push);
        assert!(outcome.seen.contains(&format!("\nGIT_PUSH_CERT_NONCE_{expected}\n")), "{ago} {slop}: {outcome:#?}");
        let shown = std::fs::read_to_string(push.scene.path("nonce")).expect("a nonce");
        assert_eq!(shown.trim_end() == nonce, expected == "STATUS=OK", "{shown} {nonce}");
    }
}

#[test]
fn a_certificate_may_be_sent_again_and_hooks_judge() {
    let old = given_out(5);
    for (nonce, status) in [
        (None, "MISSING"),
        (Some("nonsense"), "BAD"),
        (Some(""), "BAD"),
        (Some(&*old), "BAD"),
        (Some(&old[..old.len() - 1]), "BAD"),
        (Some(&format!("{old} ")), "BAD"),
    ] {
        let headers = nonce.map_or(HEADERS.into(), |nonce| format!("{HEADERS}nonce {nonce}\n"));
        let outcome = alike(&unsigned(update(), &headers));
        assert!(outcome.seen.contains(&format!("GIT_PUSH_CERT_NONCE_STATUS={status}\n")), "{nonce:?}: {outcome:#?}");
        assert!(outcome.report.contains(&"ok refs/heads/main".into()), "{outcome:#?}");
    }
    // The first of two counts, and none behind the headers.
    let headers = format!("nonce x\n{HEADERS}nonce {old}\n");
    alike(&unsigned(update(), &headers));
    // Without a seed nothing is said of nonces.
    let without = update().config("gpg.program", "true").certified(&headers, |_| NO_SIGNATURE.into());
    assert!(!alike(&without).seen.contains("NONCE"));
}

#[test]
fn push_options_other_than_those_signed_refuse_everything() {
    let cases = [
        (vec!["a", "b c"], Some(vec!["a", "b c"]), true),
        (vec![""], Some(vec![""]), true),
        (vec![], Some(vec![]), true),
        (vec![], Some(vec!["a"]), false),
        (vec!["a"], Some(vec![]), false),
        (vec!["a"], None, false),
        (vec!["a"], Some(vec!["ab"]), false),
        (vec!["ab"], Some(vec!["a"]), false),
        (vec!["a", "b"], Some(vec!["b", "a"]), false),
        (vec!["a"], Some(vec!["a", "a"]), false),
    ];
    for (signed, sent, is_good) in cases {
        let headers = signed.iter().fold(HEADERS.to_owned(), |text, option| text + &format!("push-option {option}\n"));
        let push = update().delete("refs/heads/topic", "topic").config("receive.advertisePushOptions", "true");
        let push = if let Some(sent) = &sent { push.options(sent) } else { push };
        let push = unsigned(push, &headers);
        let outcome = if is_good { alike(&push) } else { alike_but_kept(&push) };
        let verdict = if is_good { "ok refs/heads/main" } else { "ng refs/heads/main inconsistent push options" };
        assert_eq!(outcome.report[1], verdict, "{signed:?} {sent:?}");
        assert!(outcome.seen.contains("hooks/pre-receive"), "{outcome:#?}");
    }
    // Where they were never offered, none were sent.
    let outcome = alike_but_kept(&unsigned(update(), &format!("{HEADERS}push-option a\n")));
    assert_eq!(outcome.report[1], "ng refs/heads/main inconsistent push options");
}

#[test]
fn a_certificate_reads_as_git_reads_it_whatever_is_in_it() {
    let id = push().id("next");
    let null = push().id("0");
    let create = |name: &str| format!("{null} {id} refs/heads/{name}\n");
    let many: String = (0..10_000).map(|number| format!("x-header-{number} value\n")).collect();
    let texts = [
        ("no header", format!("\n\n{}{NO_SIGNATURE}", create("a"))),
        ("one header of no kind", format!("x\n\n{}{NO_SIGNATURE}", create("a"))),
        ("another version", format!("certificate version 9\n\n{}{NO_SIGNATURE}", create("a"))),
        ("nothing behind the opening", format!("x\n\n{}-----BEGIN PGP SIGNATURE-----", create("a"))),
        ("no opening at the start of a line", format!("x\n\n{} {NO_SIGNATURE}", create("a").trim_end())),
        ("ten thousand lines", format!("{many}\n{}{NO_SIGNATURE}", create("a"))),
        ("a line of great length", format!("{}\n\n{}{NO_SIGNATURE}", "x".repeat(65_000), create("a"))),
        ("a nul in a header", format!("x\0hidden\n\n\n{}{NO_SIGNATURE}", create("a"))),
        ("a nul in a line of the signature", format!("x\n\n{}{NO_SIGNATURE}\0x", create("a"))),
        ("a last line without an end", format!("x\n\n{}{NO_SIGNATURE}x", create("a"))),
        ("two signatures", format!("x\n\n{}{NO_SIGNATURE}{NO_SIGNATURE}", create("a"))),
        ("a nul in an update", format!("x\n\n{}\0hidden\n\n{NO_SIGNATURE}", create("a").trim_end())),
        ("an empty line among the updates", format!("x\n\n{}\n{}{NO_SIGNATURE}", create("a"), create("b"))),
        ("no empty line", format!("x\n{}{NO_SIGNATURE}", create("a")).replace("\n\n", "\n")),
        ("no updates", format!("x\n\n{NO_SIGNATURE}")),
        ("the signature first", format!("x\n{NO_SIGNATURE}\n\n{}", create("a"))),
        ("words for an update", format!("x\n\nwords\n{NO_SIGNATURE}")),
        ("a bad name", format!("x\n\n{}{NO_SIGNATURE}", create("a..b"))),
    ];
    for (what, text) in texts {
        let push = witnessed(push(), &["pre-receive"]).config("gpg.program", "true").own_words();
        let push = push.create("refs/heads/a", "next").certificate(text.as_bytes());
        let before = Outcome::found_in(&push.scene);
        let (theirs, mine) = server::pushed_to_both(&push);
        assert_eq!((&mine.end, &mine.report, &mine.seen), (&theirs.end, &theirs.report, &theirs.seen), "{what}");
        assert_eq!(mine.refs, theirs.refs, "{what}");
        let start =
            |it: &Outcome| it.stderr.split_once("got '").map_or(it.stderr.clone(), |(start, _)| start.to_owned());
        assert_eq!(start(&mine), start(&theirs), "{what}");
        let expected = if mine.end == "exit 0" { theirs.objects } else { before.objects };
        assert_eq!(mine.objects, expected, "{what}");
    }
}

#[test]
fn a_certificate_without_an_end_or_with_updates_beside_it_is_fatal() {
    for (what, damage) in
        [("cut off", None), ("plain updates too", Some(format!("{0} {0} refs/heads/b", push().id("0"))))]
    {
        let push = unsigned(update(), HEADERS);
        let whole = push.bytes();
        let end = whole.windows(13).position(|window| window == b"push-cert-end").expect("an end");
        let request = match &damage {
            None => whole[..end - 4].to_vec(),
            Some(line) => [&whole[..end + 14], &pkt_line(line.as_bytes()), &whole[end + 14..]].concat(),
        };
        let before = Outcome::found_in(&push.scene);
        let after = server::pushed(&push.raw(&request));
        assert_eq!(after.end, "exit 128", "{what}: {after:#?}");
        assert_eq!((before.refs, before.objects, before.seen), (after.refs, after.objects, after.seen), "{what}");
    }
}

#[test]
fn a_refused_push_leaves_no_certificate() {
    let deletion = || push().delete("refs/heads/topic", "topic");
    let refusals: [(&str, Push); 4] = [
        ("an update", update().hook("pre-receive", "git cat-file -e $GIT_PUSH_CERT; exit 1")),
        ("a deletion", deletion().hook("pre-receive", "git cat-file -e $GIT_PUSH_CERT; exit 1")),
        ("a hidden ref", deletion().hook("post-receive", "exit 0").config("receive.hideRefs", "refs/heads")),
        ("objects are missing", update().objects(&["next"]).hook("post-receive", "exit 0")),
    ];
    for (what, refused) in refusals {
        let push = unsigned(refused, HEADERS);
        let before = Outcome::found_in(&push.scene);
        let after = server::pushed(&push);
        assert!(after.report[1].starts_with("ng "), "{what}: {after:#?}");
        assert!(!after.told.contains("fatal: Not a valid object"), "{what}: the hook can read it; {after:#?}");
        assert_eq!((before.refs, before.objects, before.files), (after.refs, after.objects, after.files), "{what}");
    }
}

#[test]
fn a_refused_push_that_no_hook_hears_of_is_not_checked() {
    let push = push().config("receive.hideRefs", "refs/heads").hook("post-receive", "exit 0");
    let push = push.update("refs/heads/main", "main", "next").certified(HEADERS, |_| String::new());
    assert_eq!(alike(&push).report[1], "ng refs/heads/main deny updating a hidden ref");
}

#[test]
fn a_program_that_checks_signatures_is_a_child_in_traces() {
    for (variable, expected) in [
        ("GIT_TRACE", "trace: run_command: true --keyid-format=long --status-fd=1 --verify "),
        ("GIT_TRACE2_EVENT", "\"argv\":[\"true\",\"--keyid-format=long\",\"--status-fd=1\",\"--verify\","),
    ] {
        let push = unsigned(update(), HEADERS).env(variable, "SCENE/trace");
        for program in [ours(), &gits()] {
            push.scene.write("trace", "");
            server::run(program, &push, &push.bytes());
            let trace = std::fs::read_to_string(push.scene.path("trace")).expect("a trace");
            assert!(trace.contains(expected), "{} {variable}: {trace}", program.display());
        }
    }
}

#[test]
fn the_certificate_of_a_deletion_is_kept_with_the_repository() {
    for refs in ["files", "reftable"] {
        let push = witnessed(push_to("sha1", refs), &["pre-receive", "post-receive"]);
        alike(&unsigned(push.delete("refs/heads/topic", "topic"), HEADERS));
    }
}

#[test]
fn a_certificate_that_is_there_already_is_not_written_twice() {
    let push = unsigned(update(), HEADERS).server(&["config", "receive.unpackLimit", "1"]);
    let first = server::pushed(&push);
    let before: Vec<_> = first.files.iter().filter(|name| name.contains("objects/")).collect();
    let again = server::pushed(&push);
    assert!(again.report[1].starts_with("ng refs/heads/main"), "{again:#?}");
    assert_eq!(before, again.files.iter().filter(|name| name.contains("objects/")).collect::<Vec<_>>());
}
