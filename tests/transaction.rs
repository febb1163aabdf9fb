//! The ref transaction, called through the library; git makes the repositories, reads what came of it, and writes beside it.

pub mod support;

use std::{fs, os::unix::fs::MetadataExt, sync::Mutex};

use balanced_receive_pack::{
    config::LogRefs,
    objects::database::Database,
    refs::transaction::{Edit, Mode, Phase, Queued},
};
use bstr::BStr;
use gix::ObjectId;
use support::in_process::Server;

#[test]
fn a_single_ref_is_created_updated_and_deleted() {
    for mode in [Mode::EachAlone, Mode::AllOrNone] {
        let server = Server::make();
        let before = server.listing();
        server.succeed(mode, vec![server.edit("refs/heads/topic/a", None, Some(0))]);
        assert_eq!(server.refs(), [server.line("refs/heads/topic/a", 0)]);
        server.succeed(mode, vec![server.edit("refs/heads/topic/a", Some(0), Some(1))]);
        assert_eq!(server.refs(), [server.line("refs/heads/topic/a", 1)]);
        server.succeed(mode, vec![server.edit("refs/heads/topic/a", Some(1), None)]);
        assert_eq!(server.listing(), before);
    }
}

#[test]
fn several_refs_of_every_kind_change_together() {
    let server = Server::make();
    server.set("refs/heads/packed", 0);
    server.set("refs/heads/gone-packed", 0);
    server.git(&["pack-refs", "--all"]);
    server.set("refs/heads/loose", 1);
    server.set("refs/heads/both", 1);
    server.git(&["pack-refs", "--all", "--no-prune"]);
    server.set("refs/heads/both", 2);
    server.set("refs/heads/gone/loose", 2);
    server.set("refs/heads/stays", 3);
    server.succeed(
        Mode::AllOrNone,
        vec![
            server.edit("refs/heads/stays", Some(3), Some(3)),
            server.edit("refs/heads/packed", Some(0), Some(5)),
            server.edit("refs/heads/loose", Some(1), Some(5)),
            server.edit("refs/heads/both", Some(2), Some(5)),
            server.edit("refs/heads/gone-packed", Some(0), None),
            server.edit("refs/heads/gone/loose", Some(2), None),
            server.edit("refs/heads/new/deep/er", None, Some(4)),
        ],
    );
    let expected = [("both", 5), ("loose", 5), ("new/deep/er", 4), ("packed", 5), ("stays", 3)];
    assert_eq!(server.refs(), expected.map(|(name, commit)| server.line(&format!("refs/heads/{name}"), commit)));
    // git pack-refs may write what it read before: it must find a loose file for each.
    for (name, commit) in expected {
        let loose = fs::read_to_string(server.path(&format!("refs/heads/{name}"))).unwrap();
        assert_eq!(loose, format!("{}\n", server.commits[commit]));
    }
    assert!(!server.path("refs/heads/gone").exists());
}

#[test]
fn a_name_is_bytes_and_not_text() {
    for mode in [Mode::EachAlone, Mode::AllOrNone] {
        let mut server = Server::make();
        server.config.log_all_ref_updates = LogRefs::Usual;
        let name = b"refs/heads/caf\xe9";
        let edit = |old, new| Edit { name: name[..].into(), ..server.edit("", old, new) };
        server.succeed(mode, vec![edit(None, Some(0)), server.edit("refs/heads/a", None, Some(0))]);
        server.succeed(mode, vec![edit(Some(0), Some(1)), server.edit("refs/heads/a", Some(0), Some(1))]);
        let output = server.scene.feed("server.git", &["for-each-ref", "--format=%(refname)"], b"");
        assert_eq!(output, [b"refs/heads/a\n", &name[..], b"\n"].concat());
        assert_eq!(fs::read_dir(server.path("logs/refs/heads")).unwrap().count(), 2);
    }
}

