//! Which directory a name stands for, whose it is, and what kind of repository, beside git's program.

pub mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
};

use support::{
    alike::{Answer, Place},
    gits, ours,
    push::{Push, push},
    scene::Scene,
    server::pushed_to_both,
};

/// A scene with a bare `r.git` that has `branch`, so that an advertisement tells one repository from another.
fn scene() -> Scene {
    let scene = Scene::empty();
    bare(&scene, "r.git", "in-r");
    scene
}

fn bare(scene: &Scene, directory: &str, branch: &str) {
    scene.git(".", &["init", "-q", "--bare", "-b", "main", "--template=", directory]);
    let tree = scene.git(directory, &["hash-object", "-w", "-t", "tree", "/dev/null"]);
    let commit = scene.git(directory, &["commit-tree", "-m", "m", &tree]);
    scene.git(directory, &["update-ref", &format!("refs/heads/{branch}"), &commit]);
}

fn alike(scene: &Scene, directory: &str) -> Answer {
    Place::new(scene, ".").alike(directory, &[directory])
}

#[test]
fn the_four_places_of_a_name_are_tried_in_order() {
    let scene = Scene::empty();
    // The last one first, so that each new one must win over those that were there.
    for (place, branch) in [("n.git", "last"), ("n.git/.git", "third"), ("n", "second"), ("n/.git", "first")] {
        bare(&scene, place, branch);
        for name in ["n", "n/", "n///", "./n", "n/.git", "n.git", "n.git/", "n/../n"] {
            alike(&scene, name);
        }
        assert!(alike(&scene, "n").stdout.contains(branch), "{branch}");
    }
}

#[test]
fn what_is_no_repository_is_named_as_it_was_given() {
    let scene = scene();
    fs::create_dir_all(scene.path("empty/.git")).expect("directories");
    scene.git(".", &["init", "-q", "tree"]);
    for name in ["nowhere", "nowhere/", "empty", "", "/", "//", ".", "..", "r.git/refs", "tree/sub", "a\nb\tc", "ä"] {
        let answer = alike(&scene, name);
        assert_eq!(answer.status, Some(128), "{name}");
        assert!(answer.stderr.starts_with(&format!("fatal: '{name}' does not appear")), "{name}: {}", answer.stderr);
    }
}

#[test]
fn a_name_cannot_steer_the_terminal_that_it_is_shown_on() {
    let scene = scene();
    let answer = alike(&scene, "\u{1b}[31mred\u{7f}\r");
    assert_eq!(answer.stderr, "fatal: '?[31mred??' does not appear to be a git repository\n");
}

#[test]
fn a_tilde_stands_for_a_home() {
    let scene = scene();
    bare(&scene, "home/mine.git", "at-home");
    for name in ["~/mine", "~/mine.git", "~/mine.git/", "~/nothing", "~", "~/", "~nobody-of-that-name/mine", "~root"] {
        alike(&scene, name);
    }
    let homeless = Place::new(&scene, "home").env("HOME", "");
    homeless.alike("an empty HOME", &["~/mine"]);
}

#[test]
fn gitfiles_are_followed_once() {
    let scene = scene();
    fs::create_dir_all(scene.path("tree/sub")).expect("directories");
    let root = scene.root().display().to_string();
    let cases = [
        "gitdir: r.git",
        "gitdir: r.git\n",
        "gitdir: r.git\n\n\r\n",
        "gitdir: r.git/",
        &format!("gitdir: {root}/r.git"),
        "gitdir:  r.git",
        "gitdir: r",
        "gitdir: r.git\nr.git",
        "gitdir: nowhere",
        "gitdir: a/b/c",
        "gitdir: gitfile",
        "gitdir: ",
        "gitdir: \n",
        "gitdir:",
        "gitdir:r.git",
        "GITDIR: r.git",
        "garbage",
        "",
    ];
    for content in cases {
        scene.write("gitfile", content);
        alike(&scene, "gitfile");
        alike(&scene, "./gitfile");
        scene.write("tree/.git", &content.replace(": r", ": ../r"));
        alike(&scene, "tree");
        alike(&scene, "tree/.git");
    }
    scene.write("big", &"x".repeat(1 << 21));
    alike(&scene, "big");
}

