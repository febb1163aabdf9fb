//! One list of stories about refs, told in every format that refs are stored in and with both hashes: git's receive-pack
//! does the same, or what a newer one does is stated.

pub mod support;

use support::{
    observe::Outcome,
    push::{Push, push_to},
    scene::FORMATS,
    server::{self, pushed},
};

/// Each story is a test of its own name: told to both programs, it must have the same end.
macro_rules! alike {
    ($($name:ident: |$push:ident| $story:expr;)*) => {$(
        #[test]
        fn $name() {
            for (hash, refs) in FORMATS {
                let $push = push_to(hash, refs);
                let push: Push = $story;
                let (theirs, mine) = server::pushed_to_both(&push);
                let (theirs, mine) = (as_newer(theirs), as_newer(mine));
                let differences = mine.differences(&theirs, push.own_words);
                assert!(differences.is_empty(), "{hash}, {refs}: they differ in\n{differences}\ngit: {theirs:#?}");
            }
        }
    )*};
}

/// What hooks saw, without what git 2.47 shows them differently: `preparing`, and what only gets a line in its log.
fn as_newer(mut outcome: Outcome) -> Outcome {
    let blocks = outcome.seen.split_inclusive("== end\n").filter(|block| !block.starts_with("== preparing\n"));
    let lines = blocks
        .flat_map(|block| block.split_inclusive('\n'))
        .filter(|line| !line.ends_with(" HEAD\n") && !line.ends_with(" refs/heads/alias\n"));
    outcome.seen = lines.collect();
    outcome
}

/// Hooks that write down what they are told of refs.
const TELLING: &str = "{ echo \"== $1\"; cat; echo '== end'; } >>../seen";

