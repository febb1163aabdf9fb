//! What a process that was killed in the middle of a transaction leaves, and what recovery makes of it.

pub mod support;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus},
};

use balanced_receive_pack::{
    balanced::{
        recover::{Asked, Finding, Outcome, Parties, Recovery, Verdict},
        transaction_id::TransactionId,
    },
    config::{Config, LogRefs, Settings},
    interrupt::Interrupts,
    objects::database::Database,
    refs::transaction::{Edit, Mode, Queued},
    repository::Repository,
};
use gix::ObjectId;
use support::{
    in_process::{Server, repository},
    optional_program,
};

/// Where [`the_push_that_others_kill`] finds its repository, and its edits: `<name> <old> <new>` lines.
const REPOSITORY: &str = "KILLED_PUSH_REPOSITORY";
const EDITS: &str = "KILLED_PUSH_EDITS";
/// Set if it is to settle what others left, rather than push.
const RECOVER: &str = "KILLED_PUSH_RECOVERS";
/// Set if nothing is to be synced.
const UNSYNCED: &str = "KILLED_PUSH_DOES_NOT_SYNC";
/// Set if they are to be voted upon, with a yes.
const VOTE: &str = "KILLED_PUSH_VOTE";

/// Does nothing unless another test starts it as a process of its own.
#[test]
fn the_push_that_others_kill() {
    let Some(path) = std::env::var_os(REPOSITORY) else { return };
    if std::env::var_os(RECOVER).is_some() {
        recover(&repository(Path::new(&path)), Asked::Beside, Verdict::Yes);
        return;
    }
    let id = |hex: &str| ObjectId::from_hex(hex.as_bytes()).unwrap();
    let edits = std::env::var(EDITS).unwrap();
    let edits = edits.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let edits = edits.map(|line| Edit { name: line[0].into(), old: Some(id(line[1])), new: id(line[2]) }).collect();
    let repository = repository(Path::new(&path));
    let mut config = Config::new(Settings::default(), true).unwrap();
    if std::env::var_os(UNSYNCED).is_some() {
        config.fsync.packs = false;
        config.fsync.pack_metadata = false;
    }
    let interrupts = Interrupts::default();
    let database = Database::open(&repository).unwrap();
    if std::env::var_os(VOTE).is_some() {
        config.log_all_ref_updates = LogRefs::Usual;
        let queued = Queued::new(&repository, &config, &interrupts, edits).unwrap();
        let prepared = queued.prepare_for_vote(&database, TransactionId::new(), None).unwrap();
        let settled = prepared.open_vote(None, &[], &[]).unwrap().decide().unwrap().commit(&|| {}).unwrap();
        assert!(settled.told().outcomes.iter().all(Result::is_ok));
        return;
    }
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
fn push_under_strace(strace: &Path, injection: &str, server: &Server, edits: &[Edit], vote: bool) -> ExitStatus {
    let mut command = under_strace(strace, injection, server);
    let lines = edits.iter().map(|edit| format!("{} {} {}\n", edit.name, edit.old.unwrap(), edit.new));
    command.env(EDITS, lines.collect::<String>());
    if vote {
        command.env(VOTE, "1");
    }
    command.output().unwrap().status
}

fn under_strace(strace: &Path, injection: &str, server: &Server) -> Command {
    let mut command = Command::new(strace);
    command.args(["-f", "-qqq", "-e", injection, "-o"]).arg(server.scene.path("strace.log"));
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "the_push_that_others_kill"]);
    command.env(REPOSITORY, &server.repository.git_dir);
    command
}

/// Settle what dead ones left; with what `tell` heard.
fn recover(repository: &Repository, asked: Asked, verdict: Verdict) -> (Vec<Finding>, Vec<bool>) {
    let config = Config::new(Settings::default(), true).unwrap();
    let interrupts = Interrupts::default();
    let mut told = Vec::new();
    let mut parties = Parties {
        ask: &mut |_| verdict,
        bring_in: &mut |_, path| panic!("there is no {}", path.display()),
        find_objects: &mut |_| Ok(()),
        clear: &mut |_, path| panic!("there is no {}", path.display()),
        tell: &mut |_, committed| told.push(committed),
    };
    let findings = Recovery { repository, config: &config, interrupts: &interrupts, asked }.run(&mut parties).unwrap();
    (findings, told)
}

const CALLS: [&str; 10] =
    ["openat", "write", "rename", "unlink", "unlinkat", "mkdir", "rmdir", "symlink", "fsync", "flock"];