#[test]
fn each_bad_edit_is_refused_in_the_words_of_the_report() {
    let server = Server::make();
    server.set("refs/heads/main", 1);
    server.set("refs/heads/packed/ref", 1);
    server.git(&["pack-refs", "--all"]);
    server.set("refs/heads/loose/ref", 1);
    fs::write(server.path("refs/heads/broken"), "rubbish\n").unwrap();
    let [c0, c1] = [server.commits[0], server.commits[1]];
    let blob = ObjectId::from_hex(b"ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
    server.scene.feed("server.git", &["hash-object", "-w", "--stdin"], b"hello\n");
    let missing = ObjectId::from_hex(&[b'1'; 40]).unwrap();
    let to = |name: &str, new| Edit { name: name.into(), old: Some(server.repository.hash.null()), new };
    let cases = [
        (server.edit("refs/heads/main", Some(0), Some(2)), "incorrect old value provided", format!("cannot lock ref 'refs/heads/main': is at {c1} but expected {c0}")),
        (server.edit("refs/heads/main", Some(0), None), "incorrect old value provided", format!("cannot lock ref 'refs/heads/main': is at {c1} but expected {c0}")),
        (server.edit("refs/heads/main", None, Some(2)), "reference already exists", "cannot lock ref 'refs/heads/main': reference already exists".into()),
        (server.edit("refs/heads/none", Some(0), Some(2)), "reference does not exist", "cannot lock ref 'refs/heads/none': unable to resolve reference 'refs/heads/none'".into()),
        (server.edit("refs/heads/none", Some(0), None), "reference does not exist", "cannot lock ref 'refs/heads/none': unable to resolve reference 'refs/heads/none'".into()),
        (server.edit("refs/heads/packed/ref/x", Some(0), Some(1)), "reference does not exist", "cannot lock ref 'refs/heads/packed/ref/x': unable to resolve reference 'refs/heads/packed/ref/x'".into()),
        (server.edit("refs/heads/loose/ref/x", Some(0), Some(1)), "reference does not exist", "cannot lock ref 'refs/heads/loose/ref/x': unable to resolve reference 'refs/heads/loose/ref/x'".into()),
        (server.edit("refs/heads/loose/ref/x", None, Some(1)), "refname conflict", "cannot lock ref 'refs/heads/loose/ref/x': 'refs/heads/loose/ref' exists; cannot create 'refs/heads/loose/ref/x'".into()),
        (server.edit("refs/heads/loose", None, Some(1)), "refname conflict", "cannot lock ref 'refs/heads/loose': 'refs/heads/loose/ref' exists; cannot create 'refs/heads/loose'".into()),
        (server.edit("refs/heads/packed/ref/x", None, Some(1)), "refname conflict", "'refs/heads/packed/ref' exists; cannot create 'refs/heads/packed/ref/x'".into()),
        (server.edit("refs/heads/packed", None, Some(1)), "refname conflict", "'refs/heads/packed/ref' exists; cannot create 'refs/heads/packed'".into()),
        (to("refs/heads/blob", blob), "invalid new value provided", format!("trying to write non-commit object {blob} to branch 'refs/heads/blob'")),
        (to("refs/x/missing", missing), "invalid new value provided", format!("trying to write ref 'refs/x/missing' with nonexistent object {missing}")),
        (server.edit("refs/heads/broken", None, Some(0)), "failed to update ref", "cannot lock ref 'refs/heads/broken': unable to resolve reference 'refs/heads/broken': reference broken".into()),
    ];
    for (edit, reason, message) in cases {
        assert_eq!(server.refused(edit), (reason.to_owned(), message));
    }
}

#[test]
fn a_bad_edit_does_not_hurt_its_neighbours_unless_all_or_none_was_asked() {
    let server = Server::make();
    server.set("refs/heads/a", 0);
    let edits = || {
        vec![
            server.edit("refs/heads/b", None, Some(1)),
            server.edit("refs/heads/a", Some(3), Some(1)),
            server.edit("refs/heads/c/d", None, Some(2)),
            server.edit("refs/heads/twice", None, Some(2)),
            server.edit("refs/heads/twice", None, Some(3)),
        ]
    };
    let before = server.listing();
    assert_eq!(
        server.commit(Mode::AllOrNone, edits()).unwrap_err().message,
        "multiple updates for ref 'refs/heads/twice' not allowed"
    );
    assert_eq!(server.listing(), before);
    let committed = server.commit(Mode::EachAlone, edits()).unwrap();
    let good: Vec<bool> = committed.outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true, false, false]);
    let expected =
        [("a", 0), ("b", 1), ("c/d", 2)].map(|(name, commit)| server.line(&format!("refs/heads/{name}"), commit));
    assert_eq!(server.refs(), expected);
    server.check_clean();
}