alike! {
    refs_are_created_updated_and_deleted: |push| push.create("refs/heads/new", "side").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic").delete("refs/heads/old", "old").create("refs/tags/v2", "v2");
    refs_are_created_updated_and_deleted_at_once: |push| push.atomic().create("refs/heads/new", "side").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic").delete("refs/heads/old", "old").create("refs/tags/v2", "v2");
    a_ref_is_forced: |push| push.update("refs/heads/main", "main", "side");
    a_ref_gets_the_value_that_it_has: |push| push.update("refs/heads/main", "main", "main").update("refs/heads/topic", "topic", "next");
    refs_of_other_kinds: |push| push.create("refs/tags/tree", "next^{tree}").create("refs/tags/blob", "next:dir/b").create("refs/notes/x", "next").create("refs/what/ever", "next");
    many_refs_are_created: |push| (0..150).fold(push, |push, number| push.create(&format!("refs/heads/many/{number}"), "side"));
    at_once_with_a_stale_value: |push| push.atomic().create("refs/heads/new", "next").update("refs/heads/main", "old", "next");
    at_once_with_one_that_exists: |push| push.atomic().create("refs/heads/new", "next").create("refs/heads/main", "next");
    at_once_with_one_that_is_missing: |push| push.atomic().create("refs/heads/new", "next").update("refs/heads/absent", "main", "next");
    at_once_with_a_missing_one_deleted: |push| push.atomic().create("refs/heads/new", "next").delete("refs/heads/absent", "main");
    at_once_with_a_ref_below_another: |push| push.atomic().create("refs/heads/new", "next").create("refs/heads/old/x", "next").own_words();
    at_once_with_a_ref_above_another: |push| push.atomic().server(&["update-ref", "refs/heads/d/x", "topic"]).server(&["pack-refs", "--all", "--prune"]).create("refs/heads/new", "next").create("refs/heads/d", "next").own_words();
    at_once_with_two_that_exclude_each_other: |push| push.atomic().create("refs/heads/a/b", "next").create("refs/heads/a", "next").own_words();
    at_once_a_deletion_makes_no_room: |push| push.atomic().delete("refs/heads/old", "old").create("refs/heads/old/x", "next").own_words();
    at_once_with_a_name_twice: |push| push.atomic().create("refs/heads/a", "next").create("refs/heads/a", "next2").own_words();
    at_once_with_a_blob_for_a_branch: |push| push.atomic().create("refs/heads/new", "next").create("refs/heads/blob", "next:dir/b").own_words();
    at_once_with_a_funny_name: |push| push.atomic().create("refs/heads/new", "next").create("refs/heads/.x", "next");
    a_deletion_makes_room: |push| push.delete("refs/heads/topic", "topic").create("refs/heads/topic/x", "next");
    a_missing_ref_is_deleted: |push| push.delete("refs/heads/absent", "0").delete("refs/heads/topic", "0");
    a_ref_whose_object_is_gone_is_deleted: |push| gone(push).delete("refs/heads/gone", "next");
    a_ref_whose_object_is_gone_is_advertised: |push| gone(push).raw(b"0000");
    an_alias_alone: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).update("refs/heads/alias", "topic", "next");
    an_alias_at_once_with_others: |push| push.atomic().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).update("refs/heads/alias", "topic", "next").create("refs/heads/new", "next");
    an_alias_that_is_deleted: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).delete("refs/heads/alias", "topic");
    an_alias_and_its_target_agree: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).update("refs/heads/alias", "topic", "next").update("refs/heads/topic", "topic", "next");
    an_alias_and_its_target_disagree: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).update("refs/heads/alias", "topic", "next").update("refs/heads/topic", "topic", "next2");
    an_alias_of_an_alias: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).server(&["symbolic-ref", "refs/heads/other", "refs/heads/alias"]).update("refs/heads/other", "topic", "next");
    at_once_with_two_aliases_of_one: |push| push.atomic().server(&["symbolic-ref", "refs/heads/a", "refs/heads/topic"]).server(&["symbolic-ref", "refs/heads/b", "refs/heads/topic"]).update("refs/heads/a", "topic", "next").update("refs/heads/b", "topic", "next").own_words();
    an_alias_that_dangles: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/absent"]).create("refs/heads/alias", "next");
    an_alias_that_dangles_and_its_target_agree: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/absent"]).create("refs/heads/alias", "next").create("refs/heads/absent", "next");
    an_alias_that_dangles_is_not_advertised: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/absent"]).raw(b"0000");
    an_alias_of_itself: |push| push.server(&["symbolic-ref", "refs/heads/loop", "refs/heads/loop"]).create("refs/heads/loop", "next").create("refs/heads/new", "next");
    the_logs_of_the_usual_refs: |push| push.config("core.logAllRefUpdates", "true").update("refs/heads/main", "main", "next").create("refs/heads/new", "next").create("refs/what/ever", "next").create("refs/tags/v2", "v2");
    the_logs_of_all_refs: |push| push.config("core.logAllRefUpdates", "always").update("refs/heads/topic", "topic", "next").create("refs/what/ever", "next");
    the_log_of_a_deleted_ref: |push| push.config("core.logAllRefUpdates", "true").server(&["update-ref", "-m", "before", "refs/heads/logged", "main"]).delete("refs/heads/logged", "main");
    the_log_of_an_alias: |push| push.config("core.logAllRefUpdates", "true").server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).update("refs/heads/alias", "topic", "next");
    no_log_where_none_is_asked_for: |push| push.config("core.logAllRefUpdates", "false").update("refs/heads/main", "main", "next");
    the_log_names_who_it_was: |push| push.config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_NAME", "Some <body>").env("GIT_COMMITTER_DATE", "1234567890 -0330").update("refs/heads/topic", "topic", "next");
    the_log_of_a_detached_head: |push| push.config("core.logAllRefUpdates", "true").server(&["update-ref", "--no-deref", "HEAD", "topic"]).update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic");
    a_date_that_is_none: |push| push.config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "the day after").update("refs/heads/main", "main", "next");
    hidden_refs: |push| push.config("transfer.hideRefs", "refs/heads/topic").delete("refs/heads/topic", "topic").create("refs/heads/new", "next");
    a_namespace: |push| push.server(&["update-ref", "refs/namespaces/a/refs/heads/in", "topic"]).env("GIT_NAMESPACE", "a").update("refs/heads/in", "topic", "next").create("refs/heads/new", "next").create("refs/heads/old", "next");
    a_push_from_within_a_quarantine: |push| push.env("GIT_QUARANTINE_PATH", "/nowhere").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic");
    hooks: |push| push.delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "next").create("refs/tags/v2", "v2").recording(&["pre-receive", "update", "post-receive", "post-update"], "echo $0 speaks");
    the_reference_transaction_hook: |push| push.hook("reference-transaction", TELLING).atomic().update("refs/heads/main", "main", "next").create("refs/heads/new", "next");
    the_reference_transaction_hook_hears_of_an_alias: |push| push.hook("reference-transaction", TELLING).server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).atomic().update("refs/heads/alias", "topic", "next").create("refs/heads/new", "next");
    the_reference_transaction_hook_hears_of_deletions: |push| push.hook("reference-transaction", TELLING).atomic().delete("refs/heads/old", "old").delete("refs/heads/topic", "topic").create("refs/heads/new", "next");
    the_reference_transaction_hook_hears_nothing_of_what_failed: |push| push.hook("reference-transaction", TELLING).atomic().create("refs/heads/new", "next").update("refs/heads/main", "old", "next");
    what_the_reference_transaction_hook_says: |push| push.hook("reference-transaction", "echo $1; echo and $1 >&2; cat >/dev/null; case $1 in preparing) exit 0;; esac").atomic().update("refs/heads/main", "main", "next").own_words();
    denied_by_policy: |push| push.config("receive.denyDeletes", "true").config("receive.denyNonFastForwards", "true").delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "side").create("refs/heads/new", "next");
    the_current_branch_is_not_deleted: |push| push.delete("refs/heads/main", "main").own_words();
    the_current_branch_is_refused: |push| push.work_tree().update("refs/heads/main", "main", "next").create("refs/heads/new", "next").own_words();
    the_work_tree_is_updated: |push| push.work_tree().config("receive.denyCurrentBranch", "updateInstead").update("refs/heads/main", "main", "next");
    a_branch_of_a_linked_work_tree: |push| push.server(&["worktree", "add", "-q", "../linked", "topic"]).update("refs/heads/topic", "topic", "next").create("refs/heads/new", "next").own_words();
    a_linked_work_tree_is_pushed_to: |push| push.work_tree().server(&["worktree", "add", "-q", "../linked", "topic"]).directory("linked").update("refs/heads/main", "main", "next").create("refs/heads/new", "next").own_words();
    what_an_alternate_has: |push| push.shell("echo ../../client.git/objects >server.git/objects/info/alternates").create("refs/heads/new", "next");
    a_missing_blob: |push| push.objects(&["next", "next^{tree}", "next:dir", "next:numbers"]).update("refs/heads/main", "main", "next");
    an_empty_repository: |push| push.server(&["update-ref", "-d", "refs/heads/main"]).server(&["update-ref", "-d", "refs/heads/topic"]).server(&["update-ref", "-d", "refs/heads/old"]).server(&["update-ref", "-d", "refs/tags/v1"]).create("refs/heads/main", "main");
    server_info: |push| push.config("receive.updateServerInfo", "true").update("refs/heads/main", "main", "next").create("refs/tags/v2", "v2");
}