#[test]
fn a_push_killed_at_any_change_of_a_file_leaves_all_old_or_all_new_and_nothing_else() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = with_five_refs();
    let (before, edits) = (server.refs(), five_edits(&server));
    server.scene.save();
    server.succeed(Mode::AllOrNone, edits.clone());
    let after = server.refs();
    let (mut undone, mut done) = (0, 0);
    for call in CALLS {
        for count in 1.. {
            server.scene.restore();
            let injection = format!("inject={call}:signal=KILL:when={count}");
            let status = push_under_strace(&strace, &injection, &server, &edits, false);
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
            let (findings, told) = recover(&server.repository, Asked::Beside, Verdict::Unknown);
            assert!(findings.iter().all(|finding| finding.outcome == Outcome::Undone));
            assert_eq!(told, []);
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
fn a_vote_whose_process_is_killed_ends_as_the_last_word_on_it_was() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = with_five_refs();
    let (before, edits) = (server.refs(), five_edits(&server));
    server.scene.save();
    server.succeed(Mode::AllOrNone, edits.clone());
    let after = server.refs();
    let (mut rolled_back, mut carried_out, mut undone, mut in_doubt) = (0, 0, 0, 0);
    for call in CALLS {
        for count in 1.. {
            server.scene.restore();
            let injection = format!("inject={call}:signal=KILL:when={count}");
            let status = push_under_strace(&strace, &injection, &server, &edits, true);
            if status.signal().is_none() {
                assert!(status.success());
                break;
            }
            let refs = server.refs();
            assert!(refs == before || refs == after, "killed at {call} {count}: {refs:#?}");
            // Nobody knows at first, and what was asked stays as it is.
            let held = server.listing();
            let (findings, told) = recover(&server.repository, Asked::Beside, Verdict::Unknown);
            if findings.iter().any(|finding| finding.outcome == Outcome::InDoubt) {
                in_doubt += 1;
                assert_eq!(server.listing(), held);
                assert_eq!(told, []);
            }
            let verdict = if in_doubt % 2 == 0 { Verdict::Yes } else { Verdict::No };
            let (more, told_more) = recover(&server.repository, Asked::Beside, verdict);
            let outcome = findings.into_iter().chain(more).next_back().map(|finding| finding.outcome);
            let told = [told, told_more].concat();
            let refs_now = server.refs();
            let place = format!("{call} {count}: {outcome:?}");
            match outcome {
                Some(Outcome::CarriedOut) => {
                    carried_out += 1;
                    assert_eq!(refs_now, after, "{place}");
                }
                Some(Outcome::RolledBack) => {
                    rolled_back += 1;
                    assert_eq!((refs_now.clone(), told), (before.clone(), vec![false]), "{place}");
                }
                Some(Outcome::Undone) | None => {
                    undone += 1;
                    assert_eq!(refs_now, refs, "{place}");
                }
                other => panic!("{call} {count}: {other:?}"),
            }
            // One line a change, neither lost nor doubled.
            let lines = fs::read_to_string(server.path("logs/refs/heads/loose")).map_or(0, |text| text.lines().count());
            assert_eq!(lines, usize::from(refs_now == after), "{place}");
            server.check_clean();
        }
    }
    let counts = [rolled_back, carried_out, undone];
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn a_recovery_that_is_killed_is_finished_by_the_next() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let mut server = with_five_refs();
    server.config.log_all_ref_updates = LogRefs::Usual;
    let (before, edits) = (server.refs(), five_edits(&server));
    server.scene.save();
    server.succeed(Mode::AllOrNone, edits.clone());
    let after = server.refs();
    let mut killed = 0;
    for call in CALLS {
        for count in 1.. {
            server.scene.restore();
            let database = Database::open(&server.repository).unwrap();
            let queued = Queued::new(&server.repository, &server.config, &server.interrupts, edits.clone()).unwrap();
            let prepared = queued.prepare_for_vote(&database, TransactionId::new(), None).unwrap();
            drop(prepared.open_vote(None, &[], &[]).unwrap().decide().unwrap());
            let injection = format!("inject={call}:signal=KILL:when={count}");
            let status = under_strace(&strace, &injection, &server).env(RECOVER, "1").output().unwrap().status;
            let place = format!("{call} {count}");
            let refs = server.refs();
            assert!(refs == before || refs == after, "{place}: {refs:#?}");
            let (findings, _) = recover(&server.repository, Asked::Beside, Verdict::Unknown);
            assert!(findings.iter().all(|finding| finding.outcome == Outcome::CarriedOut), "{place}: {findings:?}");
            assert_eq!(server.refs(), after, "{place}");
            let lines = fs::read_to_string(server.path("logs/refs/heads/loose")).unwrap().lines().count();
            assert_eq!(lines, 1, "{place}");
            server.check_clean();
            if status.signal().is_none() {
                assert!(status.success());
                break;
            }
            killed += 1;
        }
    }
    assert!(killed > 30, "{killed}");
}

/// What the edits of a push have made of the refs, if it was killed right after packed-refs was renamed.
fn killed_when_renamed(strace: &Path, server: &Server, edits: &[Edit]) -> bool {
    for count in 1.. {
        server.scene.restore();
        let status = push_under_strace(strace, &format!("inject=unlink:signal=KILL:when={count}"), server, edits, true);
        if status.signal().is_none() {
            return false;
        }
        let packed = fs::read_to_string(server.path("packed-refs")).unwrap_or_default();
        if edits.iter().all(|edit| packed.contains(&edit.name.to_string())) {
            return true;
        }
    }
    false
}

#[test]
fn refs_that_are_to_be_packed_alone_get_no_loose_file_from_recovery_either() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = Server::make();
    server.scene.save();
    let edits: Vec<_> = (0..120).map(|number| server.edit(&format!("refs/heads/{number}"), None, Some(5))).collect();
    assert!(killed_when_renamed(&strace, &server, &edits));
    let (findings, _) = recover(&server.repository, Asked::ByName, Verdict::Unknown);
    assert!(matches!(&findings[..], [only] if only.outcome == Outcome::CarriedOut), "{findings:?}");
    assert_eq!(server.refs().len(), 120);
    assert_eq!(fs::read_dir(server.path("refs/heads")).unwrap().count(), 0);
    server.check_clean();
}