#[test]
fn names_that_exclude_each_other_do_not_come_in_one_push() {
    let server = Server::make();
    server.set("refs/heads/old", 0);
    let both = || vec![server.edit("refs/heads/a", None, Some(1)), server.edit("refs/heads/a/b", None, Some(1))];
    let before = server.listing();
    let message = "cannot process 'refs/heads/a' and 'refs/heads/a/b' at the same time";
    assert_eq!(server.commit(Mode::AllOrNone, both()).unwrap_err().message, message);
    assert_eq!(server.listing(), before);
    let replace = vec![server.edit("refs/heads/old", Some(0), None), server.edit("refs/heads/old/new", None, Some(0))];
    assert!(server.commit(Mode::AllOrNone, replace).is_err());
    assert_eq!(server.listing(), before);
    let outcomes = server.commit(Mode::EachAlone, both()).unwrap().outcomes;
    assert_eq!(outcomes[0].as_ref().unwrap_err().message, message);
    assert_eq!(outcomes[0].as_ref().unwrap_err().refusal.to_string(), "refname conflict");
    assert!(outcomes[1].is_ok());
    server.check_clean();
}

#[test]
fn a_deleted_directory_of_refs_makes_room_for_a_ref() {
    let server = Server::make();
    server.set("refs/heads/a/b/c", 0);
    server.set("refs/heads/p/q", 0);
    server.git(&["pack-refs", "--all", "--no-prune"]);
    fs::create_dir_all(server.path("refs/heads/empty/dirs")).unwrap();
    server.succeed(
        Mode::EachAlone,
        vec![server.edit("refs/heads/a/b/c", Some(0), None), server.edit("refs/heads/p/q", Some(0), None)],
    );
    assert_eq!(server.refs(), Vec::<String>::new());
    let new = ["a", "p", "empty"].map(|name| server.edit(&format!("refs/heads/{name}"), None, Some(1)));
    server.succeed(Mode::EachAlone, new.to_vec());
    assert_eq!(server.refs().len(), 3);
}

#[test]
fn what_is_prepared_bars_git_from_names_around_it_and_is_seen_by_nobody() {
    let server = Server::make();
    server.set("refs/heads/main", 0);
    let before = server.listing();
    let database = Database::open(&server.repository).unwrap();
    let edits = vec![server.edit("refs/heads/a", None, Some(1)), server.edit("refs/heads/main", Some(0), Some(1))];
    let queued = Queued::new(&server.repository, &server.config, &server.interrupts, edits).unwrap();
    let prepared = queued.prepare(&database, Mode::AllOrNone, None).unwrap();
    let null = server.repository.hash.null();
    let updates = [
        (null, server.commits[1], BStr::new("refs/heads/a")),
        (server.commits[0], server.commits[1], BStr::new("refs/heads/main")),
    ];
    assert_eq!(prepared.updates(), updates);
    assert_eq!(server.refs(), [server.line("refs/heads/main", 0)]);
    server.git(&["refs", "verify"]);
    server.git(&["fsck"]);
    let c2 = server.commits[2].to_string();
    for name in ["refs/heads/a/b", "refs/heads/a", "refs/heads/main"] {
        server.git_fails(&["update-ref", name, &c2]);
    }
    // Another push of ours is told, too; and one of other refs is not held up.
    let other = server.commit(
        Mode::AllOrNone,
        vec![server.edit("refs/heads/a/b", None, Some(1)), server.edit("refs/heads/z", None, Some(1))],
    );
    assert_eq!(
        other.unwrap_err().message,
        "cannot lock ref 'refs/heads/a/b': 'refs/heads/a' is being created; cannot create 'refs/heads/a/b'"
    );
    drop(prepared);
    assert_eq!(server.listing(), before);
}

