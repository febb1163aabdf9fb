//! The script that puts our program in front of git's own where git starts it by itself: word for word the README's.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{find_program, ours, scene::Scene};

/// A directory for `GIT_EXEC_PATH` or `PATH`, with nothing in it but the script that README.md shows, its paths made those of here.
pub fn exec_path(scene: &Scene) -> PathBuf {
    let readme = include_str!("../../README.md");
    let script = readme.split("```").find(|block| block.starts_with("\n#!/bin/sh\n")).expect("a script in README.md");
    let git = find_program("git").expect("git is installed").display().to_string();
    let ours = ours().display().to_string();
    let script = script.replace("/usr/bin/git", &git).replace("/opt/balanced/bin/git-receive-pack", &ours);
    assert!(script.contains(&git) && script.contains(&ours), "{script}");
    let directory = scene.path("exec");
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("git"), script.trim_start()).expect("a script");
    fs::set_permissions(directory.join("git"), fs::Permissions::from_mode(0o755)).expect("chmod");
    directory
}

/// A program that git keeps to itself, like `git-daemon`: it is in no `PATH`, and must be started from where it is.
pub fn gits_own(scene: &Scene, name: &str) -> PathBuf {
    PathBuf::from(scene.git(".", &["--exec-path"])).join(name)
}

/// Only our program names itself so in the advertisement, which the client writes down in the file `packets`.
pub fn was_served_by_us(scene: &Scene) -> bool {
    fs::read_to_string(scene.path("packets")).is_ok_and(|packets| packets.contains("agent=balanced-receive-pack/"))
}
