//! Pushes that a real OpenSSH server brings: by `--receive-pack=`, by the order of `PATH`, by a forced command.

pub mod support;

use std::os::unix::fs::symlink;

use support::{ours, scene::Scene, ssh::SshServer};

/// The `PATH` that a login would have.
fn usual_path() -> String {
    std::env::var("PATH").expect("a PATH")
}

/// A directory that holds nothing but our program, under git's name.
fn directory_of_ours(scene: &Scene) -> String {
    let directory = scene.path("bin");
    std::fs::create_dir(&directory).expect("bin/");
    symlink(ours(), directory.join("git-receive-pack")).expect("a link");
    directory.display().to_string()
}

/// Only our program names itself so in the advertisement, which the client writes down.
fn was_served_by_us(scene: &Scene) -> bool {
    std::fs::read_to_string(scene.path("packets")).is_ok_and(|packets| packets.contains("agent=balanced-receive-pack/"))
}

#[test]
fn a_push_names_the_program() {
    let scene = Scene::new("sha1", "files");
    let Some(server) = SshServer::start(&scene, &usual_path()) else { return };
    let (pushed, said) = server.push(&scene, &[&format!("--receive-pack={}", ours().display())], &["next:main", "v2"]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
    assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next"]));
    scene.git("server.git", &["fsck", "--full", "--strict"]);
}

#[test]
fn a_push_finds_the_program_first_in_path() {
    let scene = Scene::new("sha1", "files");
    let path = format!("{}:{}", directory_of_ours(&scene), usual_path());
    let Some(server) = SshServer::start(&scene, &path) else { return };
    let (pushed, said) = server.push(&scene, &[], &["next:main", ":topic"]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
    assert_eq!(scene.git("server.git", &["rev-parse", "main"]), scene.git("client.git", &["rev-parse", "next"]));
}

#[test]
fn a_push_is_led_to_the_program_by_a_forced_command() {
    let scene = Scene::new("sha1", "files");
    let Some(server) = SshServer::start(&scene, &usual_path()) else { return };
    server.force(&format!("PATH={}:$PATH; eval \\\"$SSH_ORIGINAL_COMMAND\\\"", directory_of_ours(&scene)));
    let (pushed, said) = server.push(&scene, &[], &["next:main"]);
    assert!(pushed && was_served_by_us(&scene), "{said}");
}

#[test]
fn a_hook_is_heard_at_the_other_end() {
    let scene = Scene::new("sha1", "files");
    scene.hook("pre-receive", "echo not on a Sunday; exit 1");
    let Some(server) = SshServer::start(&scene, &usual_path()) else { return };
    let (pushed, said) = server.push(&scene, &[&format!("--receive-pack={}", ours().display())], &["next:main"]);
    assert!(!pushed);
    assert!(said.contains("remote: not on a Sunday"), "{said}");
    assert!(said.contains("main (pre-receive hook declined)"), "{said}");
}
