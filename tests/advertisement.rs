//! What the client is shown first: byte for byte what the installed git shows, but for the agent.

pub mod support;

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    process::{Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use support::{gits, ours as ours_program, scene::Scene};

/// Both programs' advertisements of `server.git`, ours first.
fn advertised(scene: &Scene, environment: &[(&str, &str)], configuration: &[&str]) -> [Output; 2] {
    [ours_program().to_owned(), gits()].map(|program| {
        let mut command = scene.command(".", program);
        command.args(["--http-backend-info-refs", "server.git"]).envs(environment.iter().copied());
        command.env("GIT_CONFIG_COUNT", configuration.len().to_string());
        for (at, setting) in configuration.iter().enumerate() {
            let (key, value) = setting.split_once('=').unwrap();
            command.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command.stdin(Stdio::null()).output().unwrap()
    })
}

/// What is the same in both once the agent, whose length differs, is one. Gives it as text.
fn same_with(scene: &Scene, environment: &[(&str, &str)], configuration: &[&str]) -> String {
    let environment = [environment, &[("GIT_USER_AGENT", "agent/1")]].concat();
    let [ours, gits] = advertised(scene, &environment, configuration).map(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text, String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
    });
    assert_eq!(ours, gits);
    assert_eq!(ours.2, Some(0), "{}", ours.1);
    ours.0
}

fn same(scene: &Scene) -> String {
    same_with(scene, &[], &[])
}

#[test]
fn loose_and_packed_refs_are_one_list() {
    for hash in ["sha1", "sha256"] {
        let shown = same(&Scene::new(hash, "files"));
        assert!(shown.contains("refs/heads/main") && shown.contains("refs/tags/v1\n"));
    }
}

#[test]
fn refs_in_a_reftable_are_shown_too() {
    let scene = Scene::new("sha1", "reftable");
    scene.git("server.git", &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
    scene.git("server.git", &["symbolic-ref", "refs/heads/dangling", "refs/heads/nothing"]);
    assert!(same(&scene).contains(" refs/heads/alias"));
}

#[test]
fn a_repository_without_refs_shows_its_capabilities() {
    let scene = Scene::empty();
    scene.git(".", &["init", "-q", "--bare", "server.git"]);
    assert!(same(&scene).contains("capabilities^{}"));
}

#[test]
fn settings_choose_the_capabilities() {
    let scene = Scene::new("sha1", "files");
    let shown = same_with(&scene, &[], &["receive.advertiseAtomic=false", "repack.useDeltaBaseOffset=false"]);
    assert!(!shown.contains(" atomic") && !shown.contains("ofs-delta"));
    assert!(same_with(&scene, &[], &["receive.advertisePushOptions=true"]).contains(" push-options object-format"));
}

#[test]
fn the_session_id_is_shown_where_configured() {
    let scene = Scene::new("sha1", "files");
    let [ours, gits] = advertised(&scene, &[], &["transfer.advertiseSID=true"]).map(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let behind = text.split_once(" session-id=").unwrap().1;
        behind.split(' ').next().unwrap().to_owned()
    });
    assert!(!ours.is_empty() && !gits.is_empty());
}

#[test]
fn the_highest_protocol_version_wins_and_two_is_answered_as_none() {
    let scene = Scene::new("sha1", "files");
    assert!(same_with(&scene, &[("GIT_PROTOCOL", "version=1")], &[]).starts_with("000eversion 1\n"));
    for list in ["version=2", "version=1:version=2", "version=0", "version=7", "x:version=1", "version=1x", ""] {
        same_with(&scene, &[("GIT_PROTOCOL", list)], &[]);
    }
}

#[test]
fn the_agent_is_one_printable_word() {
    let scene = Scene::new("sha1", "files");
    let shown = same_with(&scene, &[], &[]);
    assert!(shown.contains(" agent=agent/1\n"));
    let [ours, gits] = advertised(&scene, &[("GIT_USER_AGENT", " my\tagent \u{e4}/1 ")], &[]);
    assert_eq!(ours.stdout, gits.stdout);
    let [ours, _] = advertised(&scene, &[], &[]);
    let name = concat!(" agent=balanced-receive-pack/", env!("CARGO_PKG_VERSION"), "\n");
    assert!(String::from_utf8_lossy(&ours.stdout).contains(name));
}

#[test]
fn loose_files_that_are_no_refs_are_shown_as_git_shows_them() {
    let scene = Scene::new("sha1", "files");
    let main = scene.git("server.git", &["rev-parse", "main"]);
    let contents = [
        ("empty", String::new()),
        ("cut", main[..39].into()),
        ("longer", format!("{main}0\n")),
        ("trailing", format!("{main} and more\n")),
        ("without-newline", main.clone()),
        ("capitals", main.to_uppercase()),
        ("space", format!(" {main}")),
        ("null", "0".repeat(40)),
        ("missing-object", "1".repeat(40)),
        ("no-hex", "z".repeat(40)),
        ("huge", "0123456789".repeat(2000)),
        ("locked.lock", main.clone()),
        (".hidden", main.clone()),
        ("two..dots", main.clone()),
        ("a blank", main.clone()),
        ("a\\backslash", main.clone()),
        ("@", main.clone()),
        ("deep/er/ref", main.clone()),
    ];
    for (name, content) in &contents {
        scene.write(&format!("server.git/refs/heads/x/{name}"), content);
    }
    scene.write("server.git/refs/bisect/bad", &main);
    scene.write("server.git/refs/worktree/own", &main);
    scene.write("server.git/refs/top", &main);
    fs::create_dir_all(scene.path("server.git/refs/heads/nothing/below")).unwrap();
    let shown = same(&scene);
    assert!(shown.contains("refs/heads/x/two..dots") && !shown.contains(".lock"));
}

#[test]
fn many_loose_refs_are_read_as_few_are() {
    let scene = Scene::new("sha1", "files");
    let main = scene.git("server.git", &["rev-parse", "main"]);
    let heads = scene.path("server.git/refs/heads");
    // In one directory, in a few large ones, and in many small ones: whatever part of them a thread gets.
    for at in 0..3000 {
        let content = match at % 20 {
            7 => "no ref".into(),
            11 => format!("ref: refs/heads/one/{:04}", at + 3),
            13 => "ref: refs/heads/nowhere".into(),
            _ => format!("{main}\n"),
        };
        let directory = match at {
            0..1000 => "one".into(),
            1000..2000 => format!("some/{}", at % 7),
            _ => format!("many/{}", at % 600),
        };
        fs::create_dir_all(heads.join(&directory)).unwrap();
        fs::write(heads.join(format!("{directory}/{at:04}")), content).unwrap();
        if at % 50 == 0 {
            fs::write(heads.join(&directory).join(OsStr::from_bytes(b"not-\xfftext")), &main).unwrap();
            fs::write(heads.join(format!("{directory}/{at:04}.lock")), &main).unwrap();
            symlink("refs/heads/main", heads.join(format!("{directory}/{at:04}-link"))).unwrap();
            nix::unistd::mkfifo(&heads.join(format!("{directory}/{at:04}-pipe")), nix::sys::stat::Mode::S_IRWXU)
                .unwrap();
        }
    }
    assert!(same(&scene).lines().count() > 2700);
}

#[test]
fn directories_that_vanish_meanwhile_hurt_nobody() {
    let scene = Scene::new("sha1", "files");
    let main = scene.git("server.git", &["rev-parse", "main"]);
    let heads = scene.path("server.git/refs/heads");
    let make = |directory: &str| {
        fs::create_dir_all(heads.join(directory)).unwrap();
        for at in 0..600 {
            fs::write(heads.join(directory).join(at.to_string()), &main).unwrap();
        }
    };
    make("stays");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                make("comes/and/goes");
                fs::remove_dir_all(heads.join("comes")).unwrap();
            }
        });
        for _ in 0..30 {
            let [ours, _] = advertised(&scene, &[], &[]);
            let shown = String::from_utf8_lossy(&ours.stdout).into_owned();
            assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
            assert_eq!(shown.matches(" refs/heads/stays/").count(), 600);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn symbolic_refs_are_followed_as_far_as_git_follows_them() {
    let scene = Scene::new("sha1", "files");
    for at in 0..7 {
        scene.write(&format!("server.git/refs/heads/chain{at}"), &format!("ref: refs/heads/chain{}\n", at + 1));
    }
    let main = scene.git("server.git", &["rev-parse", "main"]);
    let targets = [
        ("end", "ref: refs/heads/main"),
        ("packed", "ref:refs/heads/old"),
        ("head", "ref:\t HEAD \n"),
        ("dangling", "ref: refs/heads/nowhere"),
        ("self", "ref: refs/heads/s/self"),
        ("bad", "ref: refs/heads/../x"),
        ("nothing", "ref:"),
        ("bare", "ref"),
        ("broken", "ref: refs/heads/broken"),
        ("missing", "ref: refs/heads/missing"),
    ];
    for (name, content) in targets {
        scene.write(&format!("server.git/refs/heads/s/{name}"), content);
    }
    scene.write("server.git/refs/heads/chain7", &main);
    scene.write("server.git/refs/heads/broken", "?");
    scene.write("server.git/refs/heads/missing", &"1".repeat(40));
    // One that leads nowhere hides the packed ref of its name.
    scene.write("server.git/refs/heads/old", "ref: refs/heads/nowhere");
    let heads = scene.path("server.git/refs/heads");
    symlink("refs/heads/main", heads.join("link-to-nowhere")).unwrap();
    symlink("main", heads.join("link-to-file")).unwrap();
    symlink("s", heads.join("link-to-directory")).unwrap();
    assert!(same(&scene).contains("refs/heads/s/end\n"));
}

#[test]
fn packed_refs_of_another_hand_are_read_as_git_reads_them() {
    let scene = Scene::new("sha1", "files");
    let id = scene.git("server.git", &["rev-parse", "main"]);
    fs::remove_dir_all(scene.path("server.git/refs/heads")).unwrap();
    let upper = id.to_uppercase();
    let files = [
        String::new(),
        format!("{id} refs/heads/b\n{id} refs/heads/a\n"),
        format!("# pack-refs with: peeled\n{id} refs/heads/b\n{id} refs/tags/a\n^{id}\n"),
        format!("# pack-refs with: sorted \n{id} refs/heads/b\n{id} refs/heads/a\n"),
        format!("# pack-refs with:\n{id} refs/heads/b..c\n{upper} refs/heads/a\n"),
        format!("# pack-refs with: sorted\n{id} refs/heads/a b\n{id} refs/heads/c.lock\n"),
        format!("# pack-refs with: sorted\n{id}\trefs/heads/tab\n{id} refs/heads/v1.0\n{id} refs/heads/v1.lockx\n"),
        format!("# pack-refs with: sorted\n{} refs/heads/null\n", "0".repeat(40)),
    ];
    for content in files {
        scene.write("server.git/packed-refs", &content);
        same(&scene);
    }
}

#[test]
fn a_large_packed_refs_is_merged_with_loose_refs() {
    let scene = Scene::new("sha1", "files");
    let id = scene.git("server.git", &["rev-parse", "main"]);
    let mut lines = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    for at in 0..3000 {
        lines += &format!("{id} refs/heads/topic-{at:04}\n");
    }
    scene.write("server.git/packed-refs", &lines);
    for at in [0, 17, 2999, 4000] {
        scene.write(&format!("server.git/refs/heads/topic-{at:04}"), &"2".repeat(40));
    }
    let count = same(&scene).lines().count();
    assert!(count > 3000);
    // Between lines as git writes them some by another hand, and some with names that ask for a closer look.
    let upper = id.to_uppercase();
    for at in (0..3000).step_by(150) {
        let of = |number: usize| format!("refs/heads/topic-{number:04}");
        let odd = [
            (id.as_str(), " ", format!("{}-v1.2.lockx", of(at))),
            (&id, " ", format!("{}.lock", of(at + 1))),
            (&id, "\t", format!("{}-tab", of(at + 2))),
            (&upper, " ", format!("{}-capitals", of(at + 3))),
            (&id, " ", format!("{}..dots", of(at + 4))),
            (&id, " ", format!("{}\u{e4}", of(at + 5))),
        ];
        for (number, (id, blank, name)) in odd.into_iter().enumerate() {
            let end = format!("{}\n", of(at + number));
            lines = lines.replace(&end, &format!("{end}^{id}\n{id}{blank}{name}\n"));
        }
    }
    scene.write("server.git/packed-refs", &lines);
    assert_eq!(same(&scene).lines().count(), count + 20 * 6);
}

#[test]
fn a_malformed_packed_refs_is_an_error_that_names_file_and_line() {
    let scene = Scene::new("sha1", "files");
    let id = scene.git("server.git", &["rev-parse", "main"]);
    let header = "# pack-refs with: sorted \n";
    let files = [
        (format!("{header}{id} refs/heads/a"), format!("unterminated line in {{}}: {id} refs/heads/a")),
        (format!("{header}xyz\n"), "unexpected line in {}: xyz".into()),
        (format!("{header}{id}-refs/heads/b\n"), format!("unexpected line in {{}}: {id}-refs/heads/b")),
        (format!("{header}^{id}\n"), format!("unexpected line in {{}}: ^{id}")),
        (format!("{header}{id} refs/tags/a\n^xyz\n"), "unexpected line in {}: ^xyz".into()),
        (format!("{header}\n"), "unexpected line in {}: ".into()),
        (format!("# what\n{id} refs/heads/a\n"), "unexpected line in {}: # what".into()),
        (format!("{header}{id} refs/../a\n"), "packed refname is dangerous: refs/../a".into()),
        (header.into(), String::new()),
    ];
    for (content, complaint) in files {
        scene.write("server.git/packed-refs", &content);
        let [ours, gits] = advertised(&scene, &[], &[]);
        assert_eq!(ours.status.code(), gits.status.code(), "{content}");
        let complain = |path: &str| match complaint.as_str() {
            "" => String::new(),
            words => format!("fatal: {}\n", words.replace("{}", path)),
        };
        let path = scene.path("server.git/packed-refs").canonicalize().unwrap();
        assert_eq!(String::from_utf8_lossy(&gits.stderr), complain("./packed-refs"));
        assert_eq!(String::from_utf8_lossy(&ours.stderr), complain(path.to_str().unwrap()));
        // Nor is it taken for good where nobody is told of the refs.
        let mut unheard = scene.command(".", ours_program());
        let unheard = unheard.args(["--stateless-rpc", "server.git"]).stdin(Stdio::null()).output().unwrap();
        if !complaint.is_empty() {
            assert_eq!((unheard.status.code(), unheard.stderr), (Some(128), ours.stderr));
        }
    }
}

#[test]
fn a_malformed_line_behind_many_others_ends_the_advertisement() {
    let scene = Scene::new("sha1", "files");
    let id = scene.git("server.git", &["rev-parse", "main"]);
    let lines: String = (0..20_000).map(|at| format!("{id} refs/heads/topic-{at:05}\n")).collect();
    scene.write("server.git/packed-refs", &format!("# pack-refs with: sorted \n{lines}what\n{id} refs/tags/z\n"));
    let [ours, gits] = advertised(&scene, &[], &[]);
    assert_eq!([&ours, &gits].map(|output| output.status.code()), [Some(128); 2]);
    let complaint = String::from_utf8_lossy(&ours.stderr).into_owned();
    assert!(complaint.starts_with("fatal: unexpected line in ") && complaint.ends_with(": what\n"), "{complaint}");
    // What was told before is what git tells, and no client takes it for the whole.
    assert!(!ours.stdout.ends_with(b"0000"));
    let of_refs =
        |output: &Output| String::from_utf8_lossy(&output.stdout).lines().skip(2).map(str::to_owned).collect();
    let [told, gits]: [Vec<String>; 2] = [&ours, &gits].map(of_refs);
    assert!(gits.starts_with(&told) && !told.is_empty());
}

#[test]
fn hidden_refs_are_not_shown() {
    let scene = Scene::new("sha1", "files");
    assert!(!same_with(&scene, &[], &["receive.hideRefs=refs/tags/"]).contains("v1"));
    same_with(&scene, &[], &["transfer.hideRefs=refs/heads", "receive.hideRefs=!refs/heads/main"]);
    same_with(&scene, &[], &["receive.hideRefs=!refs/heads/main", "transfer.hideRefs=refs/heads"]);
    same_with(&scene, &[], &["receive.hideRefs=refs"]);
    same_with(&scene, &[], &["receive.hideRefs=refs/head", "receive.hideRefs=^refs/tags"]);
}

#[test]
fn under_a_namespace_names_are_short_and_the_rest_is_had() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["update-ref", "refs/namespaces/a/refs/heads/x", "old"]);
    scene.git("server.git", &["update-ref", "refs/namespaces/a/refs/namespaces/b/refs/heads/y", "topic"]);
    for namespace in ["a", "a/b", "none"] {
        let shown = same_with(&scene, &[("GIT_NAMESPACE", namespace)], &[]);
        assert!(shown.contains(".have"));
        same_with(&scene, &[("GIT_NAMESPACE", namespace)], &["receive.hideRefs=refs/heads"]);
        same_with(&scene, &[("GIT_NAMESPACE", namespace)], &["receive.hideRefs=^refs/heads"]);
    }
}

