//! A first look: a throw-away repository, and the git client pushing to it through this program.
//!
//! `cargo run --release --example push`

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let place = Place { receive_pack: program()?, directory: tempfile::tempdir()? };
    println!("Served by {}\n", place.receive_pack.display());
    place.git(".", &["init", "-q", "--bare", "-b", "main", "server.git"])?;
    place.git(".", &["init", "-q", "-b", "main", "work"])?;
    place.git("work", &["commit", "-q", "--allow-empty", "-m", "The first"])?;

    println!("1. A push to an empty repository.");
    let accepted = place.push(&["main"])?;
    ensure!(accepted, "the push should have been accepted");
    println!("   Accepted: main is at {}.\n", place.value("main")?);

    println!("2. A push that a hook refuses.");
    let hook = "#!/bin/sh\ntest \"$1\" != refs/heads/secret || { echo 'secret is not for you'; exit 1; }\n";
    place.hook("update", hook)?;
    let accepted = place.push(&["main:secret"])?;
    ensure!(!accepted && place.value("secret")?.is_empty(), "the push should have been refused");
    println!("   Refused: the server has no branch of that name.\n");

    println!("3. An atomic push of a good branch and a bad one.");
    place.git("work", &["commit", "-q", "--allow-empty", "-m", "The second"])?;
    let before = place.value("main")?;
    let accepted = place.push(&["--atomic", "main", "main:secret"])?;
    ensure!(!accepted && place.value("main")? == before, "neither branch should have changed");
    println!("   Neither: main is still at {before}, since all of an atomic push lands or none of it.\n");

    place.git("server.git", &["fsck", "--full", "--strict", "--no-dangling"])?;
    println!("git fsck finds the repository sound. It is gone now.");
    Ok(())
}

/// Where all of this happens.
struct Place {
    receive_pack: PathBuf,
    directory: tempfile::TempDir,
}

impl Place {
    /// git, with an identity and without anybody's configuration.
    fn command(&self, directory: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.directory.path().join(directory)).args(arguments);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "A Visitor").env(format!("GIT_{who}_EMAIL"), "visitor@example.org");
        }
        command
    }

    fn git(&self, directory: &str, arguments: &[&str]) -> Result<()> {
        let status = self.command(directory, arguments).status().context("cannot run git: is it installed?")?;
        ensure!(status.success(), "git {} failed", arguments.join(" "));
        Ok(())
    }

    /// Push from `work` to `server.git`, the client's words indented; true if all was accepted.
    fn push(&self, arguments: &[&str]) -> Result<bool> {
        let receive_pack = format!("--receive-pack={}", self.receive_pack.display());
        let mut command = self.command("work", &["push", &receive_pack, "../server.git"]);
        println!("   $ git push ../server.git {}", arguments.join(" "));
        let output = command.args(arguments).output().context("cannot run git")?;
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            println!("   | {}", line.trim_end());
        }
        Ok(output.status.success())
    }

    /// The short id of a branch of the server; empty if there is none.
    fn value(&self, branch: &str) -> Result<String> {
        let mut command = self.command("server.git", &["rev-parse", "--quiet", "--verify", "--short", branch]);
        let output = command.output().context("cannot run git")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn hook(&self, name: &str, script: &str) -> Result<()> {
        let hook = self.directory.path().join("server.git/hooks").join(name);
        fs::create_dir_all(hook.parent().unwrap_or(Path::new(".")))?;
        fs::write(&hook, script)?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// `git-receive-pack` as Cargo builds it beside this example (which does not build it by itself).
fn program() -> Result<PathBuf> {
    let example = std::env::current_exe().context("cannot tell where this example is")?;
    let profile = example.parent().and_then(Path::parent).context("this example is not below target/")?;
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--quiet", "--bin", "git-receive-pack", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let built = build.status().context("cannot run cargo")?;
    let program = profile.join("git-receive-pack");
    if !built.success() || !program.is_file() {
        bail!("{} is missing: build it with `cargo build --release`", program.display());
    }
    Ok(program)
}
