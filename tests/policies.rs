//! What a repository's owner allows to be done to refs and to the files of a work tree, beyond tests/differential.rs: all
//! kinds of work trees, and what this program does better than git.

pub mod support;

use std::fs;

use support::{
    observe::Outcome,
    push::{Push, push},
    server,
};

/// A push of one commit to `main`, which a work tree has checked out and is to follow.
fn follow() -> Push {
    push().work_tree().config("receive.denyCurrentBranch", "updateInstead").update("refs/heads/main", "main", "next")
}

/// Each case is a test of its own name: both programs must do the same, also to the files of the work tree.
macro_rules! cases {
    ($($name:ident: $push:expr;)*) => {$(
        #[test]
        fn $name() {
            let push: Push = $push.shell(SHOW_WORK_TREES);
            let request = push.bytes();
            push.scene.save();
            let answers = [support::gits(), support::ours().to_owned()].map(|program| {
                push.scene.restore();
                let outcome = Outcome::of(&push, &request, &server::run(&program, &push, &request));
                // Dates are not part of it, and the index holds little else.
                let files = push.scene.command(".", "sh").arg("show").output().expect("sh runs");
                let outcome = Outcome { files: Vec::new(), stderr: String::new(), ..outcome };
                (outcome, String::from_utf8_lossy(&files.stdout).into_owned())
            });
            let [(theirs, their_files), (mine, my_files)] = answers;
            let differences = mine.differences(&theirs, push.own_words);
            assert!(differences.is_empty(), "they differ in\n{differences}\ngit: {theirs:#?}");
            assert_eq!(my_files, their_files);
        }
    )*};
}

/// Leaves a script that shows the files of all work trees, and what git thinks of them.
const SHOW_WORK_TREES: &str = "cat >show <<'END'
for tree in server.git linked; do
    test -e $tree/.git || continue
    echo $tree
    (cd $tree; find . -path ./.git -prune -o -type f -print | sort | xargs -r tail -n +1; git status --short; git log --oneline -1)
done
END";

