//! Pushes that `git daemon` and `git-shell` bring, both unmodified, and led to our program by the README's script.

pub mod support;

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use support::{
    daemon::Daemon,
    in_front::{exec_path, was_served_by_us},
    observe::Outcome,
    optional_program,
    scene::Scene,
    ssh::SshServer,
};

/// `git push` to `url` with `arguments` behind it, and an environment; true if it succeeded, and what it said. The file
/// `packets` gets what went over the wire.
fn push(scene: &Scene, url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = scene.command("client.git", "git");
    command.envs(environment.iter().copied()).env("GIT_TRACE_PACKET", scene.path("packets"));
    let output = command.args(["push", url]).args(arguments).stdin(Stdio::null()).output().expect("git runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Asks for a version of the protocol, by the client's configuration.
fn protocol(version: &str) -> [(&str, &str); 3] {
    [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "protocol.version"), ("GIT_CONFIG_VALUE_0", version)]
}

#[test]
fn a_push_by_git_daemon_reaches_the_program() {
    let scene = Scene::new("sha1", "files");
    let daemon = Daemon::start(&scene);
    let (pushed, said) = push(&scene, &daemon.url(), &["next:main", "v2", ":topic"], &[]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
    assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next"]));
    scene.git("server.git", &["fsck", "--full", "--strict"]);
    scene.git(".", &["clone", "-q", "--bare", &daemon.url(), "fetched.git"]);
    assert_eq!(scene.git("fetched.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next"]));
}

#[test]
fn each_protocol_version_can_be_asked_for_by_git_daemon() {
    let scene = Scene::new("sha1", "files");
    let daemon = Daemon::start(&scene);
    for (version, branch) in [("0", "next"), ("1", "next2"), ("2", "many")] {
        let (pushed, said) = push(&scene, &daemon.url(), &[&format!("+{branch}:main")], &protocol(version));
        assert!(pushed && was_served_by_us(&scene), "{version}: {said}");
        assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", branch]));
    }
    // git's own client does not ask for version 2 when it pushes, though others might.
    for (version, has_line) in [("0", false), ("1", true), ("2", false)] {
        let refs = daemon.advertisement(version);
        assert!(refs.contains("agent=balanced-receive-pack/") && refs.ends_with("0000"), "{version}: {refs}");
        assert_eq!(refs.starts_with("000eversion 1\n"), has_line, "{version}: {refs}");
    }
}

#[test]
fn a_push_declined_is_told_by_git_daemon() {
    let scene = Scene::new("sha1", "files");
    scene.hook("pre-receive", "echo not on a Sunday; exit 1");
    let daemon = Daemon::start(&scene);
    let before = Outcome::found_in(&scene);
    let (pushed, said) = push(&scene, &daemon.url(), &["many:main"], &[]);
    assert!(!pushed && was_served_by_us(&scene), "{said}");
    assert!(said.contains("remote: not on a Sunday"), "{said}");
    assert!(said.contains("main (pre-receive hook declined)"), "{said}");
    let after = Outcome::found_in(&scene);
    assert_eq!((before.refs, before.objects, before.files), (after.refs, after.objects, after.files));
}

/// What ssh does with `host` and the command: hands the command to the login shell, here git-shell with our program in
/// front.
fn git_shell(scene: &Scene) -> Option<String> {
    let shell = optional_program("git-shell", "git")?;
    let exec_path = exec_path(scene);
    let script = format!("#!/bin/sh\nGIT_EXEC_PATH={} exec {} -c \"$2\"\n", exec_path.display(), shell.display());
    scene.write("login", &script);
    fs::set_permissions(scene.path("login"), fs::Permissions::from_mode(0o755)).expect("chmod");
    Some(scene.path("login").display().to_string())
}

#[test]
fn a_push_by_git_shell_reaches_the_program() {
    let scene = Scene::new("sha1", "files");
    let Some(login) = git_shell(&scene) else { return };
    let url = format!("host:{}", scene.path("server.git").display());
    let ssh = [("GIT_SSH", login.as_str()), ("GIT_SSH_VARIANT", "simple")];
    // The older and the newer way to ask.
    for (asked, branch) in [("git-receive-pack", "next"), ("git receive-pack", "next2")] {
        let receive_pack = format!("--receive-pack={asked}");
        let (pushed, said) = push(&scene, &url, &[&receive_pack, &format!("{branch}:main")], &ssh);
        assert!(pushed && was_served_by_us(&scene), "{said}");
        assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", branch]));
        fs::remove_file(scene.path("packets")).expect("a trace");
    }
}

#[test]
fn each_protocol_version_can_be_asked_for_by_git_shell() {
    let scene = Scene::new("sha1", "files");
    let Some(login) = git_shell(&scene) else { return };
    let command = format!("git-receive-pack '{}'", scene.path("server.git").display());
    for (version, has_line) in [("0", false), ("1", true), ("2", false)] {
        let mut ssh = scene.command(".", &login);
        ssh.args(["host", &command]).env("GIT_PROTOCOL", format!("version={version}")).stdin(Stdio::null());
        let refs = String::from_utf8_lossy(&ssh.output().expect("it runs").stdout).into_owned();
        assert!(refs.contains("agent=balanced-receive-pack/"), "{version}: {refs}");
        assert_eq!(refs.starts_with("000eversion 1\n"), has_line, "{version}: {refs}");
    }
}

#[test]
fn sshd_leads_to_the_program_by_a_forced_git_shell() {
    let scene = Scene::new("sha1", "files");
    let Some(shell) = optional_program("git-shell", "git") else { return };
    let Some(server) = SshServer::start(&scene, &std::env::var("PATH").expect("a PATH")) else { return };
    let (exec_path, shell) = (exec_path(&scene).display().to_string(), shell.display().to_string());
    server.force(&format!("GIT_EXEC_PATH={exec_path} exec {shell} -c \\\"$SSH_ORIGINAL_COMMAND\\\""));
    let (pushed, said) = server.push(&scene, &[], &["next:main"]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
    assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next"]));
}
