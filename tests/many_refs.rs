//! Many refs created by one push: what stands in the repository meanwhile, what others may do beside it, and what is left.

pub mod support;

use std::{fs, os::unix::fs::MetadataExt};

use balanced_receive_pack::{
    objects::database::Database,
    refs::transaction::{Edit, Mode, Prepared, Queued},
};
use support::{
    balanced::{Balanced, EVERY_KIND, Pushed, is_of_a_transaction},
    in_process::Server,
    optional_program, ours,
};

/// Enough for one rewrite of packed-refs.
const MANY: usize = 120;

/// Creations of many refs whose names start so.
fn below(server: &Server, start: &str) -> Vec<Edit> {
    (0..MANY).map(|number| server.edit(&format!("{start}{number}"), None, Some(1))).collect()
}

fn prepare<'a>(server: &'a Server, database: &'a Database, mode: Mode, edits: Vec<Edit>) -> Prepared<'a> {
    let queued = Queued::new(&server.repository, &server.config, &server.interrupts, edits).unwrap();
    queued.prepare(database, mode, None).unwrap()
}

/// What stands below refs/ that is no directory.
fn marks(server: &Server) -> Vec<String> {
    server.listing().into_keys().filter(|path| path.starts_with("refs/") && !path.ends_with('/')).collect()
}

#[test]
fn a_new_directory_is_kept_by_one_lock_and_one_guard() {
    for mode in [Mode::AllOrNone, Mode::EachAlone] {
        let server = Server::make();
        let database = Database::open(&server.repository).unwrap();
        let before = server.listing();
        let edits = [below(&server, "refs/heads/new/deep/"), below(&server, "refs/pull/")].concat();
        let prepared = prepare(&server, &database, mode, edits.clone());
        assert_eq!(marks(&server), ["refs/heads/new", "refs/heads/new.lock", "refs/pull", "refs/pull.lock"]);
        assert_eq!(server.refs(), Vec::<String>::new());
        server.git(&["refs", "verify"]);
        server.git(&["fsck"]);
        let value = server.commits[2].to_string();
        for name in ["refs/heads/new", "refs/heads/new/deep", "refs/heads/new/deep/7", "refs/heads/new/deep/7/a"] {
            server.git_fails(&["update-ref", name, &value]);
        }
        server.git_fails(&["update-ref", "refs/pull/x", &value]);
        server.git(&["update-ref", "refs/heads/newer", &value]);
        server.git(&["update-ref", "-d", "refs/heads/newer"]);
        drop(prepared);
        assert_eq!(server.listing(), before);
        server.succeed(mode, edits);
        assert_eq!(server.refs().len(), 2 * MANY);
        assert_eq!(marks(&server), Vec::<String>::new());
        server.succeed(mode, below(&server, "refs/heads/new/more/"));
        assert_eq!(server.refs().len(), 3 * MANY);
    }
}

#[test]
fn all_marks_of_a_push_are_one_file() {
    let server = Server::make();
    let database = Database::open(&server.repository).unwrap();
    let prepared = prepare(&server, &database, Mode::AllOrNone, below(&server, "refs/heads/b"));
    let marks = marks(&server);
    assert_eq!(marks.len(), 2 * MANY);
    let inodes: std::collections::BTreeSet<u64> =
        marks.iter().map(|mark| server.path(mark).symlink_metadata().unwrap().ino()).collect();
    assert_eq!(inodes.len(), 1);
    drop(prepared);
}

#[test]
fn a_directory_that_has_refs_is_not_kept_from_others() {
    let server = Server::make();
    let database = Database::open(&server.repository).unwrap();
    for name in ["packed/old", "loose/old"] {
        server.set(&format!("refs/heads/{name}"), 0);
        if name.starts_with("packed") {
            server.git(&["pack-refs", "--all"]);
        }
    }
    fs::create_dir_all(server.path("refs/heads/empty/empty")).unwrap();
    assert!(!server.path("refs/heads/packed").exists());
    let edits = ["packed", "loose", "empty"].map(|name| below(&server, &format!("refs/heads/{name}/")));
    let prepared = prepare(&server, &database, Mode::AllOrNone, edits.concat());
    for name in ["packed", "loose", "empty"] {
        server.set(&format!("refs/heads/{name}/old"), 3);
        server.git_fails(&["update-ref", &format!("refs/heads/{name}/17"), "HEAD"]);
    }
    assert_eq!(prepared.commit().unwrap().complaints, Vec::<String>::new());
    assert_eq!(server.refs().len(), 3 * MANY + 3);
    server.check_clean();
}