/// With a branch whose commit is not there.
fn gone(push: Push) -> Push {
    let object = push.id("next");
    let (directory, file) = object.split_at(2);
    push.shell("git -C client.git cat-file commit next | git -C server.git hash-object -w -t commit --stdin")
        .server(&["update-ref", "refs/heads/gone", &object])
        .shell(&format!("rm -f server.git/objects/{directory}/{file}"))
}

/// Each story is a test of its own name, about a push of which some refs are refused: what a git of 2.54 and later reports.
macro_rules! each_alone {
    ($($name:ident: |$push:ident| $story:expr => $report:expr, $told:expr;)*) => {$(
        #[test]
        fn $name() {
            each_alone(|$push| $story, &$report, $told);
        }
    )*};
}

/// Push, and compare the report's lines (without `unpack ok`) and something that band 2 says; what is refused must not change.
fn each_alone(story: impl Fn(Push) -> Push, report: &[&str], told: &str) {
    for (hash, refs) in FORMATS {
        let push = story(push_to(hash, refs));
        let before = Outcome::found_in(&push.scene);
        let after = pushed(&push);
        let wanted: Vec<&str> = ["unpack ok"].iter().chain(report).chain(&["flush", "end"]).copied().collect();
        assert_eq!(after.report, wanted, "{hash}, {refs}: {after:#?}");
        assert!(after.told.contains(told), "{hash}, {refs}: band 2 lacks {told:?}: {after:#?}");
        assert_eq!(after.stderr, "", "{hash}, {refs}");
        for refused in report.iter().filter_map(|line| line.strip_prefix("ng ")) {
            let name = refused.split(' ').next().expect("a name");
            let of = |outcome: &Outcome| -> Vec<String> {
                outcome.refs.iter().filter(|it| it.starts_with(&format!("{name} "))).cloned().collect()
            };
            assert_eq!(of(&after), of(&before), "{hash}, {refs}: {name} was refused");
        }
        assert!(after.files.iter().all(|name| !name.contains(".lock")), "{hash}, {refs}: {after:#?}");
    }
}

