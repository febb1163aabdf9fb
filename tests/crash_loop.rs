//! The machine may die at any moment: a push, and recovery itself, killed at each system call that changes a file.
//!
//! strace kills the program right before such a call, so that all the states in between are met. By default only some of the
//! points are tried; with `CRASH_LOOP=all` in the environment it is every one.

pub mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use support::{
    balanced::{Balanced, Pushed, is_of_a_transaction},
    optional_program, ours,
    scene::Scene,
};

/// The system calls that change files. What openat(2) creates is seen at the next of them.
const CALLS: &str = "write,pwrite64,writev,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,\
                     mkdirat,rmdir,fsync,fdatasync,syncfs,ftruncate,fallocate,utimensat,chmod,fchmod,fchmodat,flock,\
                     copy_file_range";

/// How many points of one loop are tried unless all are.
const SOME: usize = 24;

/// A push to be killed.
#[derive(Clone, Copy)]
struct Story {
    format: Format,
    /// How many objects the branch `big` brings.
    objects: usize,
    /// Of how many on they stay a pack.
    unpack_limit: &'static str,
    /// One create, one packed update, one loose update, one delete, one in a nested name.
    refs: [&'static str; 5],
}

const PACKED: Story = Story {
    format: USUAL,
    objects: 200,
    unpack_limit: "100",
    refs: ["big:fresh", "side:old", "big:main", ":topic", "big:deep/in/here"],
};
const LOOSE: Story = Story { objects: 8, ..PACKED };
/// What is created has a history that is cut off, which the repository has to be too then.
const CUT_OFF: Story = Story { refs: ["island:fresh", "side:old", "big:main", ":topic", "big:deep/in/here"], ..LOOSE };

/// Says yes; what it says when it is asked again, the test decides. Each word is written down before it is said.
const HOOK: &str = r#"
case $1 in
in-doubt) echo "in-doubt $(cat "$SEEN.doubt")" >>"$SEEN"; [ "$(cat "$SEEN.doubt")" = yes ] ;;
*) echo "$1" >>"$SEEN" ;;
esac"#;

/// Right before the `count`th call of this name.
#[derive(Debug, Clone)]
struct Point {
    call: String,
    count: usize,
}

/// The hash, how refs are stored, and whether names that differ in case are one.
#[derive(Clone, Copy)]
struct Format(&'static str, &'static str, bool);

const USUAL: Format = Format("sha1", "files", false);
/// Refs that git changes, and that this program takes up again.
const BY_GIT: [Format; 3] =
    [Format("sha1", "reftable", false), Format("sha256", "reftable", false), Format("sha1", "files", true)];

impl Format {
    fn is_by_git(self) -> bool {
        self.1 == "reftable" || self.2
    }

    /// True if readers meet all old or all new at any moment. Where git renames files it goes on doing so for a moment when the
    /// pusher is dead.
    fn has_one_instant(self) -> bool {
        !self.2
    }

    /// How often the journal is synced by the time that the decision is on disk.
    fn syncs_up_to_decision(self) -> usize {
        // The locks that git has taken are known later than ours.
        if self.is_by_git() { 3 } else { 2 }
    }
}

/// A repository that such a push is about to come to.
fn scene(Story { format: Format(hash, kept, ignore_case), objects, unpack_limit, refs }: Story) -> Balanced {
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
        writeln!(stream, "M 100644 inline big/{number}\ndata {}\n{text}", text.len()).unwrap();
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
    balanced.scene.save();
    balanced
}

/// `program` under strace, with these further arguments.
fn traced(strace: &Path, arguments: &str, program: &str) -> String {
    format!("{} -qqq -e signal=none {arguments} {program}", strace.display())
}

/// All points of what `run` does through the program that it is given.
fn points(strace: &Path, log: PathBuf, program: &str, run: impl FnOnce(&str)) -> Vec<Point> {
    run(&traced(strace, &format!("-e trace={CALLS} -o '{}'", log.display()), program));
    let mut counts = BTreeMap::new();
    let mut points = Vec::new();
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        let count = counts.entry(call.to_owned()).or_insert(0);
        *count += 1;
        points.push(Point { call: call.to_owned(), count: *count });
    }
    std::fs::remove_file(&log).unwrap();
    assert!(points.len() > 10, "{points:?}");
    points
}

/// Those that are tried.
fn chosen(points: Vec<Point>) -> Vec<Point> {
    let step = match std::env::var("CRASH_LOOP").as_deref() {
        Ok("all") => 1,
        _ => points.len().div_ceil(SOME),
    };
    eprintln!("{} points, of which each {step}. is tried", points.len());
    points.into_iter().step_by(step).collect()
}

fn kill_at(strace: &Path, point: &Point, program: &str) -> String {
    let injection = format!("-o /dev/null -e inject={}:signal=KILL:when={}", point.call, point.count);
    traced(strace, &injection, program)
}

/// Try the points, two at a time, each in a scene of its own.
fn try_all(points: &[Point], make: impl Fn() -> Balanced + Sync, one: impl Fn(&Balanced, usize, &Point) + Sync) {
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
                        failed.lock().unwrap().push(point.clone());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    eprintln!("{} points, {} failures", points.len(), failed.len());
    assert!(failed.is_empty(), "{failed:?}");
}

/// The refs before the push, and after it.
fn outcomes(balanced: &Balanced, story: Story) -> (String, String) {
    let before = balanced.refs();
    balanced.push(&story.refs).expect_yes();
    let after = balanced.refs();
    balanced.scene.restore();
    assert!(before != after && balanced.refs() == before);
    (before, after)
}

