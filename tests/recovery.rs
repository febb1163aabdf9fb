//! What a process that was killed in the middle of a transaction leaves, and what recovery makes of it.

pub mod support;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus},
};

use balanced_receive_pack::{
    balanced::recover::{Asked, Outcome, recover},
    config::{Config, Settings},
    interrupt::Interrupts,
    objects::database::Database,
    refs::transaction::{Edit, Mode, Queued},
};
use gix::ObjectId;
use support::{
    in_process::{Server, repository},
    optional_program,
};

/// Where [`the_push_that_others_kill`] finds its repository, and its edits: `<name> <old> <new>` lines.
const REPOSITORY: &str = "KILLED_PUSH_REPOSITORY";
const EDITS: &str = "KILLED_PUSH_EDITS";

/// Does nothing unless another test starts it as a process of its own.
#[test]
fn the_push_that_others_kill() {
    let Some(path) = std::env::var_os(REPOSITORY) else { return };
    let id = |hex: &str| ObjectId::from_hex(hex.as_bytes()).unwrap();
    let edits = std::env::var(EDITS).unwrap();
    let edits = edits.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let edits = edits.map(|line| Edit { name: line[0].into(), old: Some(id(line[1])), new: id(line[2]) }).collect();
    let repository = repository(Path::new(&path));
    let config = Config::new(Settings::default(), true).unwrap();
    let interrupts = Interrupts::default();
    let database = Database::open(&repository).unwrap();
    let queued = Queued::new(&repository, &config, &interrupts, edits).unwrap();
    queued.prepare(&database, Mode::AllOrNone, None).unwrap().commit().unwrap();
}

/// One create, one packed update, one loose update, one delete, one in a nested name.
fn five_edits(server: &Server) -> Vec<Edit> {
    vec![
        server.edit("refs/heads/new", None, Some(5)),
        server.edit("refs/heads/packed", Some(0), Some(5)),
        server.edit("refs/heads/loose", Some(1), Some(5)),
        server.edit("refs/heads/gone", Some(0), None),
        server.edit("refs/heads/deep/in/here", Some(1), Some(5)),
    ]
}

fn with_five_refs() -> Server {
    let server = Server::make();
    for name in ["packed", "gone"] {
        server.set(&format!("refs/heads/{name}"), 0);
    }
    server.git(&["pack-refs", "--all"]);
    for name in ["loose", "deep/in/here"] {
        server.set(&format!("refs/heads/{name}"), 1);
    }
    server
}

/// Push in a process of its own, under strace with these arguments.
fn push_under_strace(strace: &Path, injection: &str, server: &Server, edits: &[Edit]) -> ExitStatus {
    let lines = edits.iter().map(|edit| format!("{} {} {}\n", edit.name, edit.old.unwrap(), edit.new));
    let mut command = Command::new(strace);
    command.args(["-f", "-qqq", "-o", "/dev/null", "-e", injection]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "the_push_that_others_kill"]);
    command.env(REPOSITORY, &server.repository.git_dir).env(EDITS, lines.collect::<String>());
    command.output().unwrap().status
}

#[test]
fn a_push_killed_at_any_change_of_a_file_leaves_all_old_or_all_new_and_nothing_else() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = with_five_refs();
    let (before, edits) = (server.refs(), five_edits(&server));
    server.scene.save();
    server.succeed(Mode::AllOrNone, edits.clone());
    let after = server.refs();
    let (mut undone, mut done) = (0, 0);
    for call in ["openat", "write", "rename", "unlink", "unlinkat", "mkdir", "rmdir", "symlink", "fsync", "flock"] {
        for count in 1.. {
            server.scene.restore();
            let status =
                push_under_strace(&strace, &format!("inject={call}:signal=KILL:when={count}"), &server, &edits);
            if status.signal().is_none() {
                assert!(status.success());
                break;
            }
            let refs = server.refs();
            assert!(refs == before || refs == after, "killed at {call} {count}: {refs:#?}");
            if refs == before {
                undone += 1
            } else {
                done += 1
            }
            for finding in recover(&server.repository, Asked::ByPush).unwrap() {
                assert_eq!(finding.outcome, Outcome::Undone);
            }
            assert_eq!(server.refs(), refs, "recovered after {call} {count}");
            server.check_clean();
            let next = match refs == before {
                true => edits.clone(),
                false => {
                    vec![server.edit("refs/heads/new", Some(5), Some(0)), server.edit("refs/heads/gone", None, Some(1))]
                }
            };
            server.succeed(Mode::AllOrNone, next);
        }
    }
    assert!(undone > 20 && done > 10, "{undone} and {done}");
}

