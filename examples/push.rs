//! A first look: a throw-away repository, and the git client pushing to it through this program.
//!
//! `cargo run --release --example push`

use std::{
    collections::BTreeMap,
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
    // Upkeep goes on in the background, while this looks at files.
    place.git("server.git", &["config", "receive.autogc", "false"])?;
    place.git(".", &["init", "-q", "-b", "main", "work"])?;
    place.git("work", &["commit", "-q", "--allow-empty", "-m", "The first"])?;

    println!("1. A push to an empty repository.");
    let accepted = place.push(&["main"])?;
    ensure!(accepted, "the push should have been accepted");
    println!("   Accepted: main is at {}.\n", place.value("main")?);

    println!("2. A push that a hook refuses.");
    let hook = "#!/bin/sh\ntest \"$1\" != refs/heads/secret || { echo 'secret is not for you'; exit 1; }\n";
    place.hook("server.git", "update", hook)?;
    let accepted = place.push(&["main:secret"])?;
    ensure!(!accepted && place.value("secret")?.is_empty(), "the push should have been refused");
    println!("   Refused: the server has no branch of that name.\n");

    println!("3. An atomic push of a good branch and a bad one.");
    place.git("work", &["commit", "-q", "--allow-empty", "-m", "The second"])?;
    let before = place.value("main")?;
    let accepted = place.push(&["--atomic", "main", "main:secret"])?;
    ensure!(!accepted && place.value("main")? == before, "neither branch should have changed");
    println!("   Neither: main is still at {before}, since all of an atomic push lands or none of it.\n");

    vote(&place)?;
    replicas(&place)?;

    for server in ["server.git", "replica.git"] {
        place.git(server, &["fsck", "--full", "--strict", "--no-dangling"])?;
    }
    println!("git fsck finds both repositories sound. They are gone now.");
    Ok(())
}

/// Balanced mode: a hook is asked when nothing but the commit is left to do.
fn vote(place: &Place) -> Result<()> {
    println!("4. A push that is put to a vote (receive.balancedAtomic), and accepted.");
    place.git("server.git", &["config", "receive.balancedAtomic", "true"])?;
    place.hook("server.git", "balanced_update", include_str!("../fixtures/hooks/always-yes"))?;
    ensure!(place.push(&["main", "main:next"])?, "the push should have been accepted");
    println!("   Accepted by vote: main and next are at {}, both since the same instant.\n", place.value("next")?);

    println!("5. The same with a hook that says no.");
    place.hook("server.git", "balanced_update", include_str!("../fixtures/hooks/always-no"))?;
    place.git("work", &["commit", "-q", "--allow-empty", "-m", "The third"])?;
    let before = place.listing("server.git")?;
    ensure!(!place.push(&["main", "main:next"])?, "the push should have been declined");
    ensure!(place.listing("server.git")? == before, "a declined push should leave nothing");
    println!(
        "   Declined by vote: all {} files of the repository are what they were, and there is no other: not one",
        before.len()
    );
    println!("   object, ref, lock or log line of that push.\n");
    Ok(())
}

/// Two replicas that say yes only if both are about to do the very same.
fn replicas(place: &Place) -> Result<()> {
    println!("6. Two replicas, each of which waits for the other's word.");
    place.git(".", &["clone", "-q", "--bare", "server.git", "replica.git"])?;
    let ballots = place.directory.path().join("ballots");
    fs::create_dir(&ballots)?;
    for server in ["server.git", "replica.git"] {
        place.git(server, &["config", "receive.autogc", "false"])?;
        place.hook(server, "balanced_update", include_str!("../fixtures/hooks/vote-by-hash"))?;
        place.git(server, &["config", "receive.balancedAtomic", "true"])?;
        place.git(server, &["config", "receive.balancedTimeout", "5"])?;
        place.git(server, &["config", "balanced.replica", server])?;
        place.git(server, &["config", "balanced.ballots", &ballots.display().to_string()])?;
    }
    let both = std::thread::scope(|scope| {
        let pushes = ["server.git", "replica.git"].map(|server| scope.spawn(move || place.push_to(server, &["main"])));
        pushes.map(|push| push.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    for (accepted, text) in both.into_iter().collect::<Result<Vec<_>>>()? {
        print!("{text}");
        ensure!(accepted, "both pushes should have been accepted");
    }
    println!("   Both accepted: the word that each said, a hash of its updates, was the same.");
    place.git("work", &["commit", "-q", "--allow-empty", "-m", "The fourth"])?;
    let before = place.value("main")?;
    ensure!(!place.push(&["main"])?, "one replica alone should not have said yes");
    ensure!(place.value("main")? == before, "main should not have moved");
    println!("   A push to one of them alone: nobody says the same, so it is undone. They stay in step.\n");
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

    /// Push from `work` to `server.git`, and show it; true if all was accepted.
    fn push(&self, arguments: &[&str]) -> Result<bool> {
        let (accepted, text) = self.push_to("server.git", arguments)?;
        print!("{text}");
        Ok(accepted)
    }

    /// Push from `work`: true if all was accepted, and what it looked like, the client's words indented.
    fn push_to(&self, server: &str, arguments: &[&str]) -> Result<(bool, String)> {
        let receive_pack = format!("--receive-pack={}", self.receive_pack.display());
        let mut command = self.command("work", &["push", &receive_pack, &format!("../{server}")]);
        let output = command.args(arguments).output().context("cannot run git")?;
        let mut text = format!("   $ git push ../{server} {}\n", arguments.join(" "));
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            text += &format!("   | {}\n", line.trim_end());
        }
        Ok((output.status.success(), text))
    }

    /// Every file below `directory` with its content.
    fn listing(&self, directory: &str) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut files = BTreeMap::new();
        let mut pending = vec![self.directory.path().join(directory)];
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                for entry in fs::read_dir(&path)? {
                    pending.push(entry?.path());
                }
            } else {
                files.insert(path.clone(), fs::read(&path)?);
            }
        }
        Ok(files)
    }

    /// The short id of a branch of the server; empty if there is none.
    fn value(&self, branch: &str) -> Result<String> {
        let mut command = self.command("server.git", &["rev-parse", "--quiet", "--verify", "--short", branch]);
        let output = command.output().context("cannot run git")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn hook(&self, server: &str, name: &str, script: &str) -> Result<()> {
        let hook = self.directory.path().join(server).join("hooks").join(name);
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
