//! A repository in balanced-atomic mode, its balanced_update hook, and pushes to it by the git client.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};

use super::{ours, scene::Scene};

/// How long something may take that takes no time at all, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A push of every kind of change: an update of a loose ref and of a packed one, a creation, the deletion of a packed ref.
pub const EVERY_KIND: [&str; 4] = ["next:main", "side:old", "next2:deep/in/here", ":refs/tags/v1"];

/// A hook that waits, when it is asked about what is prepared, for [an answer](Balanced::answer).
pub const WAITS: &str = r#"
echo "$1" >>"$SEEN"
[ "$1" = prepared ] || exit 0
echo "$PPID" >"$SEEN.push"
echo "$$" >"$SEEN.hook"
until [ -e "$SEEN.answer" ]; do sleep 0.01; done
exit "$(cat "$SEEN.answer")"
"#;

/// The usual repositories, `server.git` with `receive.balancedAtomic`.
pub struct Balanced {
    /// Where they lie.
    pub scene: Scene,
}

/// What came of a push by the git client.
#[derive(Debug)]
pub struct Pushed {
    /// True if git says that all went well.
    pub accepted: bool,
    /// What the client printed on stderr.
    pub said: String,
}

impl Balanced {
    /// Make them; there is no hook yet.
    pub fn new() -> Self {
        Self::within(Scene::new("sha1", "files"))
    }

    /// The same of other repositories.
    pub fn within(scene: Scene) -> Self {
        scene.git("server.git", &["config", "receive.balancedAtomic", "true"]);
        scene.git("server.git", &["config", "gc.auto", "0"]);
        // Made now, so that what is there before a push and after it can be compared.
        fs::create_dir_all(scene.git_dir().join("hooks")).expect("hooks/");
        Balanced { scene }
    }

    /// The same with a hook, a shell script without its first line.
    pub fn with_hook(script: &str) -> Self {
        let this = Self::new();
        this.hook(script);
        this
    }

    /// Install a hook. It may write to `$SEEN`, and read what the test writes beside it.
    pub fn hook(&self, script: &str) {
        let seen = self.path("seen").display().to_string();
        self.scene.hook("balanced_update", &format!("SEEN='{seen}'\n{script}"));
    }

    /// Install one of the hooks in fixtures/.
    pub fn fixture(&self, name: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hooks").join(name);
        fs::copy(from, self.scene.git_dir().join("hooks/balanced_update")).expect("copied");
    }

    /// The exit status of a hook that [waits](WAITS) for it.
    pub fn answer(&self, status: &str) {
        fs::write(self.path("written"), status).expect("written");
        fs::rename(self.path("written"), self.path("seen.answer")).expect("renamed");
    }

    /// A path beside the repositories.
    pub fn path(&self, below: &str) -> PathBuf {
        self.scene.path(below)
    }

    /// Configure the server.
    pub fn config(&self, key: &str, value: &str) {
        self.scene.git("server.git", &["config", "--add", key, value]);
    }

    /// What the hook wrote to `$SEEN`.
    pub fn seen(&self) -> String {
        fs::read_to_string(self.path("seen")).unwrap_or_default()
    }

    /// `git push ../server.git <refspecs>`, begun.
    pub fn start_push(&self, refspecs: &[&str]) -> Child {
        self.start_push_through(&ours().display().to_string(), refspecs)
    }

    /// The same through another command for the server's side.
    pub fn start_push_through(&self, program: &str, refspecs: &[&str]) -> Child {
        let mut command = self.scene.command("client.git", "git");
        command.args(["push", &format!("--receive-pack={program}"), "../server.git"]).args(refspecs);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("git starts")
    }

    /// `git push ../server.git <refspecs>`.
    pub fn push(&self, refspecs: &[&str]) -> Pushed {
        Pushed::of(self.start_push(refspecs))
    }