#[test]
fn a_ref_is_not_created_below_one_that_somebody_is_about_to_create() {
    let server = Server::make();
    let lock = server.path("refs/heads/a.lock");
    fs::write(&lock, "").unwrap();
    let before = server.listing();
    let edits = ["a/b", "c"].map(|name| server.edit(&format!("refs/heads/{name}"), None, Some(0)));
    let aborted = server.commit(Mode::AllOrNone, edits.to_vec()).unwrap_err();
    assert_eq!(
        aborted.message,
        format!("cannot lock ref 'refs/heads/a/b': Unable to create '{}': File exists.", lock.display())
    );
    assert_eq!(server.listing(), before);
}

#[test]
fn a_lock_that_git_holds_is_waited_for_and_then_named() {
    let mut server = Server::make();
    server.set("refs/heads/main", 0);
    let lock = server.path("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let (reason, message) = server.refused(server.edit("refs/heads/main", Some(0), Some(1)));
    assert_eq!(reason, "failed to update ref");
    assert_eq!(
        message,
        format!("cannot lock ref 'refs/heads/main': Unable to create '{}': File exists.", lock.display())
    );
    server.config.ref_lock_timeout = None;
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| server.succeed(Mode::EachAlone, vec![server.edit("refs/heads/main", Some(0), Some(1))]));
        assert!(!waiting.is_finished());
        fs::remove_file(&lock).unwrap();
    });
    assert_eq!(server.refs(), [server.line("refs/heads/main", 1)]);
}

#[test]
fn a_held_packed_refs_lock_undoes_an_atomic_push() {
    let mut server = Server::make();
    server.config.packed_refs_timeout = Some(std::time::Duration::ZERO);
    server.set("refs/heads/main", 0);
    fs::write(server.path("packed-refs.lock"), "").unwrap();
    let before = server.listing();
    let edits = vec![server.edit("refs/heads/main", Some(0), Some(1)), server.edit("refs/heads/x/y", None, Some(1))];
    let aborted = server.commit(Mode::AllOrNone, edits).unwrap_err();
    assert_eq!(
        aborted.message,
        format!("Unable to create '{}': File exists.", server.path("packed-refs.lock").display())
    );
    assert_eq!(server.listing(), before);
}

#[test]
fn a_rewritten_packed_refs_never_has_the_size_of_the_one_before() {
    let server = Server::make();
    for name in ["a", "b"] {
        server.set(&format!("refs/heads/{name}"), 0);
    }
    server.git(&["pack-refs", "--all"]);
    let mut size = fs::metadata(server.path("packed-refs")).unwrap().size();
    let mut value = 0;
    for _ in 0..40 {
        let edits = ["a", "b"].map(|name| server.edit(&format!("refs/heads/{name}"), Some(value), Some(1 - value)));
        server.commit(Mode::AllOrNone, edits.to_vec()).unwrap();
        value = 1 - value;
        let now = fs::metadata(server.path("packed-refs")).unwrap().size();
        assert_ne!(now, size);
        size = now;
    }
    let text = fs::read_to_string(server.path("packed-refs")).unwrap();
    assert!(text.starts_with("# pack-refs with: peeled fully-peeled sorted "), "{text}");
    server.check_clean();
}

#[test]
fn the_header_claims_only_what_was_done() {
    let server = Server::make();
    let (c0, c1, tag) = (server.commits[0], server.commits[1], server.tag);
    let old = format!("{c1} refs/heads/z\n{tag} refs/tags/v1\n{c0} refs/heads/a\n{tag} refs/x/tag\n");
    fs::write(server.path("packed-refs"), &old).unwrap();
    let edits = || vec![server.edit("refs/heads/z", Some(1), Some(2)), server.edit("refs/heads/m", None, Some(0))];
    server.succeed(Mode::AllOrNone, edits());
    let text = fs::read_to_string(server.path("packed-refs")).unwrap();
    let (header, body) = text.split_once('\n').unwrap();
    assert_eq!(header.trim_end(), "# pack-refs with: peeled fully-peeled sorted");
    let c2 = server.commits[2];
    assert_eq!(
        body,
        format!(
            "{c0} refs/heads/a\n{c0} refs/heads/m\n{c2} refs/heads/z\n{tag} refs/tags/v1\n^{c0}\n{tag} refs/x/tag\n^{c0}\n"
        )
    );
    // What cannot be read cannot be peeled, so nobody may rely on it.
    let server = Server::make();
    let missing = "1".repeat(40);
    fs::write(server.path("packed-refs"), format!("{old}{missing} refs/x/missing\n")).unwrap();
    server.commit(Mode::AllOrNone, edits()).unwrap();
    let text = fs::read_to_string(server.path("packed-refs")).unwrap();
    assert_eq!(text.lines().next().unwrap().trim_end(), "# pack-refs with: sorted");
    assert!(text.contains(&format!("{missing} refs/x/missing\n")));
}