#[test]
fn a_git_directory_has_a_head_objects_and_refs() {
    type Change = fn(&Scene);
    let cases: [(&str, Change); 18] = [
        ("no HEAD", |s| fs::remove_file(s.path("r.git/HEAD")).unwrap()),
        ("an empty HEAD", |s| s.write("r.git/HEAD", "")),
        ("garbage in HEAD", |s| s.write("r.git/HEAD", "garbage\n")),
        ("HEAD without white space", |s| s.write("r.git/HEAD", "ref:refs/heads/main")),
        ("HEAD with much white space", |s| s.write("r.git/HEAD", "ref:\t\n  refs/heads/main\n")),
        ("HEAD outside of refs", |s| s.write("r.git/HEAD", "ref: main\n")),
        ("a detached HEAD", |s| s.write("r.git/HEAD", &format!("{}\n", "1".repeat(40)))),
        ("a detached HEAD and more", |s| s.write("r.git/HEAD", &format!("{}xyz\n", "1".repeat(40)))),
        ("an id cut short in HEAD", |s| s.write("r.git/HEAD", &"1".repeat(39))),
        ("HEAD a link to a ref", |s| link(s, "refs/heads/main")),
        ("HEAD a link to another file", |s| {
            fs::rename(s.path("r.git/HEAD"), s.path("r.git/OTHER")).unwrap();
            symlink("OTHER", s.path("r.git/HEAD")).unwrap();
        }),
        ("HEAD a directory", |s| {
            fs::remove_file(s.path("r.git/HEAD")).unwrap();
            fs::create_dir(s.path("r.git/HEAD")).unwrap();
        }),
        ("no objects", |s| fs::remove_dir_all(s.path("r.git/objects")).unwrap()),
        ("no refs", |s| fs::remove_dir_all(s.path("r.git/refs")).unwrap()),
        ("refs a file", |s| {
            fs::remove_dir_all(s.path("r.git/refs")).unwrap();
            s.write("r.git/refs", "");
        }),
        ("no configuration", |s| fs::remove_file(s.path("r.git/config")).unwrap()),
        ("an empty configuration", |s| s.write("r.git/config", "")),
        ("a common directory that is not there", |s| s.write("r.git/commondir", "nowhere\n")),
    ];
    for (what, change) in cases {
        let scene = scene();
        change(&scene);
        Place::new(&scene, ".").alike(what, &["r.git"]);
    }
}

fn link(scene: &Scene, target: &str) {
    fs::remove_file(scene.path("r.git/HEAD")).unwrap();
    symlink(target, scene.path("r.git/HEAD")).unwrap();
}