#[test]
fn another_push_into_a_directory_that_is_being_made_waits() {
    let mut server = Server::make();
    server.config.ref_lock_timeout = None;
    let database = Database::open(&server.repository).unwrap();
    let prepared = prepare(&server, &database, Mode::AllOrNone, below(&server, "refs/heads/new/"));
    std::thread::scope(|scope| {
        let one = scope
            .spawn(|| server.succeed_beside(Mode::EachAlone, vec![server.edit("refs/heads/new/one", None, Some(2))]));
        let many = scope.spawn(|| server.succeed_beside(Mode::AllOrNone, below(&server, "refs/heads/new/more")));
        assert!(!one.is_finished() && !many.is_finished());
        prepared.commit().unwrap();
    });
    assert_eq!(server.refs().len(), 2 * MANY + 1);
    server.check_clean();
}

#[test]
fn names_that_exclude_each_other_in_a_new_directory_do_not_come_in_one_push() {
    for clash in ["refs/heads/new", "refs/heads/new/7/x"] {
        let server = Server::make();
        let before = server.listing();
        let edits = [below(&server, "refs/heads/new/"), vec![server.edit(clash, None, Some(0))]].concat();
        let aborted = server.commit(Mode::AllOrNone, edits.clone()).unwrap_err();
        assert!(aborted.message.ends_with(b"at the same time"), "{}", aborted.message);
        assert_eq!(server.listing(), before);
        let committed = server.commit(Mode::EachAlone, edits).unwrap();
        let done = committed.outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(server.refs().len(), done);
        assert!((1..=MANY).contains(&done), "{done}");
        server.check_clean();
    }
}

#[test]
fn the_refs_of_one_worktree_come_with_many_others() {
    for mode in [Mode::AllOrNone, Mode::EachAlone] {
        let server = Server::make();
        let mut edits = below(&server, "refs/heads/new/");
        edits.push(server.edit("refs/worktree/a", None, Some(2)));
        edits.push(server.edit("refs/bisect/bad", None, Some(3)));
        server.succeed(mode, edits);
        assert_eq!(server.git(&["rev-parse", "refs/worktree/a"]), server.commits[2].to_string());
        assert_eq!(server.git(&["rev-parse", "refs/bisect/bad"]), server.commits[3].to_string());
    }
}

#[test]
fn the_last_one_left_of_many_is_created() {
    let server = Server::make();
    let edits = below(&server, "refs/heads/old-");
    server.succeed(Mode::AllOrNone, edits.clone());
    let committed =
        server.commit(Mode::EachAlone, [edits, vec![server.edit("refs/heads/new/a", None, Some(2))]].concat());
    let done: Vec<bool> = committed.unwrap().outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(done.iter().position(|done| *done), Some(MANY));
    assert_eq!(server.git(&["rev-parse", "refs/heads/new/a"]), server.commits[2].to_string());
    server.check_clean();
}

#[test]
fn many_updates_leave_refs_without_a_file_so_and_others_with_one() {
    for mode in [Mode::AllOrNone, Mode::EachAlone] {
        let server = Server::make();
        server.succeed(mode, below(&server, "refs/heads/b"));
        server.set("refs/heads/b7", 2);
        server.git(&["symbolic-ref", "refs/heads/b8", "refs/heads/b9"]);
        let update = |number: usize| (format!("refs/heads/b{number}"), if number == 7 { 2 } else { 1 });
        let mut edits: Vec<_> = (0..MANY)
            .filter(|number| *number != 8)
            .map(update)
            .map(|(name, old)| server.edit(&name, Some(old), Some(old + 1)))
            .collect();
        edits.push(server.edit("refs/heads/new/one", None, Some(4)));
        edits.push(server.edit("refs/worktree/a", None, Some(5)));
        server.succeed(mode, edits);
        let loose: Vec<_> = marks(&server).into_iter().filter(|path| !path.contains("/new/")).collect();
        assert_eq!(loose, ["refs/heads/b7", "refs/heads/b8", "refs/worktree/a"]);
        assert_eq!(server.git(&["rev-parse", "refs/heads/b7"]), server.commits[3].to_string());
        for name in ["refs/heads/b0", "refs/heads/b8", "refs/heads/b9"] {
            assert_eq!(server.git(&["rev-parse", name]), server.commits[2].to_string(), "{name}");
        }
        assert_eq!(server.git(&["symbolic-ref", "refs/heads/b8"]), "refs/heads/b9");
    }
}

