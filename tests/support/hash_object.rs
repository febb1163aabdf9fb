//! What git finds in content that is not yet an object of any repository.

use std::{io::Write, process::Stdio};

use gix::objs::Kind;

use super::scene::Scene;

/// What `git hash-object`, which checks as `git fsck` does and reads nothing beforehand, says about an object that it refuses.
pub fn refusal(scene: &Scene, kind: Kind, content: &[u8]) -> String {
    let mut git = scene.command("server.git", "git");
    git.args(["hash-object", "--stdin", "-t", &kind.to_string()]);
    let mut git = git.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("git runs");
    git.stdin.take().expect("a pipe").write_all(content).expect("git reads all");
    let output = git.wait_with_output().expect("git ends");
    assert!(!output.status.success(), "{}", content.escape_ascii());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
