//! Generated repositories and recorded requests, seeded and kept under target/.
//!
//! Text comes from the sources in the Cargo registry, so that it compresses like source code does.

use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::measure::Case;

/// How the refs of a request are to be updated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Update {
    Atomic,
    Each,
}

/// Where cases are kept.
pub struct Store {
    root: PathBuf,
}

/// `target/bench`, on the disk that the project is on.
pub fn directory() -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// A repository in the making, with one commit on refs/heads/main.
pub struct Seed {
    repository: PathBuf,
    head: String,
}

impl Store {
    pub fn open() -> Result<Self> {
        Ok(Store { root: directory()? })
    }

    /// The case `name`, generated unless it is there already.
    ///
    /// `fill` makes the repository, `request` returns what the client sends behind its advertisement's flush.
    pub fn case(
        &self,
        name: &str,
        fill: fn(&Seed) -> Result<()>,
        request: fn(&Seed) -> Result<Vec<u8>>,
        must_say: &'static str,
    ) -> Result<Case> {
        let requests = |seed: &Seed| {
            let bytes = request(seed)?;
            Ok(vec![if bytes.is_empty() { b"0000".to_vec() } else { bytes }])
        };
        let (repository, requests) = self.keep(name, fill, requests)?;
        Ok(Case { repository, requests, at_once: false, must_say })
    }

    /// The same for a case of several requests, which are sent at once or one after the other.
    pub fn case_of_many(
        &self,
        name: &str,
        fill: fn(&Seed) -> Result<()>,
        requests: fn(&Seed) -> Result<Vec<Vec<u8>>>,
        at_once: bool,
        must_say: &'static str,
    ) -> Result<Case> {
        let (repository, requests) = self.keep(name, fill, requests)?;
        Ok(Case { repository, requests, at_once, must_say })
    }

    fn keep(
        &self,
        name: &str,
        fill: fn(&Seed) -> Result<()>,
        requests: impl Fn(&Seed) -> Result<Vec<Vec<u8>>>,
    ) -> Result<(PathBuf, Vec<PathBuf>)> {
        let dir = self.root.join(name);
        let repository = dir.join("repository");
        // Made last, and so complete if it is there.
        let kept = dir.join("requests");
        if !kept.is_dir() {
            if dir.exists() {
                fs::remove_dir_all(&dir)?;
            }
            fs::create_dir_all(&dir)?;
            let seed = Seed::new(repository.clone())?;
            fill(&seed)?;
            let made = dir.join("requests-made");
            fs::create_dir(&made)?;
            for (n, bytes) in requests(&seed)?.iter().enumerate() {
                fs::write(made.join(format!("{n:04}")), bytes)?;
            }
            fs::rename(made, &kept)?;
        }
        let mut requests: Vec<_> =
            fs::read_dir(kept)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        requests.sort();
        Ok((repository, requests))
    }
}

impl Seed {
    fn new(repository: PathBuf) -> Result<Self> {
        git(None, &["init", "-q", "--bare", "-b", "main", path(&repository)?], b"")?;
        let mut seed = Seed { repository, head: String::new() };
        seed.git(&["config", "receive.autogc", "false"], b"")?;
        let mut stream =
            String::from("commit refs/heads/main\ncommitter A <a@example.org> 1700000000 +0000\ndata 5\nseed\n");
        for n in 0..20 {
            let text = format!("file {n}\n");
            stream += &format!("M 100644 inline dir{}/file{n}\ndata {}\n{text}", n % 4, text.len());
        }
        seed.git(&["fast-import", "--quiet"], stream.as_bytes())?;
        seed.head = seed.git(&["rev-parse", "refs/heads/main"], b"")?;
        Ok(seed)
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
        let out = git(Some(&self.repository), arguments, input)?;
        Ok(String::from_utf8(out)?.trim_end().to_owned())
    }

    /// Write a packed-refs of `count` branches and tags besides main.
    pub fn packed_refs(&self, count: usize) -> Result<()> {
        self.git(&["pack-refs", "--all"], b"")?;
        let file = self.repository.join("packed-refs");
        let mut out = BufWriter::new(fs::File::create(file)?);
        writeln!(out, "# pack-refs with: peeled fully-peeled sorted ")?;
        for n in 0..count {
            writeln!(out, "{} {}", self.head, branch(n))?;
        }
        writeln!(out, "{} refs/heads/main", self.head)?;
        out.flush()?;
        Ok(())
    }

    /// Write `count` loose refs.
    pub fn loose_refs(&self, count: usize) -> Result<()> {
        for n in 0..count {
            let file = self.repository.join(format!("refs/heads/l{:03}/{n}", n % 200));
            fs::create_dir_all(file.parent().context("no parent")?)?;
            fs::write(file, format!("{}\n", self.head))?;
        }
        Ok(())
    }

