//! Flags and directories on the command line, right and wrong, beside git's program.

pub mod support;

use support::{
    alike::{Answer, Place},
    gits, ours,
    scene::Scene,
};

fn scene() -> Scene {
    let scene = Scene::empty();
    scene.git(".", &["init", "-q", "--bare", "-b", "main", "r.git"]);
    scene
}

/// What both programs do with `arguments`, git's first.
fn answers(scene: &Scene, arguments: &[&str]) -> (Answer, Answer) {
    let answer = |program: std::path::PathBuf| Answer::of(scene.command(".", program).args(arguments));
    (answer(gits()), answer(ours().to_owned()))
}

#[test]
fn usage_errors_have_gits_words_and_exit_status() {
    let scene = scene();
    let cases: [&[&str]; 13] = [
        &[],
        &["--quiet"],
        &["r.git", "r.git"],
        &["r.git", "--", "-q"],
        &["--unknown", "r.git"],
        &["r.git", "--unknown"],
        &["--unknown=1", "r.git"],
        &["--no-no-quiet", "r.git"],
        &["-x", "r.git"],
        &["-qx", "r.git"],
        &["-q1", "r.git"],
        &["--quiet=3", "r.git"],
        &["--no-quiet=3", "r.git"],
    ];
    for arguments in cases {
        let (expected, actual) = answers(&scene, arguments);
        let complaint = |answer: &Answer| {
            let end = answer.stderr.find("usage:").unwrap_or(answer.stderr.len());
            (answer.status, answer.stderr[..end].to_owned())
        };
        assert_eq!(expected.status, Some(129), "{arguments:?}");
        assert_eq!(complaint(&actual), complaint(&expected), "{arguments:?}");
        assert_eq!(
            actual.stderr.contains("usage: git receive-pack "),
            expected.stderr.contains("usage:"),
            "{arguments:?}"
        );
        assert_eq!(actual.stdout, "", "{arguments:?}");
    }
}

#[test]
fn help_goes_to_stdout_and_is_no_error() {
    let scene = scene();
    for arguments in
        [&["-h"][..], &["--help-all"], &["-qh"], &["-h", "nowhere"], &["r.git", "-h"], &["-h", "--unknown"]]
    {
        let (_, actual) = answers(&scene, arguments);
        assert_eq!((actual.status, actual.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(actual.stdout.starts_with("usage: git receive-pack "), "{arguments:?}: {}", actual.stdout);
    }
    let (_, all) = answers(&scene, &["--help-all"]);
    for flag in ["--quiet", "--stateless-rpc", "--http-backend-info-refs", "--reject-thin-pack-for-testing"] {
        assert!(all.stdout.contains(flag), "{flag} in {}", all.stdout);
    }
}

#[test]
fn options_are_known_by_every_form_of_their_names() {
    let scene = scene();
    let cases: [&[&str]; 13] = [
        &["--http-backend-info-refs", "r.git"],
        &["--advertise-refs", "r.git"],
        &["r.git", "--advertise-refs"],
        &["--adv", "r.git"],
        &["--http", "r.git"],
        &["--advertise-refs", "-q", "--quiet", "--qui", "r.git"],
        &["--advertise-refs", "--stateless-rpc", "r.git"],
        &["--advertise-refs", "--stateless-rpc", "--no-stateless-rpc", "--no-quiet", "r.git"],
        &["--no-advertise-refs", "--http-backend-info-refs", "r.git"],
        &["--no-http-backend-info-refs", "--advertise-refs", "r.git"],
        &["--advertise-refs", "--reject-thin-pack-for-testing", "--no-reject-thin-pack-for-testing", "r.git"],
        &["--advertise-refs", "--", "r.git"],
        &["--advertise-refs", "--end-of-options", "r.git"],
    ];
    for arguments in cases {
        let (expected, actual) = answers(&scene, arguments);
        assert_eq!((expected.status, expected.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert_eq!((actual.status, actual.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(actual.advertises("report-status"), "{arguments:?}: {}", actual.stdout);
    }
    // git 2.47 does not have this one yet.
    for flag in ["--skip-connectivity-check", "--no-skip-connectivity-check"] {
        let (_, actual) = answers(&scene, &["--advertise-refs", flag, "r.git"]);
        assert_eq!((actual.status, actual.stderr.as_str()), (Some(0), ""), "{flag}");
    }
}

#[test]
fn a_directory_may_look_like_an_option() {
    let scene = scene();
    for directory in ["-", "--quiet", "-q", "--end-of-options"] {
        Place::new(&scene, ".").alike("a directory of that name is missing", &["--", directory]);
        scene.git(".", &["init", "-q", "--bare", &format!("./{directory}.git")]);
        Place::new(&scene, ".").alike("a directory of that name", &["--", directory]);
    }
}
