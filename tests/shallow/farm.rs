//! A repository with some history, shallow clones of it, and servers that they push to.

use std::{
    collections::BTreeSet,
    fmt::Display,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{gits, ours, scene::Scene};

/// `source.git` has `main`, ten commits in a line, each with one file more, and `fork`, which leaves it at the third and has
/// six more. There is no server yet.
pub struct Farm {
    pub scene: Scene,
    format: &'static str,
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// What the client says of each ref, in order of the names: `ok`, or why not.
    pub verdicts: Vec<(String, String)>,
    /// The server's refs.
    pub refs: String,
    /// The server's roots.
    pub roots: BTreeSet<String>,
    /// What hooks wrote to `$SEEN`.
    pub seen: String,
}

impl Farm {
    pub fn new() -> Farm {
        Farm::of("sha1")
    }

    /// Without any repository.
    pub fn bare(format: &'static str) -> Farm {
        Farm { scene: Scene::empty(), format }
    }

    pub fn of(format: &'static str) -> Farm {
        let farm = Farm::bare(format);
        farm.init("source.git", &[]);
        let mut stream = String::new();
        for number in 1..=10 {
            stream += &commit("main", number, None);
        }
        for number in 21..=26 {
            stream += &commit("fork", number, (number == 21).then_some(":3"));
        }
        farm.scene.feed("source.git", &["fast-import", "--quiet"], stream.as_bytes());
        farm
    }

    /// A bare repository without anything in it.
    pub fn init(&self, name: &str, more: &[&str]) {
        let format = format!("--object-format={}", self.format);
        let arguments = [&["init", "-q", "--bare", "-b", "main", "--template=", &format], more, &[name]].concat();
        self.scene.git(".", &arguments);
        self.scene.git(name, &["config", "gc.auto", "0"]);
    }

    /// `server.git`, empty, that takes roots over.
    pub fn empty_server(&self) {
        self.init("server.git", &[]);
        self.allow(true);
    }

    /// `server.git` with all of the history that leads to `main~<behind>`, which is its `main`.
    pub fn server_behind(&self, behind: usize) {
        self.empty_server();
        self.scene.git("source.git", &["push", "-q", "../server.git", &format!("main~{behind}:refs/heads/main")]);
    }

    /// `server.git` as a clone of that depth.
    pub fn shallow_server(&self, depth: usize) {
        self.clone_of("source.git", "server.git", depth);
        self.allow(true);
    }

    pub fn allow(&self, yes: bool) {
        self.scene.git("server.git", &["config", "receive.shallowUpdate", if yes { "true" } else { "false" }]);
    }

    /// A bare clone of `from`, all branches, cut off at `depth`.
    pub fn clone_of(&self, from: &str, name: &str, depth: usize) {
        let url = format!("file://{}", self.scene.path(from).display());
        let depth = format!("--depth={depth}");
        self.scene.git(".", &["clone", "-q", "--bare", "--no-single-branch", "--no-tags", &depth, &url, name]);
        self.scene.git(name, &["config", "gc.auto", "0"]);
    }

    /// `client.git`, a clone of `source.git` cut off at `depth`, with a commit `more` on its main, and one `aside` on main~1 (on
    /// main itself if that is cut off), which the annotated tag `v` names.
    pub fn client(&self, depth: usize) {
        self.clone_of("source.git", "client.git", depth);
        for (branch, from) in [("more", "main"), ("aside", if depth == 1 { "main" } else { "main~1" })] {
            let tree = self.scene.git("client.git", &["rev-parse", &format!("{from}^{{tree}}")]);
            let made = self.scene.git("client.git", &["commit-tree", &tree, "-p", from, "-m", branch]);
            self.scene.git("client.git", &["update-ref", &format!("refs/heads/{branch}"), &made]);
        }
        self.scene.git("client.git", &["tag", "-a", "-m", "v", "v", "aside"]);
    }

    /// The id of a revision of the source or the client.
    pub fn id(&self, repository: &str, revision: &str) -> String {
        self.scene.git(repository, &["rev-parse", "--verify", revision])
    }

    /// The ids of revisions of the source, as a set.
    pub fn ids(&self, revisions: &[&str]) -> BTreeSet<String> {
        revisions.iter().map(|revision| self.id("source.git", revision)).collect()
    }

    /// Install hooks that write `$0`, their stdin, and what they can see of history.
    pub fn recording(&self, hooks: &[&str]) {
        for hook in hooks {
            self.scene.hook(hook, &self.record("cat"));
        }
    }

    /// A script that records, and does `more`.
    pub fn record(&self, more: &str) -> String {
        let seen = self.scene.path("seen");
        format!(
            "exec >>'{}'\necho \"$0 $*\"\necho \"file $GIT_SHALLOW_FILE\"\n\
             if test -n \"$GIT_SHALLOW_FILE\"; then cat \"$GIT_SHALLOW_FILE\"; fi\n{more}",
            seen.display()
        )
    }

    /// `git push` from a repository to `server.git` through `program`.
    pub fn push_with(&self, program: &Path, from: &str, arguments: &[&str]) -> Pushed {
        self.try_push_with(program, from, arguments).unwrap_or_else(|said| panic!("no answer: {said}"))
    }

    /// The same of a program that may die without an answer.
    pub fn try_push_with(&self, program: &Path, from: &str, arguments: &[&str]) -> Result<Pushed, String> {
        let mut command = self.scene.command(from, "git");
        command.args(["push", "--porcelain", &format!("--receive-pack={}", program.display()), "../server.git"]);
        self.pushed(command.args(arguments))
    }

    /// What comes of a push command; what the client says if the server gave no answer.
    pub fn pushed(&self, command: &mut Command) -> Result<Pushed, String> {
        let output = command.stdin(Stdio::null()).output().expect("git runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let verdicts = said.lines().filter_map(|line| {
            let mut fields = line.split('\t');
            let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
            let reason = summary.split_once('(').map_or("", |(_, reason)| reason.trim_end_matches(')'));
            let verdict = if flag.starts_with('!') { reason } else { "ok" };
            Some((refs.split_once(':')?.1.to_owned(), verdict.to_owned()))
        });
        let seen = fs::read_to_string(self.scene.path("seen")).unwrap_or_default();
        fs::remove_file(self.scene.path("seen")).ok();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut verdicts: Vec<_> = verdicts.collect();
        verdicts.sort();
        if verdicts.is_empty() || errors.contains("the remote end hung up") {
            return Err(said + &errors);
        }
        Ok(Pushed { verdicts, refs: self.refs(), roots: self.roots(), seen: without_chance(&seen) })
    }

    /// What our program answers to a request.
    pub fn serve(&self, request: &[u8]) -> String {
        let mut program = self.scene.command(".", ours());
        program.args(["--stateless-rpc", "server.git"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(request).expect("it reads");
        String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).into_owned()
    }

    pub fn refs(&self) -> String {
        self.scene.git("server.git", &["for-each-ref", "--format=%(refname) %(objectname)"])
    }

    /// The roots in the server's file.
    pub fn roots(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.scene.path("server.git/shallow")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The push through both programs, on copies of the server in the same place, which must come to the same; ours stays.
    pub fn push_beside_git(&self, arguments: &[&str]) -> Pushed {
        self.scene.save();
        let expected = self.push_with(&gits(), "client.git", arguments);
        self.scene.restore();
        let actual = self.push_with(ours(), "client.git", arguments);
        assert_eq!(actual, expected, "ours on the left, git's on the right");
        self.check();
        actual
    }

    /// The push through our program alone.
    pub fn push(&self, arguments: &[&str]) -> Pushed {
        let pushed = self.push_with(ours(), "client.git", arguments);
        self.check();
        pushed
    }

    /// Nothing is left that should not be, and git finds the repository whole.
    pub fn check(&self) {
        self.scene.git("server.git", &["fsck", "--full", "--strict", "--no-dangling"]);
        let left = self.left();
        assert_eq!(left, Vec::<String>::new());
    }

    /// Files of a push that are none of the repository's.
    pub fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.scene.path("server.git")).expect("listed").flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut left: Vec<_> = names.filter(|name| name.starts_with("shallow") && name != "shallow").collect();
        left.extend(self.scene.path("server.git/balanced").exists().then(|| "balanced".to_owned()));
        left
    }

    /// A path beside the repositories.
    pub fn path(&self, below: &str) -> PathBuf {
        self.scene.path(below)
    }
}

impl Pushed {
    /// The verdicts in order.
    pub fn words(&self) -> Vec<&str> {
        self.verdicts.iter().map(|(_, verdict)| verdict.as_str()).collect()
    }
}

/// One commit for `git fast-import`.
fn commit(branch: &str, number: u64, from: Option<&str>) -> String {
    commit_at(branch, number, 1_600_000_000 + number as i64, from)
}

/// The same, of a time.
pub fn commit_at(branch: &str, number: impl Display, time: i64, from: Option<&str>) -> String {
    let from = from.map(|from| format!("from {from}\n")).unwrap_or_default();
    let text = format!("file {number}\n");
    format!(
        "commit refs/heads/{branch}\nmark :{number}\ncommitter C <c@example.org> {time} +0000\ndata 0\n{from}\
         M 100644 inline f{number}\ndata {}\n{text}\n",
        text.len()
    )
}

/// What hooks saw, without the part of the file's name that is by chance.
fn without_chance(seen: &str) -> String {
    let shown = |line: &str| match line.split_once("shallow_") {
        Some((before, _)) => format!("{before}shallow_…\n"),
        None => format!("{line}\n"),
    };
    seen.lines().map(shown).collect()
}