/// All old or all new, and after a recovery as the hook was told last, and nothing left; and the next push works.
fn check_settles(balanced: &Balanced, format: Format, point: &str, before: &str, after: &str) {
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
        other => panic!("the hook heard last: {other:?}"),
    }
    if seen.contains("in-doubt") {
        assert_eq!(seen.contains("in-doubt yes"), refs == after, "{seen}");
    }
    let is_cut_off = balanced.path("client.git/shallow").exists() && refs == after;
    assert_eq!(balanced.path("server.git/shallow").exists(), is_cut_off);
    let lines = balanced.scene.git("server.git", &["log", "-g", "--format=%gs", "refs/heads/main"]);
    assert_eq!(lines.lines().count(), usize::from(refs == after), "{lines}");
    let left = |path: &String| is_of_a_transaction(path) && !path.starts_with("objects/tmp_objdir-");
    let left: Vec<_> = balanced.listing().into_keys().filter(left).collect();
    assert_eq!(left, Vec::<String>::new());
    balanced.scene.git("server.git", &["fsck", "--full", "--strict", "--no-dangling"]);
    balanced.scene.git("server.git", &["refs", "verify"]);
    balanced.push(&["big:fresh", "side:main", ":old", "next:topic", "--force"]).expect_yes();
}

/// Kill the push at each point, and let recovery have its way.
fn kill_pushes(story: Story) {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let make = || scene(story);
    let balanced = make();
    let (before, after) = outcomes(&balanced, story);
    let points = points(&strace, balanced.path("log"), &ours().display().to_string(), |program| {
        Pushed::of(balanced.start_push_through(program, &story.refs)).expect_yes();
    });
    drop(balanced);
    try_all(&chosen(points), make, |balanced, number, point| {
        std::fs::write(balanced.path("seen.doubt"), if number % 2 == 0 { "yes" } else { "no" }).unwrap();
        let program = kill_at(&strace, point, &ours().display().to_string());
        Pushed::of(balanced.start_push_through(&program, &story.refs));
        check_settles(balanced, story.format, &format!("{point:?}"), &before, &after);
    });
}

#[test]
fn a_push_killed_anywhere_is_all_old_or_all_new() {
    kill_pushes(PACKED);
}

#[test]
fn so_is_one_whose_objects_are_loose() {
    kill_pushes(LOOSE);
}

#[test]
fn so_is_one_that_brings_a_root_of_a_shallow_history() {
    kill_pushes(CUT_OFF);
}

#[test]
fn so_is_one_whose_refs_are_kept_otherwise() {
    for format in [Format("sha256", "files", false)].into_iter().chain(BY_GIT) {
        kill_pushes(Story { format, ..LOOSE });
    }
    kill_pushes(Story { format: BY_GIT[0], ..CUT_OFF });
}

/// Kill the recovery of a push that was killed `late` or early in making its decision last, at each point; and let the next
/// recovery have its way.
fn kill_recoveries(story: Story, late: bool, doubt: &str) {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let program = ours().display().to_string();
    let balanced = scene(story);
    let pushed = points(&strace, balanced.path("log"), &program, |program| {
        Pushed::of(balanced.start_push_through(program, &story.refs)).expect_yes();
    });
    // The journal is synced so before the vote, and so again when that was a yes.
    let count = story.format.syncs_up_to_decision();
    let synced = pushed.iter().position(|point| point.call == "fdatasync" && point.count == count).unwrap();
    let death = &pushed[if late { synced } else { synced - 1 }];
    assert!(late || death.call == "write");
    // A copy of what a dead push left would be another directory, which is another matter.
    let die = |balanced: &Balanced| {
        std::fs::write(balanced.path("seen.doubt"), doubt).unwrap();
        let killed = kill_at(&strace, death, &program);
        assert!(!Pushed::of(balanced.start_push_through(&killed, &story.refs)).accepted);
    };
    let make = || scene(story);
    let balanced = make();
    let (before, after) = outcomes(&balanced, story);
    let recover = |balanced: &Balanced, program: &str| {
        let line = format!("exec {program} --recover server.git");
        balanced.scene.command(".", "sh").args(["-c", &line]).output().expect("sh runs")
    };
    die(&balanced);
    let points = points(&strace, balanced.path("log"), &program, |program| {
        assert!(recover(&balanced, program).status.success());
    });
    drop(balanced);
    try_all(&chosen(points), make, |balanced, _, point| {
        die(balanced);
        recover(balanced, &kill_at(&strace, point, &program));
        check_settles(balanced, story.format, &format!("{point:?}"), &before, &after);
    });
}

#[test]
fn a_recovery_that_goes_forward_is_finished_by_the_next() {
    kill_recoveries(PACKED, true, "yes");
}

#[test]
fn so_is_one_that_goes_forward_with_a_root_of_a_shallow_history() {
    kill_recoveries(CUT_OFF, true, "yes");
}

#[test]
fn so_is_one_that_asks_what_became_of_a_vote() {
    for doubt in ["yes", "no"] {
        kill_recoveries(PACKED, false, doubt);
    }
}

#[test]
fn so_are_those_of_refs_that_are_kept_otherwise() {
    for format in BY_GIT {
        kill_recoveries(Story { format, ..PACKED }, true, "yes");
        for doubt in ["yes", "no"] {
            kill_recoveries(Story { format, ..PACKED }, false, doubt);
        }
    }
    kill_recoveries(Story { format: BY_GIT[0], ..CUT_OFF }, true, "yes");
}
