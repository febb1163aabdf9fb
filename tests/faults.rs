//! Every system call may fail: a push, and recovery itself, with an error put in the place of each of its calls in turn.
//!
//! What is reported is what holds, nothing stays half done, and what could not be tidied away a recovery knows. By default
//! only some of the points are tried; with `CRASH_LOOP=all` in the environment it is every one, with every error.

pub mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use support::{
    balanced::{Balanced, Pushed},
    optional_program, ours,
    story::{
        LOOSE, PACKED, Point, Story, check_settles, check_usable, chosen, is_whole, outcomes, points, scene, traced,
        try_all,
    },
};

/// The system calls by which files, directories and processes are reached.
const CALLS: &str = "open,openat,read,pread64,write,pwrite64,writev,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
                     readlink,readlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,syncfs,ftruncate,fallocate,\
                     utimensat,chmod,fchmod,fchmodat,flock,copy_file_range,getdents64,statx,newfstatat,lseek,fcntl,mmap,\
                     pipe2,clone3,poll,wait4,pidfd_open";

const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EINTR", "EMFILE", "EACCES"];

/// How a push is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Balanced,
    Atomic,
    EachAlone,
}

/// What the client was told.
struct Told {
    /// By full name: whether it was `ok`. Nothing of a ref that nothing was reported of.
    verdicts: BTreeMap<String, bool>,
    /// All that was said on stderr.
    said: String,
}

fn make(story: Story, manner: Manner) -> Balanced {
    let balanced = scene(story);
    if manner != Manner::Balanced {
        balanced.config("receive.balancedAtomic", "false");
        balanced.scene.save();
    }
    balanced
}

fn push(balanced: &Balanced, manner: Manner, program: &str, refs: &[&str]) -> Told {
    let mut command = balanced.scene.command("client.git", "git");
    command.args(["push", "--porcelain", &format!("--receive-pack={program}")]);
    command.args((manner == Manner::Atomic).then_some("--atomic")).arg("../server.git").args(refs);
    let output = command.stdin(Stdio::null()).output().expect("git runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdict = |line: &str| {
        let (flag, rest) = line.split_once('\t')?;
        let (names, summary) = rest.split_once('\t')?;
        let is_told = flag != "!" || summary.contains("[remote rejected]");
        is_told.then(|| (names.rsplit(':').next().unwrap_or_default().to_owned(), flag != "!"))
    };
    let verdicts = lines.lines().filter_map(verdict).collect();
    Told { verdicts, said: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// What is reported of each ref is what it has.
fn check_verdicts(told: &Told, now: &str, before: &str, after: &str) {
    let value = |refs: &str, name: &str| {
        refs.lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(found, _)| *found == name)
            .map(|(_, id)| id.to_owned())
    };
    for (name, is_ok) in &told.verdicts {
        let expected = if *is_ok { after } else { before };
        assert_eq!(value(now, name), value(expected, name), "{name} was reported as {is_ok}");
    }
}

/// The points with an error each, or with all of them.
fn faults(points: Vec<Point>) -> Vec<(Point, &'static str)> {
    let faults = points.into_iter().enumerate().flat_map(|(number, point)| {
        let errors = if is_whole() { &ERRORS[..] } else { &ERRORS[number % ERRORS.len()..][..1] };
        errors.iter().map(move |error| (point.clone(), *error))
    });
    chosen(faults.collect())
}

fn fail_at(strace: &Path, (point, error): &(Point, &str), program: &str) -> String {
    let injection = format!("-o /dev/null -e inject={}:error={error}:when={}", point.call, point.count);
    traced(strace, &injection, program)
}

fn fail_pushes(story: Story, manner: Manner) {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let balanced = make(story, manner);
    let points = points(&strace, CALLS, balanced.path("log"), &program(), |program| {
        assert_eq!(push(&balanced, manner, program, &story.refs).verdicts.len(), story.refs.len());
    });
    fail_each(&strace, story, manner, &faults(points));
}

fn fail_each(strace: &Path, story: Story, manner: Manner, faults: &[(Point, &str)]) {
    let (before, after) = outcomes(&make(story, manner), story);
    let make = || make(story, manner);
    try_all(faults, make, |balanced, _, fault| {
        let told = push(balanced, manner, &fail_at(strace, fault, &program()), &story.refs);
        let refs = balanced.refs();
        check_verdicts(&told, &refs, &before, &after);
        if manner == Manner::Balanced {
            check_settles(balanced, story.format, &format!("{fault:?}"), &told.said, &before, &after);
            return;
        }
        assert!(manner == Manner::EachAlone || refs == before || refs == after, "{refs}");
        let (exit, printed) = balanced.recover();
        assert!(exit == 0 && balanced.refs() == refs, "{printed}");
        check_usable(balanced);
    });
}

fn program() -> String {
    ours().display().to_string()
}

#[test]
fn a_balanced_push_in_which_a_call_fails_is_all_old_or_all_new() {
    fail_pushes(PACKED, Manner::Balanced);
    fail_pushes(LOOSE, Manner::Balanced);
}

#[test]
fn so_is_an_atomic_one() {
    fail_pushes(LOOSE, Manner::Atomic);
}

#[test]
fn of_an_ordinary_push_each_ref_is_as_it_was_reported() {
    fail_pushes(PACKED, Manner::EachAlone);
}

#[test]
fn a_recovery_in_which_a_call_fails_is_finished_by_the_next() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let story = PACKED;
    let balanced = scene(story);
    let (before, after) = outcomes(&balanced, story);
    // The second time that the journal is synced, the decision is in it.
    let decided = traced(&strace, "-o /dev/null -e inject=fdatasync:signal=KILL:when=2", &program());
    let die = |balanced: &Balanced| {
        assert!(!Pushed::of(balanced.start_push_through(&decided, &story.refs)).accepted);
    };
    let recover = |balanced: &Balanced, program: &str| {
        let line = format!("exec {program} --recover server.git");
        let output = balanced.scene.command(".", "sh").args(["-c", &line]).output().expect("sh runs");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    die(&balanced);
    let points = points(&strace, CALLS, balanced.path("log"), &program(), |program| {
        assert!(recover(&balanced, program).0);
    });
    let make = || scene(story);
    try_all(&faults(points), make, |balanced, _, fault| {
        die(balanced);
        let (_, mut said) = recover(balanced, &fail_at(&strace, fault, &program()));
        if said.contains("cannot exec") || said.contains("cannot tell") {
            said += "failed when it was told";
        }
        check_settles(balanced, story.format, &format!("{fault:?}"), &said, &before, &after);
    });
}

/// The calls, of those that the program makes while it carries out a push, whose line in strace's log is one of these.
fn calls(strace: &Path, balanced: &Balanced, manner: Manner, names: &str, is_one: impl Fn(&str) -> bool) -> Vec<Point> {
    let log: PathBuf = balanced.path("log");
    let program = traced(strace, &format!("-y -e trace={names} -o '{}'", log.display()), &program());
    push(balanced, manner, &program, &PACKED.refs);
    let log = std::fs::read_to_string(log).expect("a log");
    balanced.scene.restore();
    let mut counts = BTreeMap::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        let count = counts.entry(call.to_owned()).or_insert(0);
        *count += 1;
        if is_one(line) {
            found.push(Point { call: call.to_owned(), count: *count });
        }
    }
    assert!(!found.is_empty(), "{log}");
    found
}