#[test]
fn a_call_that_fails_refuses_all_or_nothing() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = with_five_refs();
    let (before, edits) = (server.refs(), five_edits(&server));
    server.scene.save();
    server.succeed(Mode::AllOrNone, edits.clone());
    let after = server.refs();
    let (mut refused, mut accepted) = (0, 0);
    for call in ["fsync", "fdatasync", "rename", "symlink"] {
        for vote in [false, true] {
            for count in 1.. {
                server.scene.restore();
                let injection = format!("inject={call}:error=EIO:when={count}");
                let status = push_under_strace(&strace, &injection, &server, &edits, vote);
                let place = format!("{call} {count} {vote}");
                let refs = server.refs();
                assert!(refs == before || refs == after, "{place}: {refs:#?}");
                let (findings, _) = recover(&server.repository, Asked::ByName, Verdict::No);
                match findings.first().map(|finding| &finding.outcome) {
                    None => assert_eq!(status.success(), refs == after, "{place}"),
                    // Nothing was said yet.
                    Some(_) => assert!(!status.success(), "{place}: {findings:?}"),
                }
                if !fs::read_to_string(server.scene.path("strace.log")).unwrap().contains("(INJECTED)") {
                    assert!(status.success());
                    break;
                }
                server.check_clean();
                match status.success() {
                    true => accepted += 1,
                    false => refused += 1,
                }
            }
        }
    }
    assert!(refused > 20 && accepted > 0, "{refused} and {accepted}");
}

#[test]
fn a_vote_of_one_ref_commits_by_its_loose_file() {
    let server = with_five_refs();
    let database = Database::open(&server.repository).unwrap();
    let packed = fs::read(server.path("packed-refs")).unwrap();
    for (name, old) in [("refs/heads/packed", Some(0)), ("refs/heads/brand/new", None), ("refs/heads/loose", Some(1))] {
        let edits = vec![server.edit(name, old, Some(5))];
        let queued = Queued::new(&server.repository, &server.config, &server.interrupts, edits).unwrap();
        let prepared = queued.prepare_for_vote(&database, TransactionId::new(), None).unwrap();
        let voting = prepared.open_vote(None, &[], &[]).unwrap();
        assert_eq!(voting.updates().len(), 1);
        voting.decide().unwrap().commit(&|| {}).unwrap().told();
        assert!(server.refs().contains(&server.line(name, 5)));
        assert_eq!(fs::read(server.path("packed-refs")).unwrap(), packed);
        server.check_clean();
    }
}

#[test]
fn a_no_leaves_no_trace() {
    let server = with_five_refs();
    let before = server.listing();
    let database = Database::open(&server.repository).unwrap();
    let queued = Queued::new(&server.repository, &server.config, &server.interrupts, five_edits(&server)).unwrap();
    let prepared = queued.prepare_for_vote(&database, TransactionId::new(), None).unwrap();
    let voting = prepared.open_vote(None, &[], &[]).unwrap();
    assert_eq!(server.git(&["rev-parse", "refs/heads/gone"]), server.commits[0].to_string());
    drop(voting);
    assert_eq!(server.listing(), before);
}