cases! {
    the_files_follow: follow();
    the_files_follow_a_forced_update: push().work_tree().config("receive.denyCurrentBranch", "updateInstead").update("refs/heads/main", "main", "side");
    the_files_follow_a_branch_not_born_yet: push().work_tree().shell("cd server.git; git symbolic-ref HEAD refs/heads/fresh; git rm -rqf .").config("receive.denyCurrentBranch", "updateInstead").create("refs/heads/fresh", "next");
    a_branch_not_born_yet_with_files_in_the_way: push().work_tree().server(&["symbolic-ref", "HEAD", "refs/heads/fresh"]).config("receive.denyCurrentBranch", "updateInstead").create("refs/heads/fresh", "next");
    files_that_are_touched_but_not_changed: follow().shell("touch -d 2001-01-01 server.git/a server.git/dir/b");
    changed_files_stay: follow().shell("echo changed >server.git/dir/b");
    deleted_files_stay_so: follow().shell("rm server.git/a");
    staged_changes_stay: follow().shell("cd server.git; echo changed >a; git add a");
    staged_changes_that_are_what_arrives_stay: follow().shell("cd server.git; git --git-dir=../client.git show next:dir/b >dir/b; git add dir/b");
    untracked_files_stay: follow().shell("echo mine >server.git/mine");
    an_untracked_file_in_the_way_stays: push().work_tree().config("receive.denyCurrentBranch", "updateInstead").update("refs/heads/main", "main", "next2").shell("mkdir -p server.git/new/deep; echo mine >server.git/new/deep/file");
    the_files_of_a_linked_worktree_follow: push().work_tree().config("receive.denyCurrentBranch", "updateInstead").server(&["worktree", "add", "-q", "../linked", "topic"]).update("refs/heads/topic", "topic", "next");
    a_linked_worktree_of_a_bare_repository_follows: push().config("receive.denyCurrentBranch", "updateInstead").server(&["worktree", "add", "-q", "../linked", "topic"]).update("refs/heads/topic", "topic", "next");
    a_linked_worktree_of_a_bare_repository_is_refused: push().config("receive.denyCurrentBranch", "refuse").server(&["worktree", "add", "-q", "../linked", "topic"]).update("refs/heads/topic", "topic", "next").update("refs/heads/main", "main", "next");
    a_linked_worktree_that_is_gone: push().config("receive.denyCurrentBranch", "updateInstead").server(&["worktree", "add", "-q", "../linked", "topic"]).shell("rm -r linked").update("refs/heads/topic", "topic", "next");
    a_push_to_a_linked_worktree: push().config("receive.denyCurrentBranch", "updateInstead").server(&["worktree", "add", "-q", "../linked", "topic"]).directory("linked").update("refs/heads/topic", "topic", "next");
    a_branch_that_is_being_rebased: push().work_tree().config("receive.denyCurrentBranch", "refuse").shell("cd server.git; git checkout -q --detach; mkdir .git/rebase-merge; echo refs/heads/main >.git/rebase-merge/head-name").update("refs/heads/main", "main", "next").update("refs/heads/topic", "topic", "next");
    a_branch_that_is_being_rebased_by_patches: push().work_tree().config("receive.denyCurrentBranch", "refuse").shell("cd server.git; git checkout -q --detach; mkdir .git/rebase-apply; echo refs/heads/main >.git/rebase-apply/head-name").update("refs/heads/main", "main", "next");
    a_branch_that_patches_are_applied_to: push().work_tree().config("receive.denyCurrentBranch", "refuse").shell("cd server.git; git checkout -q --detach; mkdir .git/rebase-apply; echo refs/heads/main >.git/rebase-apply/head-name; : >.git/rebase-apply/applying").update("refs/heads/main", "main", "next");
    a_branch_that_is_being_bisected: push().work_tree().config("receive.denyCurrentBranch", "refuse").shell("cd server.git; git checkout -q --detach; : >.git/BISECT_LOG; echo main >.git/BISECT_START").update("refs/heads/main", "main", "next");
    a_detached_head_refuses_nothing: push().work_tree().config("receive.denyCurrentBranch", "refuse").server(&["checkout", "-q", "--detach"]).update("refs/heads/main", "main", "next");
    a_branch_not_born_yet_is_refused: push().work_tree().config("receive.denyCurrentBranch", "refuse").server(&["symbolic-ref", "HEAD", "refs/heads/fresh"]).create("refs/heads/fresh", "next");
    a_branch_behind_a_symbolic_ref_is_refused: push().work_tree().config("receive.denyCurrentBranch", "refuse").server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).server(&["symbolic-ref", "HEAD", "refs/heads/alias"]).update("refs/heads/main", "main", "next");
    the_name_in_the_namespace_is_compared: push().work_tree().config("receive.denyCurrentBranch", "refuse").env("GIT_NAMESPACE", "a").create("refs/heads/main", "next");
    deletion_in_a_namespace: push().server(&["update-ref", "refs/namespaces/a/refs/heads/main", "topic"]).config("receive.denyDeleteCurrent", "refuse").env("GIT_NAMESPACE", "a").delete("refs/heads/main", "topic");
    deletion_of_a_branch_that_a_worktree_has: push().config("receive.denyCurrentBranch", "ignore").config("receive.denyDeleteCurrent", "refuse").server(&["worktree", "add", "-q", "../linked", "topic"]).delete("refs/heads/topic", "topic");
    deletion_of_a_branch_whose_files_would_follow: push().work_tree().config("receive.denyCurrentBranch", "updateInstead").config("receive.denyDeleteCurrent", "ignore").delete("refs/heads/main", "main");
    deletion_of_nothing_by_the_null_id: push().delete("refs/heads/absent", "0").recording(&["post-receive", "post-update"], "");
    deletion_of_nothing: push().delete("refs/heads/absent", "1111111111111111111111111111111111111111").recording(&["post-receive", "post-update"], "");
    deletion_of_something_by_the_null_id: push().delete("refs/heads/topic", "0").recording(&["update", "post-receive", "post-update"], "");
    deletion_of_a_ref_whose_object_is_missing: push().shell("echo 1234567890123456789012345678901234567890 >server.git/refs/heads/topic").delete("refs/heads/topic", "1234567890123456789012345678901234567890").recording(&["update", "post-receive", "post-update"], "");
    a_tag_on_a_branch_where_forced_updates_are_denied: push().config("receive.denyNonFastForwards", "true").update("refs/heads/topic", "topic", "v2");
    a_missing_end_where_forced_updates_are_denied: push().config("receive.denyNonFastForwards", "true").update("refs/heads/topic", "1234567890123456789012345678901234567890", "next");
    a_hook_brings_the_files_along: follow().hook("push-to-checkout", "{ pwd; env | grep -E '^(GIT_WORK_TREE|GIT_QUARANTINE)'; test $(git rev-parse --absolute-git-dir) = $(pwd); echo $? $# $1; wc -c; } >../seen; git read-tree -u -m HEAD $1");
    a_hook_leaves_the_files_alone: follow().hook("push-to-checkout", "true");
    a_hook_will_not_have_it: follow().hook("push-to-checkout", "echo no; exit 1");
    a_hook_takes_changed_files: follow().shell("echo changed >server.git/a").hook("push-to-checkout", "git read-tree -u -m HEAD $1");
    a_hook_for_a_linked_worktree: push().config("receive.denyCurrentBranch", "updateInstead").server(&["worktree", "add", "-q", "../linked", "topic"]).hook("push-to-checkout", "{ pwd; echo $GIT_WORK_TREE; } >../seen; git read-tree -u -m HEAD $1").update("refs/heads/topic", "topic", "next");
}

