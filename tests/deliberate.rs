//! Where the answer is meant to be another than the installed git's: each case says why, and states what is right.
//!
//! *Later* marks behaviour of a git newer than 2.47, *better* one that no git has (each is a line in ARCHITECTURE.md).
//! Once the installed git answers so too, a case belongs to tests/differential.rs.

pub mod support;

use support::{
    observe::Outcome,
    ours,
    push::{Push, push, push_to},
    server::{self, pushed},
};

/// One case: the report's lines, each with what follows `unpack ok`; something that band 2 says; and nothing refused is changed.
macro_rules! differences {
    ($($(#[doc = $why:literal])+ $name:ident: $push:expr => $report:expr, $told:expr;)*) => {$(
        #[doc = concat!($($why),+)]
        #[test]
        fn $name() {
            expect(&$push, &$report, $told);
        }
    )*};
}

/// Push, and compare; the outcome is for more questions.
fn expect(push: &Push, report: &[&str], told: &str) -> Outcome {
    let before = Outcome::found_in(&push.scene);
    let after = pushed(push);
    let wanted: Vec<&str> = ["unpack ok"].iter().chain(report).chain(&["flush", "end"]).copied().collect();
    assert_eq!(after.report, wanted, "{after:#?}");
    assert_eq!(after.end, "exit 0");
    assert!(after.told.contains(told), "band 2 lacks {told:?}: {after:#?}");
    for line in report {
        let mut words = line.split(' ');
        let (verdict, name) = (words.next(), words.next().expect("a name"));
        let of = |outcome: &Outcome| -> Vec<String> {
            outcome.refs.iter().filter(|it| it.starts_with(&format!("{name} "))).cloned().collect()
        };
        // A name that is in the push twice may be refused once and changed once.
        let once = report.iter().filter(|line| line.split(' ').nth(1) == Some(name)).count() == 1;
        assert!(verdict != Some("ng") || !once || of(&after) == of(&before), "{name} was refused, and changed");
    }
    assert!(after.files.iter().all(|name| !name.contains(".lock") && !name.contains("objdir")), "{after:#?}");
    after
}

const BROKEN: &str = "1234567890123456789012345678901234567890";

differences! {
    /// Better: atomic means all or none, whatever refuses.
    at_once_with_a_hidden_ref: push().atomic().config("receive.hideRefs", "refs/hide").create("refs/hide/x", "next").create("refs/heads/new", "next").delete("refs/heads/topic", "topic")
        => ["ng refs/hide/x deny updating a hidden ref", "ng refs/heads/new atomic push failure", "ng refs/heads/topic atomic push failure"], "";
    /// Better: atomic means all or none, whatever refuses.
    at_once_with_a_missing_object: push().atomic().objects(&["next", "side", "side^{tree}", "side:a"]).create("refs/heads/a", "next").create("refs/heads/b", "side")
        => ["ng refs/heads/a missing necessary objects", "ng refs/heads/b atomic push failure"], "";
    /// Better: atomic means all or none, whatever refuses.
    at_once_with_an_alias_that_disagrees: push().atomic().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).update("refs/heads/alias", "main", "next").update("refs/heads/main", "main", "next2").create("refs/heads/new", "next")
        => ["ng refs/heads/alias inconsistent aliased update", "ng refs/heads/main inconsistent aliased update", "ng refs/heads/new atomic push failure"], "error: refusing inconsistent update between symref";
    /// Better: a broken ref that this push has nothing to do with hurts nobody.
    a_broken_ref_elsewhere: push().shell(&format!("echo {BROKEN} >server.git/refs/heads/broken")).update("refs/heads/main", "main", "next")
        => ["ok refs/heads/main"], "";
    /// Better: what is denied stays denied, whatever old value the client claims.
    a_denied_deletion_without_the_old_value: push().config("receive.denyDeletes", "true").delete("refs/heads/topic", "0")
        => ["ng refs/heads/topic deletion prohibited"], "error: denying ref deletion for refs/heads/topic";
    /// Better: a file that is no ref can be deleted as one.
    a_file_that_is_no_ref_is_deleted: push().shell("echo garbage >server.git/refs/heads/broken").delete("refs/heads/broken", "0")
        => ["ok refs/heads/broken"], "";
    /// Better: each ref's line says what happened to that ref.
    a_name_twice: push().create("refs/heads/a", "next").create("refs/heads/a", "next2").create("refs/heads/b", "next")
        => ["ng refs/heads/a failed to update ref", "ng refs/heads/a failed to update ref", "ok refs/heads/b"], "multiple updates for ref 'refs/heads/a' not allowed";
    /// Later (2.50): the report says why a ref could not be updated.
    a_stale_value: push().update("refs/heads/main", "old", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/main incorrect old value provided", "ok refs/heads/new"], "error: cannot lock ref 'refs/heads/main': is at ";
    /// Later (2.50): the report says why a ref could not be updated.
    a_stale_value_of_a_packed_ref: push().update("refs/heads/old", "main", "next")
        => ["ng refs/heads/old incorrect old value provided"], "error: cannot lock ref 'refs/heads/old': is at ";
    /// Later (2.50): the report says why a ref could not be updated.
    one_that_exists_is_created: push().create("refs/heads/main", "next").create("refs/heads/old", "next")
        => ["ng refs/heads/main reference already exists", "ng refs/heads/old reference already exists"], "error: cannot lock ref 'refs/heads/main': reference already exists";
    /// Later (2.50): the report says why a ref could not be updated.
    one_that_is_missing_is_updated: push().update("refs/heads/absent", "main", "next")
        => ["ng refs/heads/absent reference does not exist"], "error: cannot lock ref 'refs/heads/absent': unable to resolve reference 'refs/heads/absent'";
    /// Later (2.50): the report says why a ref could not be updated.
    one_that_is_missing_is_deleted: push().delete("refs/heads/absent", "main")
        => ["ng refs/heads/absent reference does not exist"], "";
    /// Later (2.50): the report says why a ref could not be deleted.
    a_stale_value_of_a_deleted_ref: push().delete("refs/heads/topic", "main")
        => ["ng refs/heads/topic incorrect old value provided"], "";
    /// Later (2.50): the report says why a ref could not be created.
    a_directory_where_a_ref_is: push().create("refs/heads/main/x", "next")
        => ["ng refs/heads/main/x refname conflict"], "error: cannot lock ref 'refs/heads/main/x': 'refs/heads/main' exists; cannot create 'refs/heads/main/x'";
    /// Later (2.50): the report says why a ref could not be created.
    a_directory_where_a_packed_ref_is: push().create("refs/heads/old/x", "next")
        => ["ng refs/heads/old/x refname conflict"], "'refs/heads/old' exists; cannot create 'refs/heads/old/x'";
    /// Later (2.50): the report says why a ref could not be created.
    a_ref_where_a_directory_is: push().server(&["update-ref", "refs/heads/d/x", "topic"]).create("refs/heads/d", "next")
        => ["ng refs/heads/d refname conflict"], "'refs/heads/d/x' exists; cannot create 'refs/heads/d'";
    /// Later (2.50): the report says why a ref could not be created.
    a_ref_where_a_packed_directory_is: push().server(&["update-ref", "refs/heads/d/x", "topic"]).server(&["pack-refs", "--all", "--prune"]).create("refs/heads/d", "next")
        => ["ng refs/heads/d refname conflict"], "'refs/heads/d/x' exists; cannot create 'refs/heads/d'";
    /// Later (2.50): a ref that cannot be changed anyhow is in the way of no other.
    a_bad_ref_below_another: push().create("refs/heads/d", "next").update("refs/heads/d/e/f", "main", "next").create("refs/heads/g", "next").create("refs/heads/g/h", "next:dir/b")
        => ["ok refs/heads/d", "ng refs/heads/d/e/f reference does not exist", "ok refs/heads/g", "ng refs/heads/g/h invalid new value provided"], "";
    /// The same where git is asked.
    a_bad_ref_below_another_in_a_reftable: push_to("sha1", "reftable").create("refs/heads/d", "next").update("refs/heads/d/e/f", "main", "next").create("refs/heads/g", "next").create("refs/heads/g/h", "next:dir/b")
        => ["ok refs/heads/d", "ng refs/heads/d/e/f reference does not exist", "ok refs/heads/g", "ng refs/heads/g/h invalid new value provided"], "";
    /// Later (2.50): the report says why a ref could not be deleted.
    a_ref_that_never_was_below_a_packed_one: push().delete("refs/heads/old/x", "0").delete("refs/heads/absent", "0")
        => ["ng refs/heads/old/x refname conflict", "ok refs/heads/absent"], "'refs/heads/old' exists; cannot create 'refs/heads/old/x'";
    /// Later (2.50): the report says why a ref could not be deleted.
    a_ref_that_never_was_above_another: push().server(&["update-ref", "refs/heads/d/x", "topic"]).delete("refs/heads/d", "0")
        => ["ng refs/heads/d refname conflict"], "cannot lock ref 'refs/heads/d': 'refs/heads/d/x' exists; cannot create 'refs/heads/d'";
    /// Later (2.50): the report says why a ref could not be written.
    a_blob_for_a_branch: push().create("refs/heads/blob", "next:dir/b").create("refs/heads/new", "next")
        => ["ng refs/heads/blob invalid new value provided", "ok refs/heads/new"], "trying to write non-commit object";
    /// Later (2.51): deletions come first, also their update hooks; the report keeps the order of the commands.
    deletions_come_first: push().create("refs/heads/new", "next").delete("refs/heads/topic", "topic").hook("update", "echo asked for $1")
        => ["ok refs/heads/new", "ok refs/heads/topic"], "asked for refs/heads/topic\nasked for refs/heads/new\n";
    /// Later (2.51): a creation may take the place of a deleted ref, whichever comes first in the push.
    a_later_deletion_makes_room: push().create("refs/heads/topic/x", "next").delete("refs/heads/topic", "topic")
        => ["ok refs/heads/topic/x", "ok refs/heads/topic"], "";
    /// Later: the flag is not known to 2.47.
    missing_objects_and_no_check: push().argument("--skip-connectivity-check").objects(&["next"]).update("refs/heads/main", "main", "next")
        => ["ok refs/heads/main"], "";
    /// Better: the certificate of a deletion waits in a quarantine too, so that a refused push leaves nothing behind.
    a_signed_deletion_has_a_quarantine: push().delete("refs/heads/topic", "topic").config("gpg.program", "true").hook("pre-receive", "ls $GIT_QUARANTINE_PATH/*/*; git cat-file -t $GIT_PUSH_CERT").certified("x\n", |_| "-----BEGIN PGP SIGNATURE-----\n".into())
        => ["ok refs/heads/topic"], "blob\n";
    /// Better: a push of other branches has no need of the work tree.
    a_work_tree_that_is_gone: push().config("core.bare", "false").config("core.worktree", "/nowhere").create("refs/heads/new", "next")
        => ["ok refs/heads/new"], "";
    /// Better: history is what clones get, and those do not get `refs/replace`.
    history_that_is_replaced: push().config("receive.denyNonFastForwards", "true").server(&["branch", "mid", "main~1"]).server(&["replace", "main", "topic"]).update("refs/heads/mid", "main~1", "next")
        => ["ok refs/heads/mid"], "";
    /// Better: after a hook's veto git dies without a report.
    a_veto_of_the_reference_transaction_hook: push().hook("reference-transaction", "test $1 != prepared").update("refs/heads/main", "main", "next")
        => ["ng refs/heads/main failed to update ref"], "in 'prepared' phase, update aborted by the reference-transaction hook";
}

#[test]
fn a_packed_ref_is_hidden_by_whole_parts_of_its_name() {
    // Better: git 2.47 leaves it out if it has a hidden prefix's letters.
    let push = push().config("receive.hideRefs", "refs/heads/ol").update("refs/heads/old", "old", "topic");
    let shown = format!("{} refs/heads/old", push.id("old"));
    assert!(expect(&push, &["ok refs/heads/old"], "").advertisement.contains(&shown));
}

#[test]
fn a_keep_that_somebody_else_put_on_the_same_pack_stays() {
    let push = push().config("receive.unpackLimit", "1").update("refs/heads/main", "main", "many");
    let name = push.scene.feed("server.git", &["index-pack", "--stdin", "--keep=mine"], &push.pack_bytes());
    let name = String::from_utf8(name).expect("text").trim_start_matches("keep\t").trim().to_owned();
    let keep = push.scene.path(&format!("server.git/objects/pack/pack-{name}.keep"));
    assert!(keep.is_file());
    expect(&push, &["ok refs/heads/main"], "");
    assert_eq!(std::fs::read_to_string(keep).expect("kept"), "mine\n");
}

#[test]
fn the_post_hooks_run_although_the_client_went_away() {
    let push = push().update("refs/heads/main", "main", "next");
    // By then nobody listens any more.
    let push = push
        .hook("update", "until test -e ../gone; do :; done")
        .recording(&["post-receive", "post-update"], "echo word");
    let mut child = server::start(ours(), &push);
    let request = push.bytes();
    let mut stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, &request).expect("the program reads");
    drop((stdin, child.stdout.take(), child.stderr.take()));
    push.scene.write("gone", "");
    child.wait().expect("the program ends");
    let after = Outcome::found_in(&push.scene);
    assert!(after.refs.iter().any(|it| it.contains(&push.id("next"))), "{after:#?}");
    assert!(after.seen.contains("hooks/post-receive") && after.seen.contains("hooks/post-update"), "{after:#?}");
}