#[test]
fn versions_and_extensions_that_are_not_known_are_refused() {
    let scene = scene();
    let cases = [
        "[core]\nrepositoryformatversion = 2\n",
        "[core]\nrepositoryformatversion = 99999999999\n",
        "[core]\nrepositoryformatversion = -1\n[extensions]\nfoo = 1\n",
        "[core]\nrepositoryformatversion = -1\n[extensions]\nobjectFormat = sha256\n",
        "[core]\nrepositoryformatversion = -3\n[extensions]\nobjectFormat = sha256\n",
        "[core]\nrepositoryformatversion = x\n",
        "[core]\nrepositoryformatversion\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\nfoo = 1\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\nfoo = 1\nBar = 2\nnoop = x\nnoop-v1\n",
        "[core]\nrepositoryformatversion = 1\n[extensions \"Sub\"]\nb = true\n",
        "[core]\nrepositoryformatversion = 0\n[extensions]\nfoo = 1\n",
        "[core]\nrepositoryformatversion = 0\n[extensions]\nobjectFormat = sha1\n",
        "[core]\nrepositoryformatversion = 0\n[extensions]\nobjectFormat = sha1\nrefStorage = files\n",
        "[core]\nrepositoryformatversion = 0\n[extensions]\npreciousObjects = true\nworktreeConfig = true\n",
        "[extensions]\nobjectFormat = sha256\nfoo = bar\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectFormat = SHA256\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectFormat\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectFormat = sha256\nobjectFormat = sha1\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\nrefStorage = x\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\npreciousObjects = x\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\npartialClone\n",
        "[core]\nrepositoryformatversion = 1\n[extensions]\nworktreeConfig = x\n",
        "[core]\nrepositoryformatversion = 1\n[include]\npath = ../included\n",
        "[core]\nrepositoryformatversion = 5\nbare = x\n",
        "[core]\nbare = x\nrepositoryformatversion = z\n",
        "[core]\nbare = x\n[broken\n",
        "[core]\nbare\n[broken\n",
        "[core]\nworktree\n",
    ];
    scene.write("included", "[extensions]\nfoo = 1\n[core]\nrepositoryformatversion = 7\n");
    for config in cases {
        scene.write("r.git/config", config);
        Place::new(&scene, ".").alike(config, &["r.git"]);
    }
    // These came after git 2.47.
    for extension in ["relativeWorktrees", "submodulePathConfig"] {
        scene
            .write("r.git/config", &format!("[core]\nrepositoryformatversion = 1\n[extensions]\n{extension} = true\n"));
        let answer = Place::new(&scene, ".").answer(ours(), &["r.git"]);
        assert_eq!((answer.status, answer.stderr.as_str()), (Some(0), ""), "{extension}");
    }
}

#[test]
fn hashes_and_ref_formats_are_recognised() {
    for hash in ["sha1", "sha256"] {
        let scene = Scene::new(hash, "files");
        let answer = alike(&scene, "server");
        assert!(answer.advertises(&format!("object-format={hash}")), "{}", answer.stdout);
    }
}

#[test]
fn a_linked_worktree_is_another_way_into_its_repository() {
    let scene = Scene::new("sha1", "files");
    scene.git("server.git", &["worktree", "add", "-q", "../linked", "topic"]);
    for directory in ["linked", "linked/.git", "server.git/worktrees/linked"] {
        assert!(alike(&scene, directory).stdout.contains("refs/heads/main"), "{directory}");
    }
    scene.git("linked", &["config", "receive.autogc", "x"]);
    alike(&scene, "linked");
    scene.git("linked", &["config", "receive.autogc", "false"]);
    scene.git("linked", &["config", "extensions.worktreeConfig", "true"]);
    scene.git("linked", &["config", "--worktree", "receive.unpackLimit", "x"]);
    alike(&scene, "linked");
    assert_eq!(alike(&scene, "server").status, Some(0));
    scene.write("server.git/config.worktree", "[core]\nbare = x\n");
    alike(&scene, "server");
}

#[test]
fn variables_that_belong_to_another_repository_do_not_win_over_the_argument() {
    let scene = scene();
    bare(&scene, "other.git", "in-other");
    let place = Place::new(&scene, ".")
        .env("GIT_DIR", "SCENE/other.git")
        .env("GIT_WORK_TREE", "SCENE")
        .env("GIT_INDEX_FILE", "SCENE/index");
    assert!(place.alike("GIT_DIR of another", &["r.git"]).stdout.contains("in-r"));
}