fn refused(outcome: &Outcome, reference: &str, reason: &str) {
    assert!(outcome.report.contains(&format!("ng {reference} {reason}")), "{outcome:#?}");
}

#[test]
fn files_stay_as_they_are_if_the_ref_cannot_be_written() {
    for hook in [None, Some("git read-tree -u -m HEAD $1")] {
        let mut push = follow().shell("ln -s elsewhere server.git/.git/refs/heads/main.lock");
        if let Some(script) = hook {
            push = push.hook("push-to-checkout", script);
        }
        let before = fs::read(push.scene.path("server.git/dir/b")).expect("a file");
        refused(&server::pushed(&push), "refs/heads/main", "failed to update ref");
        assert_eq!(fs::read(push.scene.path("server.git/dir/b")).expect("a file"), before);
        assert_eq!(push.scene.git("server.git", &["status", "--short"]), "");
    }
}

#[test]
fn files_stay_as_they_are_if_another_ref_of_an_atomic_push_is_refused() {
    let push = follow().create("refs/heads/.bad", "next").atomic();
    refused(&server::pushed(&push), "refs/heads/main", "atomic push failure");
    assert_eq!(push.scene.git("server.git", &["status", "--short"]), "");
}

#[test]
fn the_files_follow_to_where_core_worktree_says() {
    let push = follow().shell(
        "mkdir elsewhere; cd server.git; rm -r a dir numbers; git config core.worktree ../../elsewhere; cd ..; git --git-dir=server.git/.git reset -q --hard",
    );
    let outcome = server::pushed(&push);
    assert!(outcome.report.contains(&"ok refs/heads/main".to_owned()), "{outcome:#?}");
    assert_eq!(fs::read_to_string(push.scene.path("elsewhere/dir/b")).expect("a file"), "two, changed\n");
    assert!(!push.scene.path("server.git/dir").exists());
}

#[test]
fn the_null_id_does_not_get_around_what_is_denied() {
    let push =
        push().config("receive.denyDeletes", "true").delete("refs/heads/topic", "0").delete("refs/heads/absent", "0");
    let outcome = server::pushed(&push);
    refused(&outcome, "refs/heads/topic", "deletion prohibited");
    assert!(outcome.report.contains(&"ok refs/heads/absent".to_owned()), "{outcome:#?}");
    let push = support::push::push().config("receive.denyDeleteCurrent", "refuse").delete("refs/heads/main", "0");
    refused(&server::pushed(&push), "refs/heads/main", "deletion of the current branch prohibited");
}

#[test]
fn advice_is_given_only_where_nothing_is_set() {
    let told = |push: &Push| server::pushed(push).told.lines().count();
    let current = push().work_tree().update("refs/heads/main", "main", "next");
    assert!(told(&current) > 3);
    assert_eq!(told(&current.config("receive.denyCurrentBranch", "refuse")), 1);
    let deleted = push().delete("refs/heads/main", "main");
    assert!(told(&deleted) > 3);
    assert_eq!(told(&deleted.config("receive.denyDeleteCurrent", "refuse")), 1);
}
