//! What clients send, recorded: the bytes behind the advertisement's flush.

use std::{
    fs,
    io::{BufWriter, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::generate::{Seed, directory, git, path};

/// How the refs of a request are to be updated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Update {
    Atomic,
    Each,
}

impl Seed {
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

    /// A request that moves these of the branches that `packed_refs` made to a new commit.
    pub fn update_refs(&self, numbers: &[usize], update: Update) -> Result<Vec<u8>> {
        let (client, head) = (self.client()?, &self.head);
        let change = b"M 100644 inline dir1/file1\ndata 8\nchanged\n";
        let (new, pack) = commit_on(&client, head, change)?;
        let lines: Vec<_> = numbers.iter().map(|n| format!("{head} {new} {}", branch(*n))).collect();
        let mut bytes = commands(&lines, update);
        bytes.extend(pack);
        Ok(bytes)
    }

    /// A request that deletes, atomically, one in `step` of the branches that `packed_refs(count)` made.
    pub fn delete_refs(&self, count: usize, step: usize) -> Result<Vec<u8>> {
        let null = "0".repeat(self.head.len());
        let lines: Vec<_> = (0..count).step_by(step).map(|n| format!("{} {null} {}", self.head, branch(n))).collect();
        Ok(commands(&lines, Update::Atomic))
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
    let (new, pack) = commit_on(client, parent, changes)?;
    let mut bytes = commands(&[format!("{old} {new} {name}")], Update::Each);
    bytes.extend(pack);
    Ok((bytes, new))
}

/// A commit on `parent` with `changes`, and the pack that brings it.
fn commit_on(client: &tempfile::TempDir, parent: &str, changes: &[u8]) -> Result<(String, Vec<u8>)> {
    let mut stream =
        format!("commit refs/heads/next\ncommitter A <a@example.org> 1700000002 +0000\ndata 5\nnext\nfrom {parent}\n")
            .into_bytes();
    stream.extend_from_slice(changes);
    git(Some(client.path()), &["fast-import", "--quiet", "--force"], &stream)?;
    let new = String::from_utf8(git(Some(client.path()), &["rev-parse", "refs/heads/next"], b"")?)?;
    let new = new.trim_end().to_owned();
    let wanted = format!("{new}\n^{parent}\n");
    let pack = git(Some(client.path()), &["pack-objects", "--revs", "--thin", "--stdout", "-q"], wanted.as_bytes())?;
    Ok((new, pack))
}

/// The `n`th branch that is made.
pub fn branch(n: usize) -> String {
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