#[test]
fn object_directories_of_the_environment_are_used() {
    let scene = scene();
    fs::rename(scene.path("r.git/objects"), scene.path("elsewhere")).unwrap();
    alike(&scene, "r.git");
    let elsewhere = Place::new(&scene, ".").env("GIT_OBJECT_DIRECTORY", "SCENE/elsewhere");
    elsewhere.alike("objects elsewhere", &["r.git"]);
    let nowhere = Place::new(&scene, ".").env("GIT_OBJECT_DIRECTORY", "SCENE/nowhere");
    nowhere.alike("objects nowhere", &["r.git"]);
    // Their refs show as `.have`.
    bare(&scene, "with:colon.git", "in-colon");
    bare(&scene, "r2.git", "main");
    scene.git("r2.git", &["update-ref", "-d", "refs/heads/main"]);
    for list in
        ["SCENE/with:colon.git/objects", "\"SCENE/with:colon.git/objects\"", "::\"SCENE/with\\072colon.git/objects\":"]
    {
        let answer = Place::new(&scene, ".").env("GIT_ALTERNATE_OBJECT_DIRECTORIES", list).answer(ours(), &["r2.git"]);
        assert_eq!(answer.status, Some(0), "{list}: {}", answer.stderr);
        assert_eq!(answer.stdout.contains(".have"), list.contains('"'), "{list}: {}", answer.stdout);
    }
}

#[test]
fn a_namespace_hides_the_rest() {
    let scene = scene();
    let id = scene.git("r.git", &["rev-parse", "in-r"]);
    scene.git("r.git", &["update-ref", "refs/namespaces/a/refs/namespaces/b/refs/heads/inner", &id]);
    scene.git("r.git", &["update-ref", "refs/namespaces/a/refs/heads/outer", &id]);
    for namespace in
        ["", "a", "a/", "/a", "a/b", "a//b", "/a/b/", "c", "/", "a..b", "a b", ".a", "a.lock", "a/.b", "-a", "@", "@{"]
    {
        Place::new(&scene, ".").env("GIT_NAMESPACE", namespace).alike(namespace, &["r.git"]);
    }
}

#[test]
fn somebody_elses_repository_wants_leave() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED somebody_elses_repository_wants_leave: only root can give a repository away");
        return;
    }
    let scene = scene();
    bare(&scene, "theirs.git", "in-theirs");
    bare(&scene, "o 'x!.git", "in-odd");
    scene.git(".", &["init", "-q", "tree"]);
    scene.write("gitfile", "gitdir: theirs.git\n");
    scene.write("their-gitfile", "gitdir: r.git\n");
    symlink("theirs.git", scene.path("link")).unwrap();
    for theirs in ["theirs.git", "o 'x!.git", "tree/.git", "their-gitfile"] {
        chown(scene.path(theirs), Some(1234), Some(1234)).unwrap();
    }
    for directory in
        ["theirs", "theirs.git/", "theirs.git/.", "o 'x!", "tree", "tree/.git", "gitfile", "their-gitfile", "link"]
    {
        alike(&scene, directory);
    }
    assert!(alike(&scene, "theirs").stderr.contains("detected dubious ownership"));

    // Under sudo, the one who called it counts too.
    Place::new(&scene, ".").env("SUDO_UID", "1234").alike("their own", &["theirs"]);
    Place::new(&scene, ".").env("SUDO_UID", "1235").alike("another's", &["theirs"]);

    let root = scene.root().canonicalize().unwrap().display().to_string();
    let lists: Vec<Vec<String>> = vec![
        vec!["*".into()],
        vec!["*".into(), String::new()],
        vec![String::new(), "*".into()],
        vec![format!("{root}/tree")],
        vec![format!("{root}/tree/.git")],
        vec![format!("{root}/tree/.git/")],
        vec![format!("{root}/r.git/../tree/.git")],
        vec![format!("{root}/*")],
        vec![format!("{root}/tree/*")],
        vec![format!("{root}/tree/.git/*")],
        vec!["/*".into()],
        vec![format!("{root}/nowhere")],
        vec!["~/../tree/.git".into()],
        vec!["~nobody-of-that-name/x".into()],
        vec![".".into()],
        vec!["tree".into()],
    ];
    for list in lists {
        let said = |value: &String| format!("'safe.directory'='{value}'");
        let parameters = list.iter().map(said).collect::<Vec<_>>().join(" ");
        let place = Place::new(&scene, ".").env("GIT_CONFIG_PARAMETERS", &parameters);
        place.alike(&parameters, &["tree"]);
    }

    // Of a gitfile it may be listed itself (as git has it), or where it leads (as git's message has it).
    for (listed, directory, as_git_does) in
        [("gitfile", "gitfile", true), ("their-gitfile", "their-gitfile", true), ("theirs.git", "gitfile", false)]
    {
        let place =
            Place::new(&scene, ".").env("GIT_CONFIG_PARAMETERS", &format!("'safe.directory'='{root}/{listed}'"));
        let answer = if as_git_does { place.alike(listed, &[directory]) } else { place.answer(ours(), &[directory]) };
        assert_eq!(answer.status, Some(0), "{listed}: {}", answer.stderr);
    }

    // What the repository says itself does not count, what the user says does.
    scene.git("tree", &["config", "-f", ".git/config", "safe.directory", "*"]);
    assert_eq!(alike(&scene, "tree").status, Some(128));
    scene.write("home/.gitconfig", "[include]\npath = safe\n");
    scene.write("home/safe", "[safe]\ndirectory = *\n");
    assert_eq!(alike(&scene, "tree").status, Some(0));
}

