//! A push of every kind of change, to which something happens at each of its system calls in turn, by strace.
//!
//! By default only some of the points are tried; with `CRASH_LOOP=all` in the environment it is every one.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    balanced::{Balanced, is_of_a_transaction, listing, succeed},
    scene::Scene,
};

/// How many points of one loop are tried unless all are.
const SOME: usize = 24;

/// A push that something happens to.
#[derive(Clone, Copy)]
pub struct Story {
    /// What the repository is like.
    pub format: Format,
    /// How many objects the branch `big` brings.
    pub objects: usize,
    /// Of how many on they stay a pack.
    pub unpack_limit: &'static str,
    /// One create, one packed update, one loose update, one delete, one in a nested name.
    pub refs: [&'static str; 5],
    /// With a certificate, and a push option.
    pub signed: bool,
}

/// Whose objects stay a pack.
pub const PACKED: Story = Story {
    format: USUAL,
    objects: 200,
    unpack_limit: "100",
    refs: ["big:fresh", "side:old", "big:main", ":topic", "big:deep/in/here"],
    signed: false,
};
/// Whose objects become loose.
pub const LOOSE: Story = Story { objects: 8, ..PACKED };
/// What is created has a history that is cut off, which the repository has to be too then.
pub const CUT_OFF: Story =
    Story { refs: ["island:fresh", "side:old", "big:main", ":topic", "big:deep/in/here"], ..LOOSE };

/// Of which hooks are to hear who signed it, and why, as long as anybody is asked or told.
pub const SIGNED: Story = Story { signed: true, ..LOOSE };

/// Says yes; what it says when it is asked again, the test decides. Each word is written down before it is said.
const HOOK: &str = r#"
case $1 in
prepared | in-doubt) [ -z "$GIT_PUSH_CERT" ] || git cat-file -e "$GIT_PUSH_CERT" || exit 3 ;;
esac
[ "$GIT_PUSH_CERT_STATUS $GIT_PUSH_OPTION_0" = "$(cat "$SEEN.expected")" ] || { echo "$1: not so" >>"$SEEN"; exit 3; }
case $1 in
in-doubt) echo "in-doubt $(cat "$SEEN.doubt")" >>"$SEEN"; [ "$(cat "$SEEN.doubt")" = yes ] ;;
*) echo "$1" >>"$SEEN" ;;
esac"#;

/// Right before the `count`th call of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The system call.
    pub call: String,
    /// Counted from one.
    pub count: usize,
}

/// The hash, how refs are stored, and whether names that differ in case are one.
#[derive(Clone, Copy)]
pub struct Format(pub &'static str, pub &'static str, pub bool);

const USUAL: Format = Format("sha1", "files", false);

impl Format {
    /// True if git changes its refs.
    pub fn is_by_git(self) -> bool {
        self.1 == "reftable" || self.2
    }

    /// True if readers meet all old or all new at any moment. Where git renames files it goes on doing so for a moment when the
    /// pusher is dead.
    pub fn has_one_instant(self) -> bool {
        !self.2
    }
}

/// A repository that such a push is about to come to.
pub fn scene(
    Story { format: Format(hash, kept, ignore_case), objects, unpack_limit, refs, signed }: Story,
) -> Balanced {
    let balanced = Balanced::within(Scene::new(hash, kept));
    if ignore_case {
        balanced.config("core.ignoreCase", "true");
    }
    let mut stream = String::from(
        "commit refs/heads/big\ncommitter C <c@example.org> 1700000000 +0000\ndata 0\nfrom refs/heads/main\n",
    );
    // One tree and one commit are among them.
    for number in 2..objects {
        let text = format!("file {number}");
        writeln!(stream, "M 100644 inline big/{number}\ndata {}\n{text}", text.len()).expect("a string");
    }
    if refs == CUT_OFF.refs {
        stream +=
            "\ncommit refs/heads/island\ncommitter C <c@example.org> 1700000000 +0000\ndata 0\nfrom refs/heads/alien\n";
    }
    balanced.scene.feed("client.git", &["fast-import", "--quiet"], stream.as_bytes());
    if refs == CUT_OFF.refs {
        balanced.scene.write("client.git/shallow", &(balanced.theirs("island") + "\n"));
        balanced.config("receive.shallowUpdate", "true");
    }
    balanced.scene.git("server.git", &["update-ref", "refs/heads/deep/in/here", "main"]);
    balanced.config("receive.unpackLimit", unpack_limit);
    balanced.config("core.logAllRefUpdates", "always");
    balanced.hook(HOOK);
    std::fs::write(balanced.path("seen.expected"), " \n").expect("written");
    if signed {
        sign(&balanced);
    }
    balanced.scene.save();
    balanced
}