#[test]
fn packed_refs_may_be_a_symbolic_link() {
    let server = Server::make();
    server.set("refs/heads/a", 0);
    server.git(&["pack-refs", "--all"]);
    fs::create_dir(server.path("elsewhere")).unwrap();
    fs::rename(server.path("packed-refs"), server.path("elsewhere/refs")).unwrap();
    std::os::unix::fs::symlink("elsewhere/refs", server.path("packed-refs")).unwrap();
    server.succeed(
        Mode::AllOrNone,
        vec![server.edit("refs/heads/a", Some(0), None), server.edit("refs/heads/b", None, Some(1))],
    );
    assert!(server.path("packed-refs").symlink_metadata().unwrap().is_symlink());
    assert_eq!(server.refs(), [server.line("refs/heads/b", 1)]);
    assert_eq!(fs::read_dir(server.path("elsewhere")).unwrap().count(), 1);
}

#[test]
fn a_deleted_ref_does_not_rise_again() {
    for mode in [Mode::EachAlone, Mode::AllOrNone] {
        let server = Server::make();
        server.set("refs/heads/old", 0);
        server.set("refs/heads/broken", 0);
        server.git(&["pack-refs", "--all", "--no-prune"]);
        server.set("refs/heads/old", 1);
        fs::write(server.path("refs/heads/broken"), "rubbish").unwrap();
        let broken = Edit { name: "refs/heads/broken".into(), old: None, new: server.repository.hash.null() };
        server.succeed(mode, vec![server.edit("refs/heads/old", Some(1), None), broken]);
        assert_eq!(server.refs(), Vec::<String>::new());
        let left: Vec<_> = server.listing().into_keys().filter(|path| path.starts_with("refs/heads/")).collect();
        assert_eq!(left, ["refs/heads/"]);
    }
}

#[test]
fn many_creations_are_one_rewrite_of_packed_refs() {
    for mode in [Mode::EachAlone, Mode::AllOrNone] {
        let server = Server::make();
        server.set("refs/heads/n/17", 0);
        let mut edits: Vec<_> = (0..150).map(|n| server.edit(&format!("refs/heads/n/{n}"), None, Some(1))).collect();
        edits.push(Edit { name: "refs/tags/v1".into(), old: Some(server.repository.hash.null()), new: server.tag });
        if mode == Mode::AllOrNone {
            let before = server.listing();
            assert!(server.commit(mode, edits.clone()).is_err());
            assert_eq!(server.listing(), before);
            edits.remove(17);
        }
        let failures = server.commit(mode, edits).unwrap().outcomes.into_iter().filter(Result::is_err).count();
        assert_eq!(failures, usize::from(mode == Mode::EachAlone));
        assert_eq!(server.refs().len(), 151);
        let loose: Vec<_> = server
            .listing()
            .into_keys()
            .filter(|path| path.starts_with("refs/heads/n/") && !path.ends_with('/'))
            .collect();
        assert_eq!(loose, ["refs/heads/n/17"]);
        assert!(
            fs::read_to_string(server.path("packed-refs"))
                .unwrap()
                .contains(&format!("refs/tags/v1\n^{}\n", server.commits[0]))
        );
        server.check_clean();
    }
}