#[test]
fn a_decision_that_is_dropped_is_left_for_recovery() {
    let server = with_five_refs();
    let database = Database::open(&server.repository).unwrap();
    let queued = Queued::new(&server.repository, &server.config, &server.interrupts, five_edits(&server)).unwrap();
    let prepared = queued.prepare_for_vote(&database, TransactionId::new(), None).unwrap();
    drop(prepared.open_vote(None, &[], &[]).unwrap().decide().unwrap());
    let (findings, told) = recover(&server.repository, Asked::Beside, Verdict::Unknown);
    assert!(matches!(&findings[..], [only] if only.outcome == Outcome::CarriedOut), "{findings:?}");
    assert_eq!(told, [true]);
    assert!(server.refs().contains(&server.line("refs/heads/new", 5)));
    server.check_clean();
}

#[test]
fn a_reader_of_loose_refs_has_time_to_reach_packed_refs_before_it_changes() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let server = with_five_refs();
    let trace = server.scene.path("trace");
    let mut command = Command::new(strace);
    command.args(["-f", "-ttt", "-e", "trace=unlink,rename", "-o"]).arg(&trace);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "the_push_that_others_kill"]);
    let lines = five_edits(&server).into_iter();
    let lines = lines.map(|edit| format!("{} {} {}\n", edit.name, edit.old.unwrap(), edit.new));
    command.env(REPOSITORY, &server.repository.git_dir).env(EDITS, lines.collect::<String>()).env(UNSYNCED, "1");
    assert!(command.output().unwrap().status.success());
    let trace = fs::read_to_string(trace).unwrap();
    let time_of_last = |what: &[&str]| {
        let line = trace.lines().rfind(|line| what.iter().all(|part| line.contains(part))).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    // Of the refs that had a loose file: guards and locks go later.
    let gone = time_of_last(&["unlink(", "refs/heads/loose\""]);
    let changed = time_of_last(&["rename(", "/packed-refs\")"]);
    assert!(changed - gone >= 0.003, "{trace}");
}

#[test]
fn where_links_or_locks_do_not_work_an_ordinary_push_is_made_as_git_does() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for injection in ["inject=symlink:error=EPERM", "inject=flock:error=EOPNOTSUPP"] {
        let server = with_five_refs();
        let edits = five_edits(&server);
        assert!(push_under_strace(&strace, injection, &server, &edits, false).success());
        let expected = [("deep/in/here", 5), ("loose", 5), ("new", 5), ("packed", 5)];
        assert_eq!(server.refs(), expected.map(|(name, commit)| server.line(&format!("refs/heads/{name}"), commit)));
        server.check_clean();
        // What cannot be promised is refused before anything happens.
        let before = server.listing();
        let next = [server.edit("refs/heads/new", Some(5), Some(0))];
        assert!(!push_under_strace(&strace, injection, &server, &next, true).success());
        assert_eq!(server.listing(), before);
    }
}

#[test]
fn what_a_living_push_holds_stays() {
    let server = with_five_refs();
    let database = Database::open(&server.repository).unwrap();
    let queued = Queued::new(&server.repository, &server.config, &server.interrupts, five_edits(&server)).unwrap();
    let prepared = queued.prepare(&database, Mode::AllOrNone, None).unwrap();
    let held = server.listing();
    for asked in [Asked::Beside, Asked::ByName] {
        let findings = recover(&server.repository, asked, Verdict::Yes).0;
        assert!(matches!(&findings[..], [only] if only.outcome == Outcome::Busy), "{findings:?}");
        assert_eq!(server.listing(), held);
    }
    prepared.commit().unwrap();
    assert_eq!(recover(&server.repository, Asked::ByName, Verdict::Yes).0, []);
    server.check_clean();
}

/// A repository with what a push that was killed after it had locked everything left.
fn killed_when_locked(strace: &Path) -> Server {
    let server = with_five_refs();
    let status = push_under_strace(strace, "inject=rename:signal=KILL:when=2", &server, &five_edits(&server), false);
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
    let findings = recover(&there, Asked::Beside, Verdict::Unknown).0;
    assert!(matches!(&findings[..], [only] if matches!(only.outcome, Outcome::Foreign(_))), "{findings:?}");
    assert!(copy.join("balanced").exists());
    let findings = recover(&there, Asked::ByName, Verdict::Unknown).0;
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
            let findings = recover(&server.repository, Asked::Beside, Verdict::Unknown).0;
            assert!(matches!(&findings[..], [only] if matches!(only.outcome, Outcome::Foreign(_))), "{findings:?}");
        }
        let findings = recover(&server.repository, Asked::ByName, Verdict::Unknown).0;
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
    recover(&server.repository, Asked::Beside, Verdict::Unknown);
    assert!(server.path("refs/heads/loose.lock").exists());
    fs::remove_file(server.path("refs/heads/loose.lock")).unwrap();
    server.check_clean();
}