/// From now on the client signs what it pushes, and says why.
fn sign(balanced: &Balanced) {
    let key = balanced.path("key").display().to_string();
    succeed(balanced.scene.command(".", "ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]));
    let public = std::fs::read_to_string(key.clone() + ".pub").expect("a public key");
    balanced.scene.write("signers", &format!("c@example.org {public}"));
    balanced.config("gpg.ssh.allowedSignersFile", &balanced.path("signers").display().to_string());
    balanced.config("receive.certNonceSeed", "a seed");
    balanced.config("receive.advertisePushOptions", "true");
    for (name, value) in
        [("push.gpgSign", "true"), ("gpg.format", "ssh"), ("user.signingKey", &key), ("push.pushOption", "why")]
    {
        balanced.scene.git("client.git", &["config", name, value]);
    }
    std::fs::write(balanced.path("seen.expected"), "G why\n").expect("written");
}

/// `program` under strace, with these further arguments.
pub fn traced(strace: &Path, arguments: &str, program: &str) -> String {
    format!("{} -qqq -e signal=none {arguments} {program}", strace.display())
}

/// All points, among these `calls`, of what `run` does through the program that it is given.
pub fn points(strace: &Path, calls: &str, log: PathBuf, program: &str, run: impl FnOnce(&str)) -> Vec<Point> {
    run(&traced(strace, &format!("-e trace={calls} -o '{}'", log.display()), program));
    let mut counts = BTreeMap::new();
    let mut points = Vec::new();
    for line in std::fs::read_to_string(&log).expect("a log").lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        let count = counts.entry(call.to_owned()).or_insert(0);
        *count += 1;
        points.push(Point { call: call.to_owned(), count: *count });
    }
    std::fs::remove_file(&log).expect("removed");
    assert!(points.len() > 10, "{points:?}");
    points
}

/// Those that are tried.
pub fn chosen<T>(points: Vec<T>) -> Vec<T> {
    let step = match is_whole() {
        true => 1,
        false => points.len().div_ceil(SOME),
    };
    eprintln!("{} points, of which each {step}. is tried", points.len());
    points.into_iter().step_by(step).collect()
}

/// True if every point is to be tried.
pub fn is_whole() -> bool {
    std::env::var("CRASH_LOOP").as_deref() == Ok("all")
}

/// Try the points, two at a time, each in a scene of its own.
pub fn try_all<T: std::fmt::Debug + Clone + Send + Sync>(
    points: &[T],
    make: impl Fn() -> Balanced + Sync,
    one: impl Fn(&Balanced, usize, &T) + Sync,
) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let balanced = make();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(point) = points.get(number) else { return };
                    balanced.scene.restore();
                    let tried =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(&balanced, number, point)));
                    if tried.is_err() {
                        failed.lock().expect("no panic").push(point.clone());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    eprintln!("{} points, {} failures", points.len(), failed.len());
    assert!(failed.is_empty(), "{failed:?}");
}

/// The refs before the push, and after it.
pub fn outcomes(balanced: &Balanced, story: Story) -> (String, String) {
    let before = balanced.refs();
    balanced.push(&story.refs).expect_yes();
    let after = balanced.refs();
    balanced.scene.restore();
    assert!(before != after && balanced.refs() == before);
    (before, after)
}

/// All old or all new, and after a recovery as the hook was told last, and nothing left; and the next push works. It may have
/// `said` that the hook could not be told, or a log not be written.
pub fn check_settles(balanced: &Balanced, format: Format, point: &str, said: &str, before: &str, after: &str) {
    let refs = balanced.refs();
    assert!(!format.has_one_instant() || refs == before || refs == after, "{point}: {refs}");
    let (exit, printed) = balanced.recover();
    assert_eq!(exit, 0, "{point}: {printed}");
    let refs = balanced.refs();
    let seen = balanced.seen();
    match seen.lines().last() {
        Some("committed") => assert_eq!(refs, after, "{seen}"),
        // Nobody was asked, or it is undone.
        None | Some("aborted") => assert_eq!(refs, before, "{seen}"),
        _ if said.contains("failed when it was told") => {}
        other => panic!("the hook heard last: {other:?}"),
    }
    if seen.contains("in-doubt") {
        assert_eq!(seen.contains("in-doubt yes"), refs == after, "{seen}");
    }
    let is_cut_off = balanced.path("client.git/shallow").exists() && refs == after;
    assert_eq!(balanced.path("server.git/shallow").exists(), is_cut_off);
    if !said.contains("cannot append to") {
        let lines = balanced.scene.git("server.git", &["log", "-g", "--format=%gs", "refs/heads/main"]);
        assert_eq!(lines.lines().count(), usize::from(refs == after), "{lines}");
    }
    if refs == before {
        let was = listing(&balanced.scene.saved("server.git"));
        let new = |path: &String| !was.contains_key(path);
        let new: Vec<_> = balanced.listing().into_keys().filter(new).collect();
        assert_eq!(new, Vec::<String>::new(), "it is undone, and yet this is there");
    }
    check_usable(balanced);
}

/// Nothing is left, and the next push works.
pub fn check_usable(balanced: &Balanced) {
    let left = |path: &String| is_of_a_transaction(path) && !path.starts_with("objects/tmp_objdir-");
    let left: Vec<_> = balanced.listing().into_keys().filter(left).collect();
    assert_eq!(left, Vec::<String>::new());
    balanced.scene.git("server.git", &["fsck", "--full", "--strict", "--no-dangling"]);
    balanced.scene.git("server.git", &["refs", "verify"]);
    balanced.push(&["big:fresh", "side:main", ":old", "next:topic", "--force"]).expect_yes();
}