#[test]
fn what_alternates_have_is_told_once_per_object() {
    let scene = Scene::new("sha1", "files");
    scene.git(".", &["clone", "-q", "--bare", "--shared", "client.git", "middle.git"]);
    scene.git("middle.git", &["update-ref", "-d", "refs/heads/next2"]);
    scene.write("server.git/objects/info/alternates", "# a comment\n../../middle.git/objects\n");
    let shown = same(&scene);
    assert!(shown.contains(".have"));
    same_with(&scene, &[], &["core.alternateRefsPrefixes=refs/tags refs/heads/ne"]);
    same_with(&scene, &[], &["core.alternateRefsPrefixes=refs/heads/n*"]);
    let command = "core.alternateRefsCommand=f() { echo \"$1\" >&2; git --git-dir=\"$1\" rev-parse many; }; f";
    same_with(&scene, &[], &[command]);
    same_with(&scene, &[], &["core.alternateRefsCommand=echo no-id; :"]);
}

#[test]
fn alternates_of_the_environment_are_asked_too() {
    let scene = Scene::new("sha1", "files");
    let objects = scene.path("client.git/objects");
    let list = format!("{}:{}", objects.display(), scene.path("server.git/objects").display());
    assert!(same_with(&scene, &[("GIT_ALTERNATE_OBJECT_DIRECTORIES", &list)], &[]).contains(".have"));
}