    /// `git-receive-pack --recover server.git`: its exit status, and what it printed.
    pub fn recover(&self) -> (i32, String) {
        let mut command = self.scene.command(".", ours());
        let output = command.arg("--recover").arg(self.scene.git_dir()).output().expect("it runs");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code().expect("no signal"), String::from_utf8_lossy(&printed).into_owned())
    }

    /// The value of a revision on the server, empty if there is none.
    pub fn value(&self, revision: &str) -> String {
        text(&self.scene.try_git("server.git", &["rev-parse", "-q", "--verify", revision]).stdout)
    }

    /// The value of a revision of the client.
    pub fn theirs(&self, revision: &str) -> String {
        self.scene.git("client.git", &["rev-parse", "--verify", revision])
    }

    /// Every ref of the server with its value.
    pub fn refs(&self) -> String {
        self.scene.git("server.git", &["for-each-ref", "--format=%(refname) %(objectname)"])
    }

    /// Every file, link and directory in the server's repository, with its mode and what it holds.
    pub fn listing(&self) -> BTreeMap<String, String> {
        listing(&self.scene.git_dir())
    }

    /// Nothing of any transaction is left, and git finds nothing wrong.
    pub fn check_clean(&self) {
        let left: Vec<_> = self.listing().into_keys().filter(|path| is_of_a_transaction(path)).collect();
        assert_eq!(left, Vec::<String>::new());
        self.scene.git("server.git", &["fsck", "--full", "--strict", "--no-dangling"]);
        self.scene.git("server.git", &["refs", "verify"]);
    }
}

impl Default for Balanced {
    fn default() -> Self {
        Self::new()
    }
}

impl Pushed {
    /// Wait for a push that was begun.
    pub fn of(push: Child) -> Self {
        let Output { status, stderr, .. } = push.wait_with_output().expect("git ends");
        Pushed { accepted: status.success(), said: text(&stderr) }
    }

    /// The push must have been accepted.
    pub fn expect_yes(&self) {
        assert!(self.accepted, "{}", self.said);
    }

    /// The push must have been refused, each ref for this reason.
    pub fn expect_no(&self, reason: &str) {
        assert!(!self.accepted, "{}", self.said);
        let refused: Vec<_> = self.said.lines().filter(|line| line.contains("[remote rejected]")).collect();
        assert!(!refused.is_empty() && refused.iter().all(|line| line.contains(reason)), "{}", self.said);
    }
}

/// Repositories with what a push was about that was killed while its hook was asked; the hook was killed as well if `both`.
pub fn killed_while_asked(both: bool) -> Balanced {
    let balanced = Balanced::with_hook(WAITS);
    let push = balanced.start_push(&EVERY_KIND);
    let (program, hook) = (process_in(&balanced.path("seen.push")), process_in(&balanced.path("seen.hook")));
    kill(program, Signal::SIGKILL).expect("killed");
    if both {
        kill(hook, Signal::SIGKILL).expect("killed");
    }
    assert!(!Pushed::of(push).accepted);
    balanced
}

/// Wait until `found` gives something.
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Wait until the file has a whole line, and take it for a process id.
pub fn process_in(path: &Path) -> nix::unistd::Pid {
    eventually(&path.display().to_string(), || {
        let text = fs::read_to_string(path).ok()?;
        Some(nix::unistd::Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?))
    })
}

/// Every path below `root`, with its mode and what it holds.
pub fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    list(root, root, &mut found);
    found
}

fn list(root: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
        let meta = path.symlink_metadata().expect("still there");
        let content = if meta.is_dir() {
            list(root, &path, found);
            "a directory".to_owned()
        } else if meta.is_symlink() {
            format!("-> {}", fs::read_link(&path).expect("a link").display())
        } else {
            fs::read(&path).expect("a file").escape_ascii().to_string()
        };
        found.insert(name, format!("{:o} {content}", meta.permissions().mode()));
    }
}

/// True if the path is of something that no finished transaction leaves.
pub fn is_of_a_transaction(path: &str) -> bool {
    path.ends_with(".lock")
        || path.contains("balanced-")
        || path.starts_with("balanced")
        || path.contains("incoming-")
        || path.ends_with(".keep")
}

/// Run a command that must succeed.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}