#[test]
fn a_symref_is_followed_and_stays_one() {
    for mode in [Mode::EachAlone, Mode::AllOrNone] {
        let mut server = Server::make();
        server.config.log_all_ref_updates = LogRefs::Usual;
        server.set("refs/heads/main", 0);
        server.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
        server.git(&["symbolic-ref", "refs/heads/dangling", "refs/heads/target"]);
        server.git(&["symbolic-ref", "refs/heads/loop", "refs/heads/loop"]);
        let looping = server.edit("refs/heads/loop", Some(0), Some(1));
        let message = server.commit(Mode::AllOrNone, vec![looping]).unwrap_err().message;
        assert_eq!(
            message,
            "cannot lock ref 'refs/heads/loop': unable to resolve reference 'refs/heads/loop': reference broken"
        );
        server.git(&["symbolic-ref", "-d", "refs/heads/loop"]);
        let both =
            vec![server.edit("refs/heads/alias", Some(0), Some(1)), server.edit("refs/heads/main", Some(0), Some(1))];
        assert!(server.commit(Mode::AllOrNone, both).is_err());
        server.succeed(
            mode,
            vec![server.edit("refs/heads/alias", Some(0), Some(1)), server.edit("refs/heads/dangling", None, Some(2))],
        );
        let expected = [("alias", 1), ("dangling", 2), ("main", 1), ("target", 2)];
        assert_eq!(server.refs(), expected.map(|(name, commit)| server.line(&format!("refs/heads/{name}"), commit)));
        assert_eq!(server.git(&["symbolic-ref", "refs/heads/alias"]), "refs/heads/main");
        // Its own log, that of the target, and HEAD's, since HEAD names that.
        for log in ["refs/heads/alias", "refs/heads/main", "HEAD"] {
            let text = fs::read_to_string(server.path(&format!("logs/{log}"))).unwrap();
            let start = format!("{} {} ", server.commits[0], server.commits[1]);
            assert!(
                text.starts_with(&start) && text.ends_with("\tpush\n") && text.lines().count() == 1,
                "{log}: {text}"
            );
        }
    }
}

#[test]
fn logs_come_and_go_with_their_refs() {
    let mut server = Server::make();
    server.set("refs/heads/quiet", 0);
    server.succeed(Mode::EachAlone, vec![server.edit("refs/heads/quiet", Some(0), Some(1))]);
    assert!(!server.path("logs").exists());
    server.config.log_all_ref_updates = LogRefs::Usual;
    let edits = ["heads/a/b", "notes/n", "tags/t"].map(|name| server.edit(&format!("refs/{name}"), None, Some(0)));
    server.succeed(Mode::AllOrNone, edits.to_vec());
    let logs: Vec<_> =
        server.listing().into_keys().filter(|path| path.starts_with("logs/") && !path.ends_with('/')).collect();
    assert_eq!(logs, ["logs/refs/heads/a/b", "logs/refs/notes/n"]);
    // An existing log gets its line whatever is configured.
    server.config.log_all_ref_updates = LogRefs::Existing;
    server.succeed(Mode::EachAlone, vec![server.edit("refs/heads/a/b", Some(0), Some(1))]);
    assert_eq!(
        server.git(&["reflog", "show", "--format=%H %gs", "refs/heads/a/b"]),
        format!("{} push\n{} push", server.commits[1], server.commits[0])
    );
    server.succeed(Mode::EachAlone, vec![server.edit("refs/heads/a/b", Some(1), None)]);
    assert!(!server.path("logs/refs/heads/a").exists());
    server.config.log_all_ref_updates = LogRefs::Always;
    server.succeed(Mode::EachAlone, vec![server.edit("refs/heads/a", None, Some(1))]);
    assert!(server.path("logs/refs/heads/a").is_file());
}

#[test]
fn a_log_that_was_left_over_refuses_the_ref_before_anything_changes() {
    let mut server = Server::make();
    server.config.log_all_ref_updates = LogRefs::Usual;
    fs::create_dir_all(server.path("logs/refs/heads/x")).unwrap();
    fs::write(server.path("logs/refs/heads/gone"), "").unwrap();
    fs::write(server.path("logs/refs/heads/x/y"), "").unwrap();
    let (reason, message) = server.refused(server.edit("refs/heads/gone/b", None, Some(0)));
    assert_eq!(reason, "failed to update ref");
    assert!(
        message.starts_with("cannot update the ref 'refs/heads/gone/b': unable to create directory for"),
        "{message}"
    );
    let (_, message) = server.refused(server.edit("refs/heads/x", None, Some(0)));
    assert!(message.starts_with("cannot update the ref 'refs/heads/x': there are still logs under"), "{message}");
}

