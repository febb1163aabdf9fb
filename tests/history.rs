//! A large history, made of the sources that Cargo has fetched, goes through ssh and arrives sound.

pub mod support;

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use support::{dice::Dice, ours, scene::Scene, ssh::SshServer, strace::Watched};

/// How many commits the history has.
const COMMITS: usize = 10_500;
/// Longer files are cut: the test is about many objects, not about long ones.
const LONGEST: usize = 20_000;

/// The source files of all crates that Cargo has fetched, in a fixed order.
fn sources() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let mut open = Vec::from_iter(home.map(|home| home.join("registry/src")));
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.path().extension().is_some_and(|it| it == "rs") => {
                    files.push(entry.path())
                }
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// Write the history for `git fast-import`: files come half first and grow, branches leave and are merged, tags are set.
fn write_history(files: &[PathBuf], stream: impl Write) -> io::Result<()> {
    let mut stream = BufWriter::new(stream);
    let mut dice = Dice(2);
    for number in 1..=COMMITS {
        let path = &files[dice.roll(files.len())];
        let mut content = fs::read(path)?;
        content.truncate(LONGEST);
        content.truncate(content.len() * (1 + dice.roll(4)) / 4);
        let aside = number > 100 && number % 50 < 10;
        let branch = if aside { "aside" } else { "main" };
        let message = format!("Commit {number}\n");
        writeln!(stream, "commit refs/heads/{branch}\nmark :{number}")?;
        writeln!(stream, "committer C O Mitter <committer@example.org> {} +0100", 1_500_000_000 + number * 600)?;
        write!(stream, "data {}\n{message}", message.len())?;
        match number % 50 {
            0 if aside => writeln!(stream, "from :{}", number - 1)?,
            10 if number > 100 => writeln!(stream, "merge :{}", number - 1)?,
            _ => {}
        }
        // From `registry/src/<registry>/` on: crate, directories, file.
        let name = path.iter().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect::<PathBuf>();
        writeln!(stream, "M 100644 inline {}\ndata {}", name.display(), content.len())?;
        stream.write_all(&content)?;
        writeln!(stream)?;
        if number % 1000 == 0 {
            writeln!(
                stream,
                "tag r{number}\nfrom :{number}\ntagger C O Mitter <committer@example.org> 1600000000 +0100"
            )?;
            write!(stream, "data 8\nRelease\n\n")?;
        }
    }
    stream.flush()
}

/// The repository with the history, made once and kept below target/. `None`, and a word on why, without sources.
fn history(scene: &Scene) -> Option<PathBuf> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{COMMITS}.git"));
    if kept.is_dir() {
        return Some(kept);
    }
    let files = sources();
    if files.is_empty() {
        support::skipped("Cargo has no sources below ~/.cargo/registry/src (cargo fetch gets them)");
        return None;
    }
    scene.git(".", &["init", "-q", "--bare", "-b", "main", "history.git"]);
    let mut command = scene.command("history.git", "git");
    let mut import = command.args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git runs");
    write_history(&files, import.stdin.take().expect("piped")).expect("git reads");
    assert!(import.wait().expect("git ends").success());
    // Whoever is first keeps it.
    let new = kept.with_extension(std::process::id().to_string());
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("target/tmp");
    let copied = scene.command(".", "cp").arg("-a").arg("history.git").arg(&new).status().expect("cp runs");
    assert!(copied.success());
    if fs::rename(&new, &kept).is_err() {
        fs::remove_dir_all(&new).expect("removed");
    }
    Some(kept)
}

#[test]
fn ten_thousand_commits_arrive_sound_through_ssh() {
    let scene = Scene::empty();
    let Some(history) = history(&scene) else { return };
    scene.git(".", &["init", "-q", "--bare", "-b", "main", "server.git"]);
    std::os::unix::fs::symlink(&history, scene.path("client.git")).expect("a link");
    let Some(server) = SshServer::start(&scene, &std::env::var("PATH").expect("a PATH")) else { return };
    let watched = Watched::new(&scene);
    let usual = format!("--receive-pack={}", ours().display());
    let receive_pack = watched.as_ref().map_or(usual, Watched::receive_pack);

    // Most of it, and then, on top of that, the rest.
    for refs in [&["r10000^{}:refs/heads/main", "--tags"][..], &["main", "aside"]] {
        let (pushed, said) = server.push(&scene, &[&receive_pack], refs);
        assert!(pushed, "{said}");
        if let Some(watched) = &watched {
            assert_eq!(watched.started(), [""; 0]);
        }
    }
    let refs = |repository| scene.git(repository, &["for-each-ref"]);
    assert_eq!(refs("server.git"), refs("client.git"));
    assert!(scene.git("server.git", &["rev-list", "--count", "--all"]).parse::<usize>().expect("a number") > 10_000);
    let checked = scene.try_git("server.git", &["fsck", "--full"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