#[test]
fn of_many_updates_each_bad_one_is_refused_alone() {
    let server = Server::make();
    server.succeed(Mode::AllOrNone, below(&server, "refs/heads/b"));
    let mut edits: Vec<_> =
        (0..MANY).map(|number| server.edit(&format!("refs/heads/b{number}"), Some(1), Some(2))).collect();
    edits[3] = server.edit("refs/heads/b3", Some(4), Some(2));
    edits[5] = server.edit("refs/heads/none", Some(1), Some(2));
    let committed = server.commit(Mode::EachAlone, edits.clone()).unwrap();
    let bad: Vec<_> = (0..MANY).filter(|index| committed.outcomes[*index].is_err()).collect();
    assert_eq!(bad, [3, 5]);
    let refs = server.refs();
    assert!(refs.contains(&server.line("refs/heads/b3", 1)) && refs.contains(&server.line("refs/heads/b5", 1)));
    assert_eq!(refs.iter().filter(|line| line.ends_with(&server.commits[2].to_string())).count(), MANY - 2);
    server.check_clean();
    let before = server.listing();
    server.commit(Mode::AllOrNone, edits).unwrap_err();
    assert_eq!(server.listing(), before);
}

#[test]
fn updates_of_refs_in_a_long_packed_refs_get_files() {
    let server = Server::make();
    let mut packed = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    let value = server.commits[1];
    (0..20_000).for_each(|number| packed += &format!("{value} refs/heads/b{number:05}/{:030}\n", 0));
    fs::write(server.path("packed-refs"), packed).unwrap();
    let was = server.path("packed-refs").metadata().unwrap().ino();
    let name = |number| format!("refs/heads/b{number:05}/{:030}", 0);
    server.succeed(Mode::EachAlone, (0..MANY).map(|number| server.edit(&name(number), Some(1), Some(2))).collect());
    assert_eq!(server.path("packed-refs").metadata().unwrap().ino(), was);
    assert_eq!(marks(&server).len(), MANY);
}

#[test]
fn git_packing_refs_in_a_loop_loses_none_of_many_updates() {
    let server = Server::make();
    server.succeed(Mode::AllOrNone, below(&server, "refs/heads/b"));
    let name = |number| format!("refs/heads/b{number}");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                server.scene.try_git("server.git", &["pack-refs", "--all", "--prune", "--auto"]);
            }
        });
        let mut values = vec![1; MANY];
        for round in 0..20 {
            // So that some have files, whatever the packer has done so far.
            for (number, value) in values.iter_mut().enumerate().skip(round).take(3) {
                let [old, new] = [*value, 5 - *value].map(|value| server.commits[value].to_string());
                if server.scene.try_git("server.git", &["update-ref", &name(number), &new, &old]).status.success() {
                    *value = 5 - *value;
                }
            }
            let mode = if round % 2 == 0 { Mode::EachAlone } else { Mode::AllOrNone };
            let edits = (0..MANY).map(|number| server.edit(&name(number), Some(values[number]), Some(round % 6)));
            if let Ok(committed) = server.commit(mode, edits.collect()) {
                for (value, outcome) in values.iter_mut().zip(committed.outcomes) {
                    if outcome.is_ok() {
                        *value = round % 6;
                    }
                }
            }
            let mut expected: Vec<_> = (0..MANY).map(|number| server.line(&name(number), values[number])).collect();
            expected.sort();
            assert_eq!(server.refs(), expected);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    server.check_clean();
}