each_alone! {
    a_stale_value: |push| push.update("refs/heads/main", "old", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/main incorrect old value provided", "ok refs/heads/new"], "error: cannot lock ref 'refs/heads/main': is at ";
    one_that_exists_is_created: |push| push.create("refs/heads/main", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/main reference already exists", "ok refs/heads/new"], "error: cannot lock ref 'refs/heads/main': reference already exists";
    one_that_is_missing_is_updated: |push| push.update("refs/heads/absent", "main", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/absent reference does not exist", "ok refs/heads/new"], "error: cannot lock ref 'refs/heads/absent': unable to resolve reference 'refs/heads/absent'";
    one_that_is_missing_is_deleted: |push| push.delete("refs/heads/absent", "main").delete("refs/heads/topic", "topic")
        => ["ng refs/heads/absent reference does not exist", "ok refs/heads/topic"], "unable to resolve reference 'refs/heads/absent'";
    a_stale_value_of_a_deleted_ref: |push| push.delete("refs/heads/topic", "main").delete("refs/heads/old", "old")
        => ["ng refs/heads/topic incorrect old value provided", "ok refs/heads/old"], "";
    a_ref_below_another: |push| push.create("refs/heads/old/x", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/old/x refname conflict", "ok refs/heads/new"], "error: 'refs/heads/old' exists; cannot create 'refs/heads/old/x'";
    a_ref_above_another: |push| push.server(&["update-ref", "refs/heads/d/x", "topic"]).server(&["pack-refs", "--all", "--prune"]).create("refs/heads/d", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/d refname conflict", "ok refs/heads/new"], "error: 'refs/heads/d/x' exists; cannot create 'refs/heads/d'";
    two_that_exclude_each_other: |push| push.create("refs/heads/a/b", "next").create("refs/heads/a", "next").create("refs/heads/new", "next")
        => ["ok refs/heads/a/b", "ng refs/heads/a refname conflict", "ok refs/heads/new"], "error: cannot process 'refs/heads/a' and 'refs/heads/a/b' at the same time";
    a_blob_for_a_branch: |push| push.create("refs/heads/blob", "next:dir/b").create("refs/heads/new", "next")
        => ["ng refs/heads/blob invalid new value provided", "ok refs/heads/new"], "trying to write non-commit object";
    a_name_twice: |push| push.create("refs/heads/a", "next").create("refs/heads/a", "next2").create("refs/heads/new", "next")
        => ["ng refs/heads/a failed to update ref", "ng refs/heads/a failed to update ref", "ok refs/heads/new"], "multiple updates for ref 'refs/heads/a' not allowed";
    all_are_bad: |push| push.update("refs/heads/main", "old", "next").create("refs/heads/topic", "next")
        => ["ng refs/heads/main incorrect old value provided", "ng refs/heads/topic reference already exists"], "";
    an_alias_with_a_stale_value: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).update("refs/heads/alias", "old", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/alias incorrect old value provided", "ok refs/heads/new"], "error: cannot lock ref 'refs/heads/alias': is at ";
    an_alias_that_dangles_below_a_ref: |push| push.server(&["symbolic-ref", "refs/heads/alias", "refs/heads/old/x"]).create("refs/heads/alias", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/alias refname conflict", "ok refs/heads/new"], "'refs/heads/old' exists; cannot create 'refs/heads/old/x'";
    a_veto: |push| push.hook("reference-transaction", "test $1 != prepared").update("refs/heads/main", "main", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/main failed to update ref", "ng refs/heads/new failed to update ref"], "in 'prepared' phase, update aborted by the reference-transaction hook";
    an_early_veto: |push| push.hook("reference-transaction", "test $1 != preparing").update("refs/heads/main", "main", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/main failed to update ref", "ng refs/heads/new failed to update ref"], "in 'preparing' phase, update aborted by the reference-transaction hook";
    a_veto_of_all_at_once: |push| push.hook("reference-transaction", "test $1 != prepared").atomic().update("refs/heads/main", "main", "next").create("refs/heads/new", "next")
        => ["ng refs/heads/main atomic transaction failed", "ng refs/heads/new atomic transaction failed"], "in 'prepared' phase, update aborted by the reference-transaction hook";
    deletions_come_first: |push| push.create("refs/heads/topic/x", "next").delete("refs/heads/topic", "topic").hook("update", "echo asked for $1")
        => ["ok refs/heads/topic/x", "ok refs/heads/topic"], "asked for refs/heads/topic\nasked for refs/heads/topic/x\n";
}

#[test]
fn of_many_refs_every_second_is_bad() {
    let good = |number| format!("refs/heads/many/{number:02}");
    let bad = |number| format!("refs/heads/old/{number:02}");
    let report: Vec<String> =
        (0..40).flat_map(|at| [format!("ok {}", good(at)), format!("ng {} refname conflict", bad(at))]).collect();
    let report: Vec<&str> = report.iter().map(String::as_str).collect();
    let story = |push| (0..40).fold(push, |push: Push, at| push.create(&good(at), "side").create(&bad(at), "side"));
    each_alone(story, &report, "");
}