#[test]
fn alternates_in_a_circle_and_in_a_reftable_are_read() {
    let scene = Scene::new("sha1", "reftable");
    scene.write("server.git/objects/info/alternates", "../../client.git/objects\n");
    scene.write("client.git/objects/info/alternates", "../../server.git/objects\n");
    assert!(same(&scene).contains(".have"));
}

#[test]
fn the_roots_of_a_shallow_repository_are_told() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["update-ref", "refs/heads/main", "main"]);
    let roots = [scene.git("server.git", &["rev-parse", "main~1"]), scene.git("server.git", &["rev-parse", "topic"])];
    scene.write("server.git/shallow", &format!("{}\n{}\n", roots[0], roots[1]));
    assert!(same(&scene).contains("shallow "));
}

#[test]
fn a_linked_worktree_shows_its_own_refs_and_those_of_all() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["worktree", "add", "-q", "--detach", "../linked", "main"]);
    scene.git("linked", &["update-ref", "refs/worktree/mine", "topic"]);
    scene.git("server.git", &["update-ref", "refs/worktree/theirs", "main"]);
    scene.git("linked", &["update-ref", "refs/bisect/good", "topic"]);
    // Loose, and with no packed value that would be shown in its place.
    scene.git("server.git", &["branch", "loose", "main"]);
    fs::rename(scene.path("server.git"), scene.path("main.git")).unwrap();
    scene.git("main.git", &["worktree", "repair", "../linked"]);
    symlink("linked", scene.path("server.git")).unwrap();
    let shown = same(&scene);
    assert!(shown.contains("refs/worktree/mine") && !shown.contains("theirs"), "{shown}");
    assert!(shown.contains("refs/heads/loose"), "{shown}");
}