#[test]
fn the_hook_hears_each_state_in_its_time_and_may_say_no() {
    let server = Server::make();
    server.set("refs/heads/packed", 0);
    server.git(&["pack-refs", "--all"]);
    server.set("refs/heads/main", 0);
    server.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
    let edits = || {
        vec![
            server.edit("refs/heads/alias", Some(0), Some(1)),
            server.edit("refs/heads/packed", Some(0), None),
            server.edit("refs/heads/new", None, Some(2)),
        ]
    };
    let database = Database::open(&server.repository).unwrap();
    let run_with = |edits: Vec<Edit>, mode, veto: Option<usize>| {
        let heard = Mutex::new(Vec::new());
        let mut hook = |phase: Phase, lines: &BStr| {
            let mut heard = heard.lock().unwrap();
            let locked = server.path("refs/heads/main.lock").symlink_metadata().is_ok();
            heard.push((phase.as_str(), lines.to_string(), locked));
            anyhow::ensure!(Some(heard.len()) != veto, "no");
            Ok(())
        };
        let queued = Queued::new(&server.repository, &server.config, &server.interrupts, edits).unwrap();
        let result = queued.prepare(&database, mode, Some(&mut hook)).and_then(|prepared| prepared.commit());
        (heard.into_inner().unwrap(), result.map(|_| ()).map_err(|aborted| aborted.message.to_string()))
    };
    let run = |mode, veto| run_with(edits(), mode, veto);
    let (null, [c0, c1, c2]) = (server.repository.hash.null(), [0, 1, 2].map(|index| server.commits[index]));
    let asked = format!("{c0} {c1} refs/heads/alias\n{c0} {null} refs/heads/packed\n{null} {c2} refs/heads/new\n");
    let lines = format!("{c0} {null} refs/heads/packed\n{null} {c2} refs/heads/new\n{c0} {c1} refs/heads/main\n");
    let inner = format!("{null} {null} refs/heads/packed\n");
    let before = server.listing();
    for mode in [Mode::EachAlone, Mode::AllOrNone] {
        let (heard, result) = run(mode, Some(1));
        assert_eq!(heard, [("preparing", asked.clone(), false), ("aborted", asked.clone(), false)]);
        assert_eq!(result.unwrap_err(), "in 'preparing' phase, update aborted by the reference-transaction hook");
        let (heard, result) = run(mode, Some(4));
        let expected = [
            ("preparing", asked.clone(), false),
            ("preparing", inner.clone(), true),
            ("prepared", inner.clone(), true),
            ("prepared", lines.clone(), true),
            ("aborted", inner.clone(), false),
            ("aborted", lines.clone(), false),
        ];
        assert_eq!(heard, expected);
        assert_eq!(result.unwrap_err(), "in 'prepared' phase, update aborted by the reference-transaction hook");
        assert_eq!(server.listing(), before);
    }
    let (heard, result) = run(Mode::AllOrNone, None);
    assert_eq!(heard[4..], [("committed", inner, false), ("committed", lines, false)]);
    assert_eq!(result, Ok(()));
    // Where packed-refs has nothing of a ref that goes, the inner transaction comes to nothing.
    server.set("refs/heads/loose", 0);
    let (heard, _) = run_with(vec![server.edit("refs/heads/loose", Some(0), None)], Mode::EachAlone, None);
    let outer = format!("{c0} {null} refs/heads/loose\n");
    let expected = [
        ("preparing", outer.clone(), false),
        ("aborted", format!("{null} {null} refs/heads/loose\n"), false),
        ("prepared", outer.clone(), false),
        ("committed", outer, false),
    ];
    assert_eq!(heard, expected);
    server.check_clean();
}

#[test]
fn a_directory_in_the_way_of_a_committed_ref_leaves_it_packed() {
    let server = Server::make();
    server.set("refs/heads/a", 0);
    server.set("refs/heads/b", 0);
    server.git(&["pack-refs", "--all"]);
    let database = Database::open(&server.repository).unwrap();
    let edits = ["a", "b"].map(|name| server.edit(&format!("refs/heads/{name}"), Some(0), Some(1)));
    let queued = Queued::new(&server.repository, &server.config, &server.interrupts, edits.to_vec()).unwrap();
    let prepared = queued.prepare(&database, Mode::AllOrNone, None).unwrap();
    // What a plain `git update-ref refs/heads/a/x` makes for a moment before it finds that it must not.
    fs::create_dir(server.path("refs/heads/a")).unwrap();
    fs::write(server.path("refs/heads/a/x.lock"), "").unwrap();
    fs::create_dir(server.path("refs/heads/b")).unwrap();
    let committed = prepared.commit().unwrap();
    assert_eq!(committed.complaints.len(), 1);
    assert!(committed.outcomes.iter().all(Result::is_ok));
    assert_eq!(server.refs(), ["a", "b"].map(|name| server.line(&format!("refs/heads/{name}"), 1)));
    assert!(server.path("refs/heads/b").is_file());
}