    /// Set a variable of the repository's configuration.
    pub fn configure(&self, name: &str, value: &str) -> Result<()> {
        self.git(&["config", name, value], b"").map(drop)
    }

    /// Install shell hooks that read what they are told.
    pub fn hooks(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let file = self.repository.join("hooks").join(name);
            fs::create_dir_all(file.parent().context("no parent")?)?;
            fs::write(&file, "#!/bin/sh\nwhile read -r old new ref; do :; done\nexit 0\n")?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Let main have a tree of `files` files, 100 in a directory, on top of what it has.
    pub fn large_tree(&self, files: usize) -> Result<()> {
        let mut stream = format!(
            "commit refs/heads/main\ncommitter A <a@example.org> 1700000001 +0000\ndata 5\ntree\nfrom {}\n",
            self.head
        );
        for n in 0..files {
            let text = format!("content {n}\n");
            stream += &format!(
                "M 100644 inline big/{:02}/{:03}/f{n}\ndata {}\n{text}",
                n / 10_000,
                n / 100 % 100,
                text.len()
            );
        }
        self.git(&["fast-import", "--quiet"], stream.as_bytes())?;
        Ok(())
    }

    /// A request that moves main by a commit with one changed file.
    pub fn one_commit(&self) -> Result<Vec<u8>> {
        self.commit("M 100644 inline dir1/file1\ndata 8\nchanged\n")
    }

    /// A request that moves main by a commit with `files` new files of source text.
    pub fn commit_of_files(&self, files: usize) -> Result<Vec<u8>> {
        let mut stream = Vec::new();
        for (n, text) in sources(files)?.iter().enumerate() {
            write!(stream, "M 100644 inline new{n}\ndata {}\n", text.len())?;
            stream.extend_from_slice(text);
            stream.push(b'\n');
        }
        self.commit_bytes(&stream)
    }

    fn commit(&self, changes: &str) -> Result<Vec<u8>> {
        self.commit_bytes(changes.as_bytes())
    }

    fn commit_bytes(&self, changes: &[u8]) -> Result<Vec<u8>> {
        let old = self.git(&["rev-parse", "refs/heads/main"], b"")?;
        Ok(request_for(&self.client()?, &old, &old, changes, "refs/heads/main")?.0)
    }

    /// `count` requests that each move main by one commit, the next one from where the last one left it.
    pub fn one_after_the_other(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        let client = self.client()?;
        let mut old = self.head.clone();
        let mut requests = Vec::new();
        for n in 0..count {
            let change = format!("M 100644 inline dir1/file1\ndata 12\nchange {n:04}\n");
            let (request, new) = request_for(&client, &old, &old, change.as_bytes(), "refs/heads/main")?;
            requests.push(request);
            old = new;
        }
        Ok(requests)
    }

    /// `count` requests that each create a branch, with a commit on main's.
    pub fn side_by_side(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        let client = self.client()?;
        let null = "0".repeat(self.head.len());
        let request = |n: usize| {
            let change = format!("M 100644 inline dir1/file1\ndata 12\nchange {n:04}\n");
            Ok(request_for(&client, &null, &self.head, change.as_bytes(), &branch(n))?.0)
        };
        (0..count).map(request).collect()
    }
    /// A repository that borrows this one's objects, for the client's side.
    fn client(&self) -> Result<tempfile::TempDir> {
        let client = tempfile::tempdir_in(directory()?)?;
        git(None, &["init", "-q", "--bare", path(client.path())?], b"")?;
        let alternates = client.path().join("objects/info/alternates");
        fs::write(alternates, format!("{}\n", self.repository.join("objects").display()))?;
        Ok(client)
    }

    /// A request that creates `count` branches on main's commit.
    pub fn create_refs(&self, count: usize, update: Update) -> Result<Vec<u8>> {
        let null = "0".repeat(self.head.len());
        let lines: Vec<_> = (0..count).map(|n| format!("{null} {} {}", self.head, branch(n))).collect();
        let mut bytes = commands(&lines, update);
        bytes.extend(git(Some(&self.repository), &["pack-objects", "--stdout", "-q"], b"")?);
        Ok(bytes)
    }

    /// A request that deletes one in `step` of the branches that `packed_refs(count)` made.
    pub fn delete_refs(&self, count: usize, step: usize) -> Result<Vec<u8>> {
        let null = "0".repeat(self.head.len());
        let lines: Vec<_> = (0..count).step_by(step).map(|n| format!("{} {null} {}", self.head, branch(n))).collect();
        Ok(commands(&lines, Update::Each))
    }

    /// A request that creates a branch with a history of at least `objects` objects of source text.
    pub fn history(&self, objects: usize) -> Result<Vec<u8>> {
        let client = tempfile::tempdir_in(directory()?)?;
        git(None, &["init", "-q", "--bare", path(client.path())?], b"")?;
        let texts = sources(20_000)?;
        ensure!(!texts.is_empty(), "the Cargo registry's sources are not on this machine");
        let mut child = Command::new("git")
            .args(["fast-import", "--quiet", "--depth=50"])
            .env("GIT_DIR", client.path())
            .stdin(Stdio::piped())
            .spawn()?;
        let mut stream = BufWriter::new(child.stdin.take().context("no stdin")?);
        // Each commit changes one file, by one line: a commit, two or three trees and a blob.
        let commits = objects / 5;
        for n in 0..commits {
            write!(
                stream,
                "commit refs/heads/big\ncommitter A <a@example.org> {} +0000\ndata 4\nnext",
                1_600_000_000 + n
            )?;
            let place = n.wrapping_mul(7919) % 5_000;
            let text = &texts[place % texts.len()];
            let line = format!("// change {n}\n");
            write!(
                stream,
                "\nM 100644 inline d{:02}/e{:02}/f{place}\ndata {}\n{line}",
                place % 10,
                place / 10 % 20,
                line.len() + text.len()
            )?;
            stream.write_all(text)?;
            stream.write_all(b"\n")?;
        }
        stream.flush()?;
        drop(stream);
        ensure!(child.wait()?.success(), "git fast-import failed");
        let new = String::from_utf8(git(Some(client.path()), &["rev-parse", "refs/heads/big"], b"")?)?;
        let new = new.trim_end();
        let null = "0".repeat(new.len());
        let mut bytes = commands(&[format!("{null} {new} refs/heads/big")], Update::Each);
        bytes.extend(git(
            Some(client.path()),
            &["pack-objects", "--revs", "--stdout", "-q", "--window=3"],
            format!("{new}\n").as_bytes(),
        )?);
        Ok(bytes)
    }
}

/// A request that gives the ref `name`, which is `old` now, a commit on `parent` with `changes`, and that commit.
fn request_for(
    client: &tempfile::TempDir,
    old: &str,
    parent: &str,
    changes: &[u8],
    name: &str,
) -> Result<(Vec<u8>, String)> {
    let mut stream =
        format!("commit refs/heads/next\ncommitter A <a@example.org> 1700000002 +0000\ndata 5\nnext\nfrom {parent}\n")
            .into_bytes();
    stream.extend_from_slice(changes);
    git(Some(client.path()), &["fast-import", "--quiet", "--force"], &stream)?;
    let new = String::from_utf8(git(Some(client.path()), &["rev-parse", "refs/heads/next"], b"")?)?;
    let new = new.trim_end();
    let mut bytes = commands(&[format!("{old} {new} {name}")], Update::Each);
    let wanted = format!("{new}\n^{parent}\n");
    bytes.extend(git(Some(client.path()), &["pack-objects", "--revs", "--thin", "--stdout", "-q"], wanted.as_bytes())?);
    Ok((bytes, new.to_owned()))
}

fn branch(n: usize) -> String {
    format!("refs/heads/group{:03}/branch-{n:07}", n / 1000)
}

/// The pkt-lines of a request.
fn commands(lines: &[String], update: Update) -> Vec<u8> {
    let atomic = if update == Update::Atomic { " atomic" } else { "" };
    let mut out = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let line = match n {
            0 => format!("{line}\0 report-status-v2 side-band-64k quiet{atomic} object-format=sha1 agent=bench"),
            _ => line.clone(),
        };
        out.extend(format!("{:04x}{line}", line.len() + 4).into_bytes());
    }
    out.extend(b"0000");
    out
}

/// Up to `count` files of source text from the Cargo registry, in a fixed order.
fn sources(count: usize) -> Result<Vec<Vec<u8>>> {
    let home =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::home_dir().map(|h| h.join(".cargo")));
    let mut pending = vec![home.context("no home directory")?.join("registry/src")];
    let mut texts = Vec::new();
    while let Some(dir) = pending.pop() {
        let mut entries: Vec<_> = fs::read_dir(&dir)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && entry.path().extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read(entry.path())?;
                if text.len() < 20_000 {
                    texts.push(text);
                }
                if texts.len() == count {
                    return Ok(texts);
                }
            }
        }
    }
    Ok(texts)
}

fn git(repository: Option<&Path>, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new("git");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(repository) = repository {
        command.env("GIT_DIR", repository);
    }
    let mut child = command.spawn().context("cannot start git")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(output.status.success(), "git {} failed", arguments.join(" "));
    Ok(output.stdout)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
