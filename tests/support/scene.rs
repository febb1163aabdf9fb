//! Throw-away repositories whose every byte is the same each time: fixed identity, dates, and no configuration from outside.

use std::{
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

/// The identity and time of everything that is made, as git's environment wants them.
const FIXED: [(&str, &str); 8] = [
    ("GIT_AUTHOR_NAME", "A U Thor"),
    ("GIT_AUTHOR_EMAIL", "author@example.org"),
    ("GIT_AUTHOR_DATE", "1700000000 +0100"),
    ("GIT_COMMITTER_NAME", "C O Mitter"),
    ("GIT_COMMITTER_EMAIL", "committer@example.org"),
    ("GIT_COMMITTER_DATE", "1700000100 +0100"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("LC_ALL", "C"),
];

/// The hashes, and the ways in which refs are stored.
pub const FORMATS: [(&str, &str); 4] =
    [("sha1", "files"), ("sha1", "reftable"), ("sha256", "files"), ("sha256", "reftable")];

/// A temporary directory with a `server.git` (bare) that has some history, and a `client.git` that has more of it.
///
/// The server has the branches `main` (three commits from root) and `topic` (root - topic), loose, and `old` (root) and the
/// annotated tag `v1` (of root), packed. The client has those and, as branches: `next` (on main), `next2` (on next),
/// `side` (on root), `alien` (a root), `many` (50 commits on main, 150 objects), and the annotated tag `v2` (of next).
pub struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    /// The two repositories with object names of `hash` (`sha1`, `sha256`) and refs kept as `refs` says (`files`, `reftable`).
    pub fn new(hash: &str, refs: &str) -> Scene {
        let scene = Scene { directory: tempfile::tempdir().expect("a temporary directory") };
        copy(&template(hash, refs), &scene.root());
        scene
    }

    /// The same, made by git.
    fn build(hash: &str, refs: &str) -> Scene {
        let scene = Scene::empty();
        for repository in ["server.git", "client.git"] {
            let (hash, refs) = (format!("--object-format={hash}"), format!("--ref-format={refs}"));
            scene.git(".", &["init", "-q", "--bare", "-b", "main", "--template=", &hash, &refs, repository]);
            scene.feed(repository, &["fast-import", "--quiet"], base_history().as_bytes());
        }
        scene.feed("client.git", &["fast-import", "--quiet"], client_history().as_bytes());
        scene.git("server.git", &["pack-refs", "--all"]);
        if refs == "files" {
            // Rewritten, so that they are loose beside their packed value.
            for branch in ["main", "topic"] {
                let value = scene.git("server.git", &["rev-parse", branch]);
                scene.write(&format!("server.git/refs/heads/{branch}"), &value);
            }
        }
        // Detached maintenance would still be busy while the test looks.
        scene.git("server.git", &["config", "receive.autogc", "false"]);
        scene
    }

    /// No repository at all.
    pub fn empty() -> Scene {
        let scene = Scene { directory: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir_all(scene.path("home")).expect("a home");
        fs::create_dir_all(scene.root()).expect("a place");
        scene
    }

    /// The directory that holds the repositories.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("scene")
    }

    /// A file or directory beside the repositories or in them.
    pub fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    /// `program` to be run in a directory of the scene, with nothing of this process's environment but `PATH`.
    pub fn command(&self, directory: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path(directory)).env_clear().envs(FIXED).env("HOME", self.path("home"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// What git printed, without the last newline; git must succeed.
    pub fn git(&self, directory: &str, arguments: &[&str]) -> String {
        let output = self.try_git(directory, arguments);
        let stdout = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        assert!(
            output.status.success(),
            "git {arguments:?} in {directory}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        stdout
    }

    /// What git did, success or not.
    pub fn try_git(&self, directory: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(directory, "git");
        command.env("GIT_TEST_FSYNC", "0").args(arguments).stdin(Stdio::null()).output().expect("git runs")
    }

    /// As [`git`](Self::git), with `input` on stdin and bytes as the result.
    pub fn feed(&self, directory: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = self.command(directory, "git");
        command.env("GIT_TEST_FSYNC", "0").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("git runs");
        let mut stdin = child.stdin.take().expect("piped");
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input).expect("git reads all"));
            child.wait_with_output().expect("git ends")
        });
        assert!(output.status.success(), "git {arguments:?} in {directory}");
        output.stdout
    }

    /// Write a file below the scene, with the directories that it needs.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        // A loose object or pack is read-only.
        fs::remove_file(&path).ok();
        fs::write(path, content).expect("a file");
    }

    /// Install a hook in `server.git`: a shell script without its first line.
    pub fn hook(&self, name: &str, script: &str) {
        let hook = self.git_dir().join("hooks").join(name);
        fs::create_dir_all(hook.parent().expect("hooks/")).expect("hooks/");
        fs::write(&hook, format!("#!/bin/sh\n{script}\n")).expect("a hook");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    /// The git directory of the server.
    pub fn git_dir(&self) -> PathBuf {
        let inner = self.path("server.git/.git");
        if inner.is_dir() { inner } else { self.path("server.git") }
    }

    /// Give the server a work tree with `main` checked out: `server.git` holds it, `server.git/.git` the repository.
    pub fn add_work_tree(&self) {
        let bare = self.path("bare");
        fs::rename(self.path("server.git"), &bare).expect("moved away");
        fs::create_dir(self.path("server.git")).expect("a work tree");
        fs::rename(bare, self.path("server.git/.git")).expect("moved in");
        self.git("server.git", &["config", "core.bare", "false"]);
        self.git("server.git", &["reset", "--hard", "-q"]);
    }

    /// Keep a copy of the whole scene beside it.
    pub fn save(&self) {
        let saved = self.saved("");
        fs::remove_dir_all(&saved).ok();
        copy(&self.root(), &saved);
    }

    /// A file or directory in the saved copy.
    pub fn saved(&self, below: &str) -> PathBuf {
        self.directory.path().join("saved").join(below)
    }

    /// Put the saved copy in place of what is there now: at the same path, so that nothing has to be normalised.
    pub fn restore(&self) {
        fs::remove_dir_all(self.root()).expect("removed");
        copy(&self.saved(""), &self.root());
    }
}

