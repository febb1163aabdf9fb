//! A real client that signs, through each transport, and in balanced mode: its hooks see who it was.

pub mod support;

use support::{
    balanced::{Balanced, Pushed},
    certificate::{SEED, witness},
    in_front::{exec_path, was_served_by_us},
    keys::{Key, Keys, Tool},
    ours,
    scene::Scene,
    server,
    ssh::SshServer,
    web::WebServer,
};

/// The client's repository, ready to sign with a new key, and the server's, to check it and to ask for it.
fn prepared(scene: &Scene, keys: &Keys, tool: Tool) -> Key {
    let key = keys.make(tool, "alice");
    keys.used_by_client(scene, &key);
    keys.trusted_by_server(scene);
    scene.git("server.git", &["config", "receive.certNonceSeed", SEED]);
    scene.git("server.git", &["config", "receive.advertisePushOptions", "true"]);
    for hook in ["pre-receive", "post-receive"] {
        scene.hook(hook, &witness(&scene.path("seen")));
    }
    key
}

/// Both hooks saw a good signature of `key` and this word for the nonce.
fn expect_good(scene: &Scene, key: &Key, nonce: &str) {
    let seen = std::fs::read_to_string(scene.path("seen")).expect("hooks");
    for line in [
        format!("KEY={}", key.id),
        format!("SIGNER={}", key.signer),
        "STATUS=G".into(),
        format!("NONCE_STATUS={nonce}"),
    ] {
        assert_eq!(seen.matches(&format!("GIT_PUSH_CERT_{line}\n")).count(), 2, "{line} in {seen}");
    }
    assert_eq!(seen.matches("\npush-option ship it\n").count(), 2, "{seen}");
    scene.git("server.git", &["fsck", "--full", "--strict"]);
}

const ARGUMENTS: [&str; 5] = ["--signed", "--push-option=ship it", "next:main", "v2", ":topic"];

#[test]
fn a_client_signs_with_each_tool() {
    let Some(keys) = Keys::new() else { return };
    for tool in Tool::ALL {
        let scene = Scene::new("sha1", "files");
        let key = prepared(&scene, &keys, tool);
        let (pushed, said) = server::git_push(&scene, &[&["../server.git"], &ARGUMENTS[..]].concat());
        assert!(pushed, "{tool:?}: {said}");
        expect_good(&scene, &key, "OK");
    }
}

#[test]
fn a_client_signs_through_ssh() {
    let Some(keys) = Keys::new() else { return };
    let scene = Scene::new("sha1", "files");
    let key = prepared(&scene, &keys, Tool::SshKeygen);
    let path = std::env::var("PATH").expect("a PATH");
    let Some(server) = SshServer::start(&scene, &path) else { return };
    let program = format!("--receive-pack={}", ours().display());
    let (pushed, said) = server.push(&scene, &[&program, "--signed", "--push-option=ship it"], &ARGUMENTS[2..]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
    expect_good(&scene, &key, "OK");
}

#[test]
fn a_client_signs_through_http_where_each_request_has_its_own_process() {
    let Some(keys) = Keys::new() else { return };
    for tool in [Tool::Gpg, Tool::SshKeygen] {
        let scene = Scene::new("sha1", "files");
        let key = prepared(&scene, &keys, tool);
        scene.git("server.git", &["config", "http.receivepack", "true"]);
        scene.git("server.git", &["config", "receive.certNonceSlop", "3600"]);
        let settings = format!("fastcgi_param GIT_EXEC_PATH {};\n", exec_path(&scene).display());
        let Some(server) = WebServer::start(&scene, &settings) else { return };
        let (pushed, said) = server.push(&scene, &[], &ARGUMENTS);
        assert!(pushed && was_served_by_us(&scene), "{tool:?}: {said}");
        expect_good(&scene, &key, "OK");
    }
}

/// A balanced repository whose hook writes down what it is told, and then does as `script` says.
fn balanced(keys: &Keys, script: &str) -> (Balanced, Key) {
    let balanced = Balanced::new();
    let key = keys.make(Tool::SshKeygen, "alice");
    keys.used_by_client(&balanced.scene, &key);
    keys.trusted_by_server(&balanced.scene);
    balanced.config("receive.certNonceSeed", SEED);
    balanced.hook(&format!("{}\n{script}", witness(&balanced.path("seen"))));
    (balanced, key)
}

fn sign_and_push(balanced: &Balanced, refspecs: &[&str]) -> Pushed {
    balanced.push(&[&["--signed"], refspecs].concat())
}

#[test]
fn a_vote_is_told_who_signed_and_a_no_leaves_no_certificate() {
    let Some(keys) = Keys::new() else { return };
    let (balanced, key) = balanced(&keys, "test $1 != prepared");
    for refspecs in [&["next:main", "side:new"][..], &[":topic"]] {
        let before = balanced.listing();
        sign_and_push(&balanced, refspecs).expect_no("balanced_update hook declined");
        assert_eq!(balanced.listing(), before, "{refspecs:?}");
    }
    for phase in ["prepared", "aborted"] {
        assert_eq!(balanced.seen().matches(&format!("balanced_update {phase}\nGIT_PUSH_CERT=")).count(), 2);
    }
    assert_eq!(balanced.seen().matches(&format!("GIT_PUSH_CERT_KEY={}\n", key.id)).count(), 4);
}

#[test]
fn a_yes_keeps_the_certificate() {
    let Some(keys) = Keys::new() else { return };
    let (balanced, _) = balanced(&keys, "");
    for (count, refspecs) in [&["next:main", "side:new"][..], &[":topic"]].into_iter().enumerate() {
        sign_and_push(&balanced, refspecs).expect_yes();
        let seen = balanced.seen();
        let certificates = seen.matches("-----BEGIN SSH SIGNATURE-----").count();
        assert_eq!(certificates, 2 * (count + 1), "it is there before the vote and after it: {seen}");
        assert_eq!(seen.matches("GIT_PUSH_CERT_NONCE_STATUS=OK\n").count(), 2 * (count + 1), "{seen}");
    }
    balanced.check_clean();
}

#[test]
fn a_recovery_tells_the_hook_who_signed() {
    let Some(keys) = Keys::new() else { return };
    let (balanced, key) = balanced(&keys, "if test $1 = prepared; then kill -9 $PPID; fi");
    assert!(!sign_and_push(&balanced, &["next:main", ":topic"]).accepted);
    let told = |phase: &str| {
        let seen = balanced.seen();
        let part = seen.split("== ").find(|part| part.starts_with(&format!("hooks/balanced_update {phase}\n")));
        part.unwrap_or_else(|| panic!("no {phase} in {seen}")).split_once('\n').expect("lines").1.to_owned()
    };
    let (status, printed) = balanced.recover();
    assert!(status == 0 && printed.contains("carried out"), "{printed}");
    assert!(told("prepared").contains(&format!("GIT_PUSH_CERT_KEY={}\n", key.id)));
    assert_eq!(told("in-doubt"), told("prepared"));
    assert_eq!(told("committed"), told("prepared"));
    balanced.check_clean();
}