#[test]
fn an_unreadable_configuration_is_fatal() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED an_unreadable_configuration_is_fatal: root can read everything");
        return;
    }
    let scene = scene();
    fs::set_permissions(scene.path("r.git/config"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(Place::new(&scene, ".").answer(ours(), &["r.git"]).status, Some(128));
}

#[test]
fn what_counts_as_bare_may_be_said_anywhere() {
    // A branch that counts as checked out is refused.
    let main = |source: &str, value: &str, directory: &'static str| -> Push {
        let push = push().server(&["worktree", "add", "-q", "../linked", "topic"]).directory(directory);
        let push = match source {
            "the environment" => push.env("GIT_CONFIG_PARAMETERS", &format!("'core.bare'='{value}'")),
            source => push.shell(&format!("printf '[core]\\n\\tbare = {value}\\n' >{source}")),
        };
        push.config("receive.denyCurrentBranch", "refuse").update("refs/heads/main", "main", "next")
    };
    for directory in ["server.git", "linked"] {
        for source in ["the environment", "home/.gitconfig"] {
            for value in ["true", "false"] {
                let unset = main(source, value, directory).server(&["config", "--unset", "core.bare"]);
                for push in [main(source, value, directory), unset] {
                    let (theirs, mine) = pushed_to_both(&push);
                    let differences = mine.differences(&theirs, false);
                    assert!(differences.is_empty(), "{directory} {source} {value}:\n{differences}");
                }
            }
        }
    }
}

#[test]
fn what_counts_as_bare_decides_whether_new_refs_get_logs() {
    let cases: [(&str, &[&str]); 5] = [
        ("not bare", &["core.bare", "false"]),
        ("bare", &["core.bare", "true"]),
        ("not said", &["--unset", "core.bare"]),
        ("version not said", &["--unset", "core.repositoryformatversion"]),
        ("the worktree's own file", &["extensions.worktreeConfig", "true"]),
    ];
    for (what, change) in cases {
        for directory in ["../server.git", "../linked"] {
            let scene = Scene::new("sha1", "files");
            scene.add_work_tree();
            scene.git("server.git", &["worktree", "add", "-q", "../linked", "topic"]);
            let arguments: Vec<&str> = ["config"].into_iter().chain(change.iter().copied()).collect();
            scene.git("server.git", &arguments);
            let logged = |program: &std::path::Path, branch: &str| {
                let receive_pack = format!("--receive-pack={}", program.display());
                scene
                    .git("client.git", &["push", "-q", &receive_pack, directory, &format!("next:refs/heads/{branch}")]);
                scene.path("server.git/.git/logs/refs/heads").join(branch).exists()
            };
            assert_eq!(logged(ours(), "by-ours"), logged(&gits(), "by-git"), "{what}, {directory}");
        }
    }
}
