//! Pushes over HTTP: nginx, fcgiwrap and an unmodified `git http-backend`, which the README's script leads to our program.

pub mod support;

use std::{fs, io::Write, process::Stdio, thread};

use support::{
    gits,
    in_front::{exec_path, was_served_by_us},
    observe::Outcome,
    ours,
    push::{Push, push},
    scene::Scene,
    server,
    web::WebServer,
};

/// What the README adds to nginx's configuration.
fn in_front(scene: &Scene) -> String {
    format!("fastcgi_param GIT_EXEC_PATH {};\n", exec_path(scene).display())
}

/// A repository that takes pushes over HTTP from anybody, and a server with our program in front and more `settings`.
fn served(settings: &str) -> Option<(Push, WebServer)> {
    let push = push().config("http.receivepack", "true");
    let server = WebServer::start(&push.scene, &(in_front(&push.scene) + settings))?;
    Some((push, server))
}

/// Make `large` a tag of a blob of `size` bytes, in the client, that no compression makes smaller.
fn tag_large_blob(scene: &Scene, size: usize) -> String {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    fs::write(scene.path("large"), noise.take(size).collect::<Vec<u8>>()).expect("a file");
    let blob = scene.git("client.git", &["hash-object", "-w", "../large"]);
    scene.git("client.git", &["tag", "large", &blob]);
    blob
}

/// `bytes`, compressed as a client may compress what it sends.
fn gzip(scene: &Scene, bytes: &[u8]) -> Vec<u8> {
    let mut child =
        scene.command(".", "gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip runs");
    let mut stdin = child.stdin.take().expect("piped");
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).expect("gzip reads all"));
        child.wait_with_output().expect("gzip ends").stdout
    })
}

#[test]
fn a_push_reaches_the_program() {
    let Some((Push { scene, .. }, server)) = served("") else { return };
    let (pushed, said) = server.push(&scene, &[], &["next:main", "v2", ":topic"]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
    assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next"]));
    assert_eq!(scene.git("server.git", &["for-each-ref", "refs/heads/topic"]), "");
    scene.git("server.git", &["fsck", "--full", "--strict"]);
}

#[test]
fn what_was_pushed_can_be_fetched_through_the_same_server() {
    let Some((Push { scene, .. }, server)) = served("") else { return };
    let (pushed, said) = server.push(&scene, &[], &["next:main"]);
    assert!(pushed, "{said}");
    scene.git(".", &["clone", "-q", "--bare", &server.url(), "fetched.git"]);
    assert_eq!(scene.git("fetched.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next"]));
}

#[test]
fn each_protocol_version_can_be_asked_for() {
    let Some((Push { scene, .. }, server)) = served("") else { return };
    for (version, branch) in [("0", "next"), ("1", "next2"), ("2", "many")] {
        let setting = format!("protocol.version={version}");
        let (pushed, said) = server.push(&scene, &[&setting], &[&format!("+{branch}:main")]);
        assert!(pushed && was_served_by_us(&scene), "{version}: {said}");
        assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", branch]));
    }
    // git's own client does not ask for version 2 when it pushes, though others might.
    for (version, has_line) in [("0", false), ("1", true), ("2", false), ("2:version=1", false)] {
        let answer = server.advertisement(&format!("Git-Protocol: version={version}\r\n"));
        let body = String::from_utf8_lossy(&answer.body);
        // To version 2, git http-backend does not name the service first.
        let refs = body.strip_prefix("001f# service=git-receive-pack\n0000").unwrap_or(&body);
        assert!(refs.contains("agent=balanced-receive-pack/"), "{version}: {refs}");
        assert_eq!(refs.starts_with("000eversion 1\n"), has_line, "{version}: {refs}");
    }
}

#[test]
fn a_body_may_come_in_chunks() {
    // The server hands them on as they come, and with no length, or gathers them first.
    for buffering in ["off", "on"] {
        let Some((Push { scene, .. }, server)) = served(&format!("fastcgi_request_buffering {buffering};")) else {
            return;
        };
        let blob = tag_large_blob(&scene, 300_000);
        let (pushed, said) = server.push(&scene, &["http.postBuffer=65536"], &["large", "many:main"]);
        assert!(pushed && was_served_by_us(&scene), "{buffering}: {said}");
        let headers = fs::read_to_string(scene.path("headers")).expect("a trace");
        assert!(headers.contains("Transfer-Encoding: chunked"), "{headers}");
        assert_eq!(scene.git("server.git", &["rev-parse", "large"]), blob);
        scene.git("server.git", &["fsck", "--full", "--strict"]);
    }
}

#[test]
fn a_body_may_be_compressed() {
    let Some((push, server)) = served("") else { return };
    let push = push.update("refs/heads/main", "main", "many");
    let answer = server.post("Content-Encoding: gzip\r\n", &gzip(&push.scene, &push.bytes()));
    assert!(answer.head.starts_with("HTTP/1.1 200"), "{}", answer.head);
    assert!(answer.head.contains("Content-Type: application/x-git-receive-pack-result"), "{}", answer.head);
    let body = String::from_utf8_lossy(&answer.body);
    assert!(body.contains("ok refs/heads/main\n"), "{body}");
    assert_eq!(push.scene.git("server.git", &["rev-parse", "main"]), push.id("many"));
}

#[test]
fn a_declined_push_is_told_and_leaves_nothing() {
    let Some((Push { scene, .. }, server)) = served("") else { return };
    scene.hook("pre-receive", "echo not on a Sunday; exit 1");
    let before = Outcome::found_in(&scene);
    let (pushed, said) = server.push(&scene, &[], &["next:main", "many:new"]);
    assert!(!pushed && was_served_by_us(&scene), "{said}");
    assert!(said.contains("remote: not on a Sunday"), "{said}");
    assert!(said.contains("main (pre-receive hook declined)"), "{said}");
    let after = Outcome::found_in(&scene);
    assert_eq!((before.refs, before.objects, before.files), (after.refs, after.objects, after.files));
}