#[test]
fn a_quarantine_that_cannot_be_made_is_told_to_the_operator_too() {
    let objects = "SCENE/server.git/objects";
    // A directory in which not even root can make another.
    let push = push().env("GIT_OBJECT_DIRECTORY", "/proc").env("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects);
    let after = pushed(&push.update("refs/heads/main", "main", "next"));
    let report = ["unpack unable to create temporary object directory", "ng refs/heads/main unpacker error"];
    assert_eq!((after.end.as_str(), &after.report[..2]), ("exit 0", &report.map(str::to_owned)[..]), "{after:#?}");
    assert!(after.stderr.contains("'/proc'"), "better: git says nothing; {after:#?}");
}

#[test]
fn a_lock_that_another_holds_is_told_so() {
    // Better: git 2.55 says `reference already exists`.
    let push = push().update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic");
    push.scene.write("server.git/refs/heads/main.lock", "");
    let after = pushed(&push);
    assert_eq!(after.report[1..3], ["ng refs/heads/main failed to update ref", "ok refs/heads/topic"], "{after:#?}");
    assert!(after.told.contains("error: cannot lock ref 'refs/heads/main': Unable to create '"), "{after:#?}");
    assert!(after.told.contains("main.lock': File exists."), "{after:#?}");
    assert!(push.scene.path("server.git/refs/heads/main.lock").is_file(), "it is not ours to remove");
}

#[test]
fn a_held_lock_of_packed_refs_refuses_what_needs_it_and_says_so() {
    // Better: each ref's line says what happened to that ref. A loose ref is updated without it.
    let push = push().update("refs/heads/main", "main", "next").delete("refs/heads/old", "old");
    push.scene.write("server.git/packed-refs.lock", "");
    let after = pushed(&push);
    assert_eq!(after.report[1..3], ["ok refs/heads/main", "ng refs/heads/old failed to update ref"], "{after:#?}");
    assert!(after.told.contains("packed-refs.lock"), "{after:#?}");
}