#[test]
fn no_object_is_lost_where_a_directory_cannot_be_listed() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for manner in [Manner::Balanced, Manner::Atomic] {
        let is_quarantine = |line: &str| line.contains("incoming-");
        let calls = calls(&strace, &make(PACKED, manner), manner, "getdents64", is_quarantine);
        let faults: Vec<_> = calls.into_iter().map(|call| (call, "EIO")).collect();
        fail_each(&strace, PACKED, manner, &faults);
    }
}

#[test]
fn what_cannot_be_removed_is_known_by_its_journal() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let (before, after) = outcomes(&make(LOOSE, Manner::Atomic), LOOSE);
    for manner in [Manner::Balanced, Manner::Atomic] {
        for stuck in ["refs/heads/main.lock", "refs/heads/deep/in/here.lock", "HEAD.lock", "packed-refs.lock"] {
            let balanced = make(LOOSE, manner);
            let path = balanced.path("server.git").join(stuck);
            let fails = format!("-o /dev/null -P {} -e inject=unlink,unlinkat:error=EIO", path.display());
            let told = push(&balanced, manner, &traced(&strace, &fails, &program()), &LOOSE.refs);
            // One that is in the way of the commit is met before anybody is asked.
            let is_refused = manner == Manner::Balanced && stuck == "packed-refs.lock";
            assert_eq!(balanced.refs(), if is_refused { &*before } else { &*after });
            assert_eq!(told.verdicts.len(), LOOSE.refs.len(), "{}", told.said);
            check_verdicts(&told, &balanced.refs(), &before, &after);
            assert!(told.said.contains(&format!("unable to remove '{}'", path.display())), "{}", told.said);
            assert!(path.symlink_metadata().is_ok());
            let (exit, printed) = balanced.recover();
            assert_eq!(exit, 0, "{printed}");
            check_usable(&balanced);
        }
    }
}

#[test]
fn a_hook_that_nobody_can_follow_is_ended_and_told_so() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let balanced = make(LOOSE, Manner::Balanced);
    // For its end, by a call that fails.
    let waits = calls(&strace, &balanced, Manner::Balanced, "poll", |line| line.contains("pidfd"));
    balanced.hook(r#"[ "$1" = aborted ] || exec sleep 1000; echo "$1" >>"$SEEN""#);
    let program = fail_at(&strace, &(waits[0].clone(), "EIO"), &program());
    push(&balanced, Manner::Balanced, &program, &LOOSE.refs);
    let server = balanced.path("server.git");
    let works_there = |process: &std::fs::DirEntry| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|directory| directory == server)
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    assert_eq!(processes.filter(works_there).map(|process| process.path()).collect::<Vec<_>>(), Vec::<PathBuf>::new());
    assert_eq!(balanced.seen(), "aborted\n");
    balanced.check_clean();
}