#[test]
fn an_atomic_push_with_options_is_one() {
    let Some((Push { scene, .. }, server)) = served("") else { return };
    scene.git("server.git", &["config", "receive.advertisePushOptions", "true"]);
    scene.hook("pre-receive", "echo option $GIT_PUSH_OPTION_0");
    scene.hook("update", "test $1 != refs/heads/b");
    let (pushed, said) =
        server.push(&scene, &[], &["--atomic", "--push-option=ship it", "next:refs/heads/a", "next:refs/heads/b"]);
    assert!(!pushed && was_served_by_us(&scene), "{said}");
    assert!(said.contains("remote: option ship it"), "{said}");
    assert!(said.contains("b (hook declined)") && said.contains("a (atomic push failure)"), "{said}");
    assert_eq!(scene.git("server.git", &["for-each-ref", "refs/heads/a", "refs/heads/b"]), "");
}

#[test]
fn a_large_push_is_taken() {
    let Some((Push { scene, .. }, server)) = served("fastcgi_request_buffering off;") else { return };
    let blob = tag_large_blob(&scene, 24_000_000);
    let (pushed, said) = server.push(&scene, &[], &["large", "many:main"]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
    assert_eq!(scene.git("server.git", &["rev-parse", "large"]), blob);
    assert_eq!(scene.git("server.git", &["cat-file", "-s", "large"]), "24000000");
}

#[test]
fn the_one_who_logged_in_is_named_in_the_reflog() {
    let Some((push, server)) = served("fastcgi_param REMOTE_USER alice;") else { return };
    // This one need not be open to anybody.
    let Push { scene, .. } =
        push.server(&["config", "--unset", "http.receivepack"]).config("core.logAllRefUpdates", "true");
    scene.hook("post-receive", "echo pushed by $REMOTE_USER");
    let (pushed, said) = server.push(&scene, &[], &["next:main"]);
    assert!(pushed && said.contains("remote: pushed by alice"), "{said}");
    let log = fs::read_to_string(scene.path("server.git/logs/refs/heads/main")).expect("a log");
    assert!(log.contains(" alice <alice@http.127.0.0.1> "), "{log}");
}

/// Requests that end in each way that a request can end.
fn requests(push: impl Fn() -> Push) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("an update", push().update("refs/heads/main", "main", "next").bytes()),
        ("a pack that is kept", push().create("refs/heads/many", "many").bytes()),
        ("a deletion", push().delete("refs/heads/topic", "topic").bytes()),
        ("one declined", push().create("refs/heads/bad", "next").create("refs/heads/good", "next").bytes()),
        (
            "no side-band",
            push().capabilities("report-status object-format=sha1").create("refs/heads/x", "next").bytes(),
        ),
        ("no report", push().capabilities("object-format=sha1").create("refs/heads/y", "next").bytes()),
        ("nothing to push", b"0000".to_vec()),
        ("nothing", Vec::new()),
        ("no request", b"what is this?".to_vec()),
    ]
}

#[test]
fn every_answer_is_byte_for_byte_what_gits_program_gives() {
    let requests = requests(push);
    let push = push().config("http.receivepack", "true").hook("update", "echo asked for $1; test $1 != refs/heads/bad");
    push.scene.save();
    let answers = |settings: String| {
        let server = WebServer::start(&push.scene, &(settings + "fastcgi_param GIT_USER_AGENT either;"))?;
        let gets = ["", "Git-Protocol: version=1\r\n", "Git-Protocol: version=2\r\n"];
        let gets = gets.map(|headers| (headers, server.advertisement(headers)));
        let posts = requests.iter().map(|(name, body)| (*name, server.post("", body)));
        let answers = gets.into_iter().chain(posts).map(|(name, answer)| {
            let head: Vec<&str> = answer.head.lines().filter(|line| !line.starts_with("Date: ")).collect();
            format!("{name}\n{}\n\n{}", head.join("\n"), answer.body.escape_ascii())
        });
        Some(answers.collect::<Vec<_>>())
    };
    let Some(theirs) = answers(String::new()) else { return };
    push.scene.restore();
    let Some(mine) = answers(in_front(&push.scene)) else { return };
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert_eq!(mine, theirs, "ours on the left");
    }
    assert_eq!(mine.len(), theirs.len());
}

#[test]
fn stateless_calls_answer_byte_for_byte_as_gits() {
    let fresh =
        || push().hook("update", "echo asked for $1; test $1 != refs/heads/bad").env("GIT_USER_AGENT", "either");
    let advertising: [&[&str]; 4] = [
        &["--advertise-refs"],
        &["--http-backend-info-refs"],
        &["--stateless-rpc", "--advertise-refs"],
        &["--stateless-rpc", "--http-backend-info-refs"],
    ];
    for version in ["", "version=1", "version=2"] {
        let mut push = fresh().env("GIT_PROTOCOL", version);
        for arguments in advertising {
            push.arguments = arguments.iter().map(Into::into).collect();
            let [mine, theirs] = [ours(), &gits()].map(|program| server::run(program, &push, b""));
            assert_eq!(mine, theirs, "{version} {arguments:?}");
        }
        push.arguments = vec!["--stateless-rpc".into()];
        push.scene.save();
        for (name, request) in requests(fresh) {
            let mine = server::run(ours(), &push, &request);
            push.scene.restore();
            let theirs = server::run(&gits(), &push, &request);
            push.scene.restore();
            assert_eq!(mine, theirs, "{version} {name}: ours on the left");
        }
    }
}