#[test]
fn what_a_living_push_holds_stays() {
    let server = with_five_refs();
    let database = Database::open(&server.repository).unwrap();
    let queued = Queued::new(&server.repository, &server.config, &server.interrupts, five_edits(&server)).unwrap();
    let prepared = queued.prepare(&database, Mode::AllOrNone, None).unwrap();
    let held = server.listing();
    for asked in [Asked::ByPush, Asked::ByName] {
        let findings = recover(&server.repository, asked).unwrap();
        assert!(matches!(&findings[..], [only] if only.outcome == Outcome::Busy), "{findings:?}");
        assert_eq!(server.listing(), held);
    }
    prepared.commit().unwrap();
    assert_eq!(recover(&server.repository, Asked::ByName).unwrap(), []);
    server.check_clean();
}

/// A repository with what a push that was killed after it had locked everything left.
fn killed_when_locked(strace: &Path) -> Server {
    let server = with_five_refs();
    let status = push_under_strace(strace, "inject=rename:signal=KILL:when=2", &server, &five_edits(&server));
    assert_eq!(status.signal(), Some(9));
    assert!(server.listing().keys().any(|path| path.ends_with(".lock")));
    server
}

#[test]
fn a_journal_of_elsewhere_is_settled_only_when_asked_for_by_name() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = killed_when_locked(&strace);
    // A copy made in the middle of a push: another directory with the same journal.
    let copy = server.scene.path("copy");
    assert!(Command::new("cp").args(["-a"]).arg(&server.repository.git_dir).arg(&copy).status().unwrap().success());
    let there = repository(&copy);
    let findings = recover(&there, Asked::ByPush).unwrap();
    assert!(matches!(&findings[..], [only] if matches!(only.outcome, Outcome::Foreign(_))), "{findings:?}");
    assert!(copy.join("balanced").exists());
    let findings = recover(&there, Asked::ByName).unwrap();
    assert!(matches!(&findings[..], [only] if only.outcome == Outcome::Undone), "{findings:?}");
    assert!(!copy.join("balanced").exists() && !copy.join("refs/heads/packed.lock").is_symlink());
}

#[test]
fn a_journal_that_was_cut_short_does_not_hide_the_locks() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for left in [0, 1, 2] {
        let server = killed_when_locked(&strace);
        let mut journals = fs::read_dir(server.path("balanced")).unwrap().map(|entry| entry.unwrap().path());
        let journal = journals.find(|path| path.is_file()).unwrap();
        let text = fs::read_to_string(&journal).unwrap();
        fs::write(&journal, text.split_inclusive('\n').take(left).collect::<String>()).unwrap();
        if left < 2 {
            // Nobody can tell whose it is, but the administrator may know.
            let findings = recover(&server.repository, Asked::ByPush).unwrap();
            assert!(matches!(&findings[..], [only] if matches!(only.outcome, Outcome::Foreign(_))), "{findings:?}");
        }
        let findings = recover(&server.repository, Asked::ByName).unwrap();
        assert!(matches!(&findings[..], [only] if only.outcome == Outcome::Undone), "{left}: {findings:?}");
        server.check_clean();
    }
}

#[test]
fn locks_of_git_are_not_recovered() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = killed_when_locked(&strace);
    fs::remove_file(server.path("refs/heads/loose.lock")).unwrap();
    fs::write(server.path("refs/heads/loose.lock"), "").unwrap();
    recover(&server.repository, Asked::ByPush).unwrap();
    assert!(server.path("refs/heads/loose.lock").exists());
    fs::remove_file(server.path("refs/heads/loose.lock")).unwrap();
    server.check_clean();
}