#[test]
fn a_long_lived_reader_sees_each_new_value() {
    use std::io::{BufRead, BufReader, Write};
    let server = Server::make();
    server.set("refs/heads/a", 0);
    server.set("refs/heads/b", 0);
    server.git(&["pack-refs", "--all"]);
    let mut reader = server.scene.command("server.git", "git");
    let mut reader = reader
        .args(["cat-file", "--batch-check=%(objectname)"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = reader.stdin.take().unwrap();
    let mut answers = BufReader::new(reader.stdout.take().unwrap()).lines();
    let mut value = 0;
    for _ in 0..40 {
        let edits = ["a", "b"].map(|name| server.edit(&format!("refs/heads/{name}"), Some(value), Some(1 - value)));
        server.commit(Mode::AllOrNone, edits.to_vec()).unwrap();
        value = 1 - value;
        // With the loose files gone packed-refs alone has to say it, and has to be read again.
        server.git(&["update-ref", "refs/x/other", &server.commits[2].to_string()]);
        fs::remove_file(server.path("refs/heads/a")).unwrap();
        writeln!(ask, "refs/heads/a").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), server.commits[value].to_string());
    }
    drop(ask);
    reader.wait().unwrap();
}

#[test]
fn a_repository_that_is_shared_gets_files_that_are_shared() {
    let mut server = Server::make();
    server.config.shared_repository = balanced_receive_pack::config::SharedRepository::Add(0o660);
    server.config.log_all_ref_updates = LogRefs::Usual;
    for (mode, names) in [
        (Mode::EachAlone, ["refs/heads/a/x", "refs/heads/a/y"]),
        (Mode::AllOrNone, ["refs/heads/b/x", "refs/heads/b/y"]),
    ] {
        server.succeed(mode, names.map(|name| server.edit(name, None, Some(0))).to_vec());
        for name in names {
            for path in [name.to_owned(), format!("logs/{name}")] {
                assert_eq!(fs::metadata(server.path(&path)).unwrap().mode() & 0o777, 0o664, "{path}");
                let directory = server.path(&path).parent().unwrap().metadata().unwrap().mode();
                assert_eq!(directory & 0o7777, 0o2775, "directory of {path}");
            }
        }
    }
    assert_eq!(fs::metadata(server.path("packed-refs")).unwrap().mode() & 0o777, 0o664);
}

#[test]
fn git_packing_refs_in_a_loop_loses_no_update() {
    let server = Server::make();
    for name in ["a", "b"] {
        server.set(&format!("refs/heads/{name}"), 0);
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // It may find packed-refs locked.
                server.scene.try_git("server.git", &["pack-refs", "--all", "--prune", "--auto"]);
            }
        });
        let mut value = 0;
        for _ in 0..60 {
            let edits = ["a", "b"].map(|name| server.edit(&format!("refs/heads/{name}"), Some(value), Some(1 - value)));
            // git's lock on a ref that it prunes may outlast the waiting time.
            if server.commit(Mode::AllOrNone, edits.to_vec()).is_ok() {
                value = 1 - value;
            }
            assert_eq!(server.refs(), ["a", "b"].map(|name| server.line(&format!("refs/heads/{name}"), value)));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    server.check_clean();
}

#[test]
fn nothing_is_written_inside_the_quarantine_of_another_push() {
    let mut server = Server::make();
    server.repository.inside_quarantine = true;
    let aborted = server.commit(Mode::EachAlone, vec![server.edit("refs/heads/a", None, Some(0))]).unwrap_err();
    assert_eq!(aborted.message, "ref updates forbidden inside quarantine environment");
}