#[test]
fn many_updates_that_are_killed_anywhere_are_all_old_or_all_new() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for voted in ["true", "false"] {
        let balanced = Balanced::with_hook("exit 0");
        let refspecs: Vec<_> = (0..MANY).map(|number| format!("next:refs/heads/many/{number}")).collect();
        for number in 0..MANY {
            balanced.scene.git("server.git", &["update-ref", &format!("refs/heads/many/{number}"), "refs/heads/main"]);
        }
        balanced.scene.git("server.git", &["pack-refs", "--all"]);
        balanced.scene.git("server.git", &["update-ref", "refs/heads/many/5", "refs/heads/old"]);
        balanced.scene.git("server.git", &["config", "receive.balancedAtomic", voted]);
        balanced.scene.save();
        let before = balanced.refs();
        let refspecs: Vec<_> = ["--force", "--atomic"].into_iter().chain(refspecs.iter().map(String::as_str)).collect();
        for (call, counts) in
            [("linkat", vec![1, 50]), ("rename", vec![1, 2, 3, 4, 5]), ("unlink", vec![1, 2, 3, 4, 5, 50, 110])]
        {
            for count in counts {
                balanced.scene.restore();
                let killed = format!("-f -e signal=none -o /dev/null -e inject={call}:signal=KILL:when={count}");
                let program = format!("{} -qqq {killed} {}", strace.display(), ours().display());
                if Pushed::of(balanced.start_push_through(&program, &refspecs)).accepted {
                    continue;
                }
                let (exit, printed) = balanced.recover();
                assert_eq!(exit, 0, "{call} {count}: {printed}");
                let refs = balanced.refs();
                let new = refs.lines().filter(|line| line.contains(&balanced.theirs("next"))).count();
                assert!(refs == before || new >= MANY, "{call} {count}: {refs}");
                let left = |path: &String| is_of_a_transaction(path) && !path.starts_with("objects/tmp_objdir-");
                assert_eq!(balanced.listing().into_keys().filter(left).collect::<Vec<_>>(), Vec::<String>::new());
            }
        }
    }
}

#[test]
fn a_file_system_that_gives_no_second_names_will_do() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    for error in ["EMLINK:when=3", "EMLINK:when=1+2", "EPERM", "EXDEV", "ENOENT:when=2"] {
        let balanced = Balanced::new();
        // So that the new objects come as a pack, whose files need no second names.
        balanced.config("receive.unpackLimit", "1");
        let calls = format!("-e signal=none -e trace=linkat -e inject=linkat:error={error}");
        let program = format!("{} -qqq -o /dev/null {calls} {}", strace.display(), ours().display());
        let refspecs = [&EVERY_KIND[..], &["next:refs/heads/x/a", "next:refs/heads/x/b"]].concat();
        Pushed::of(balanced.start_push_through(&program, &refspecs)).expect_yes();
        assert_eq!(balanced.value("x/b"), balanced.theirs("next"), "{error}");
        balanced.check_clean();
    }
}

#[test]
fn what_a_killed_push_left_of_a_new_directory_is_removed() {
    let Some(strace) = optional_program("strace", "strace") else { return };
    let balanced = Balanced::new();
    balanced.scene.git("server.git", &["config", "receive.balancedAtomic", "false"]);
    balanced.scene.save();
    let refspecs: Vec<_> = (0..MANY).map(|number| format!("next:refs/heads/new/{number}")).collect();
    let refspecs: Vec<_> = ["--atomic"].into_iter().chain(refspecs.iter().map(String::as_str)).collect();
    let before = balanced.refs();
    for call in ["symlink", "linkat", "rename", "unlink"] {
        for count in 1.. {
            balanced.scene.restore();
            let killed = format!("-e signal=none -o /dev/null -e inject={call}:signal=KILL:when={count}");
            let program = format!("{} -qqq {killed} {}", strace.display(), ours().display());
            if Pushed::of(balanced.start_push_through(&program, &refspecs)).accepted {
                assert!(count > 1, "{call} is not called");
                break;
            }
            let refs = balanced.refs();
            let (exit, printed) = balanced.recover();
            assert_eq!(exit, 0, "{call} {count}: {printed}");
            assert_eq!(balanced.refs(), refs);
            assert!(refs == before || refs.lines().count() == before.lines().count() + MANY, "{call} {count}: {refs}");
            let left = |path: &String| is_of_a_transaction(path) && !path.starts_with("objects/tmp_objdir-");
            assert_eq!(balanced.listing().into_keys().filter(left).collect::<Vec<_>>(), Vec::<String>::new());
            assert!(!balanced.path("server.git/refs/heads/new").is_symlink());
        }
    }
}
