//! Generated repositories, seeded and kept under target/ with the requests that go to them.

use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{measure::Case, requests::branch};

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
    pub repository: PathBuf,
    /// The commit that main has at first.
    pub head: String,
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
        fill: impl Fn(&Seed) -> Result<()>,
        request: impl Fn(&Seed) -> Result<Vec<u8>>,
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
        fill: impl Fn(&Seed) -> Result<()>,
        requests: impl Fn(&Seed) -> Result<Vec<Vec<u8>>>,
        at_once: bool,
        must_say: &'static str,
    ) -> Result<Case> {
        let (repository, requests) = self.keep(name, fill, requests)?;
        Ok(Case { repository, requests, at_once, must_say })
    }

    fn keep(
        &self,
        name: &str,
        fill: impl Fn(&Seed) -> Result<()>,
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

    /// Run git in it; what it printed.
    pub fn git(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
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
        names.iter().try_for_each(|name| self.hook(name, "#!/bin/sh\nwhile read -r old new ref; do :; done\nexit 0\n"))
    }

    /// Install a hook.
    pub fn hook(&self, name: &str, script: &str) -> Result<()> {
        let file = self.repository.join("hooks").join(name);
        fs::create_dir_all(file.parent().context("no parent")?)?;
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
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
}

/// Run git, in `repository` if one is given; what it printed.
pub fn git(repository: Option<&Path>, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
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

/// As an argument.
pub fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