/// A scene of these formats to be copied, which is ten times as quick as to make one: made once, for all test programs.
fn template(hash: &str, refs: &str) -> PathBuf {
    static GIT: LazyLock<String> = LazyLock::new(|| Scene::empty().git(".", &["version"]));
    // Another git or other scenes may leave something else.
    let mut key = DefaultHasher::new();
    (include_str!("scene.rs"), &*GIT).hash(&mut key);
    let name = format!("scene-{hash}-{refs}-{:016x}", key.finish());
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = place.join(&name);
    if !template.is_dir() {
        // Beside it first, so that it is there as a whole or not at all. Another may have been quicker, with the same.
        let building = tempfile::tempdir_in(place).expect("a temporary directory");
        copy(&Scene::build(hash, refs).root(), &building.path().join(&name));
        fs::rename(building.path().join(&name), &template).ok();
        assert!(template.is_dir(), "{} is not there", template.display());
    }
    template
}

/// All of a directory with its modes and times.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp -a {} {}", from.display(), to.display());
}

/// A stream for `git fast-import`, which is the quickest way to a history.
struct Stream(String, u64);

impl Stream {
    fn commit(&mut self, branch: &str, parent: Option<&str>, files: &[(&str, &str)]) {
        self.1 += 60;
        let (time, message) = (self.1, format!("{branch}\n"));
        let continued = parent == Some(branch);
        if !continued {
            // Or fast-import would take the branch as it is for the parent.
            write!(self.0, "reset refs/heads/{branch}\n\n").expect("a string");
        }
        writeln!(self.0, "commit refs/heads/{branch}").expect("a string");
        writeln!(self.0, "committer C O Mitter <committer@example.org> {time} +0100").expect("a string");
        write!(self.0, "data {}\n{message}", message.len()).expect("a string");
        if let (Some(parent), false) = (parent, continued) {
            writeln!(self.0, "from refs/heads/{parent}").expect("a string");
        }
        for (path, content) in files {
            writeln!(self.0, "M 100644 inline {path}\ndata {}\n{content}", content.len()).expect("a string");
        }
        self.0.push('\n');
    }

    fn tag(&mut self, name: &str, branch: &str) {
        let message = format!("{name}\n");
        writeln!(self.0, "tag {name}\nfrom refs/heads/{branch}").expect("a string");
        writeln!(self.0, "tagger C O Mitter <committer@example.org> 1700000000 +0100").expect("a string");
        write!(self.0, "data {}\n{message}\n", message.len()).expect("a string");
    }

    fn branch(&mut self, name: &str, from: &str) {
        write!(self.0, "reset refs/heads/{name}\nfrom refs/heads/{from}\n\n").expect("a string");
    }
}

fn base_history() -> String {
    let mut stream = Stream(String::new(), 1_600_000_000);
    stream.commit("old", None, &[("a", "one\n"), ("dir/b", "two\n"), ("numbers", &numbers(1))]);
    stream.commit("main", Some("old"), &[("a", "one, changed\n")]);
    stream.commit("main", Some("main"), &[("dir/c", "three\n")]);
    stream.commit("topic", Some("old"), &[("t", "topic\n")]);
    stream.tag("v1", "old");
    stream.0
}

fn client_history() -> String {
    let mut stream = Stream(String::new(), 1_610_000_000);
    stream.commit("next", Some("main"), &[("dir/b", "two, changed\n"), ("numbers", &numbers(2))]);
    stream.commit("next2", Some("next"), &[("new/deep/file", "four\n")]);
    stream.commit("side", Some("old"), &[("a", "one, on the side\n")]);
    stream.commit("alien", None, &[("alien", "from elsewhere\n")]);
    stream.branch("many", "main");
    for round in 0..50 {
        stream.commit(
            "many",
            Some("many"),
            &[(
                "a",
                &format!(
                    "round {round}
"
                ),
            )],
        );
    }
    stream.tag("v2", "next");
    stream.0
}

/// A text that is worth a delta when one line of it changes.
fn numbers(variant: u32) -> String {
    (0..200).map(|line| if line == 100 { format!("variant {variant}\n") } else { format!("line {line}\n") }).collect()
}
