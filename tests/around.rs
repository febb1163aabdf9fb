//! What surrounds a push, beside what git's program does on a copy: permissions in shared repositories, logs, upkeep,
//! the refs of alternates, session ids.

pub mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
};

use support::{
    gits,
    observe::Outcome,
    ours,
    push::{Push, push, push_to},
    server,
};

/// Fail unless both programs do the same, in all that can be seen; ours is returned.
#[track_caller]
fn alike(push: Push) -> Outcome {
    let push = push.env("GIT_TEST_FSYNC", "0");
    let (theirs, mine) = server::pushed_to_both(&push);
    let differences = mine.differences(&theirs, push.own_words);
    assert!(differences.is_empty(), "they differ in\n{differences}");
    mine
}

/// Mode and name of everything in the repository.
fn modes(git_dir: &Path) -> Vec<String> {
    let mut modes = Vec::new();
    let mut open = vec![git_dir.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            let meta = entry.metadata().expect("an entry");
            let name = path.strip_prefix(git_dir).expect("below").display().to_string();
            let kind = if meta.is_dir() { "/" } else { "" };
            modes.push(format!("{name}{kind} {:04o}", meta.permissions().mode() & 0o7777));
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    modes.sort();
    modes
}

/// The modes after `program` served `request` under `umask`.
fn modes_after(program: &Path, push: &Push, request: &[u8], umask: &str) -> Vec<String> {
    let mut script = push.scene.command(".", "sh");
    script
        .args(["-c", "umask $1; exec \"$2\" --stateless-rpc server.git <request", "sh", umask])
        .arg(program)
        .env("GIT_TEST_FSYNC", "0");
    fs::write(push.scene.path("request"), request).expect("a request");
    let Output { status, stdout, stderr } = script.stdin(Stdio::null()).output().expect("sh runs");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && !said.contains("ng refs/"), "{said}");
    modes(&push.scene.path("server.git"))
}

/// What a push that makes files of every kind leaves, where `core.sharedRepository` is `shared`.
#[track_caller]
fn same_modes(shared: &str) {
    // Loose objects, or a pack.
    for (limit, gone) in [("1000", "info objects/info"), ("1", "info objects/info objects/pack")] {
        let push = push()
            .config("core.sharedRepository", shared)
            .config("receive.unpackLimit", limit)
            .config("core.logAllRefUpdates", "always")
            .config("receive.updateServerInfo", "true")
            .shell(&format!("cd server.git; rm -rf {gone}"))
            // A log that was there before the repository was shared.
            .shell("cd server.git; mkdir -p logs/refs/heads; : >logs/refs/heads/main; chmod 600 logs/refs/heads/main")
            .update("refs/heads/main", "main", "next")
            .create("refs/heads/deep/down/new", "next2")
            .create("refs/other/tag", "v2")
            .delete("refs/heads/old", "old")
            .delete("refs/heads/topic", "topic");
        let request = push.bytes();
        push.scene.save();
        for umask in ["022", "077"] {
            let theirs = modes_after(&gits(), &push, &request, umask);
            push.scene.restore();
            let mine = modes_after(ours(), &push, &request, umask);
            push.scene.restore();
            let only = |these: &[String], those: &[String]| -> Vec<String> {
                these.iter().filter(|mode| !those.contains(mode)).cloned().collect()
            };
            let (mine_only, theirs_only) = (only(&mine, &theirs), only(&theirs, &mine));
            assert_eq!(mine_only, theirs_only, "{shared}, umask {umask}, ours on the left");
        }
    }
}

#[test]
fn files_have_the_modes_that_the_umask_says() {
    same_modes("umask");
}

#[test]
fn files_of_a_group_have_gits_modes() {
    same_modes("group");
}

#[test]
fn files_of_everybody_have_gits_modes() {
    same_modes("all");
}

#[test]
fn files_have_the_very_modes_that_are_asked_for() {
    for shared in ["0640", "0600", "0604"] {
        same_modes(shared);
    }
}

const RECEIVE_HOOKS: [&str; 4] = ["pre-receive", "update", "post-receive", "post-update"];

/// A push that updates, creates and deletes, with refs of each kind that the settings of logs tell apart.
fn of_all_kinds() -> Push {
    push()
        .update("refs/heads/main", "main", "next")
        .create("refs/heads/a/b", "next")
        .create("refs/remotes/a/b", "next")
        .create("refs/notes/n", "next")
        .create("refs/tags/v2", "v2")
        .create("refs/other/o", "next")
        .delete("refs/heads/topic", "topic")
}

#[test]
fn logs_are_written_by_the_setting() {
    for value in ["true", "false", "always", "ALWAYS", "yes", "1", "", "perhaps"] {
        // A log that is there goes on, whatever the setting.
        let logged = ["-c", "core.logAllRefUpdates=always", "update-ref", "-m", "before", "refs/other/logged", "main"];
        alike(
            of_all_kinds()
                .server(&logged)
                .update("refs/other/logged", "main", "next")
                .config("core.logAllRefUpdates", value),
        );
    }
    // Unset it means true where there is a work tree.
    alike(of_all_kinds().work_tree().config("receive.denyCurrentBranch", "ignore"));
    alike(of_all_kinds());
}

#[test]
fn logs_of_head_and_of_symbolic_refs_are_gits() {
    let always = || push().config("core.logAllRefUpdates", "always");
    alike(always().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).update(
        "refs/heads/alias",
        "main",
        "next",
    ));
    alike(always().server(&["symbolic-ref", "HEAD", "refs/heads/unborn"]).create("refs/heads/unborn", "next"));
    alike(always().server(&["update-ref", "--no-deref", "HEAD", "main"]).update("refs/heads/main", "main", "next"));
    alike(always().config("receive.denyDeleteCurrent", "ignore").delete("refs/heads/main", "main"));
    alike(
        always()
            .server(&["worktree", "add", "-q", "../linked", "topic"])
            .config("receive.denyCurrentBranch", "ignore")
            .update("refs/heads/topic", "topic", "next"),
    );
}

#[test]
fn a_log_makes_way_and_is_in_the_way_as_with_git() {
    let always = || push().config("core.logAllRefUpdates", "always");
    alike(always().shell("mkdir -p server.git/logs/refs/heads/new/deep/down").create("refs/heads/new", "next"));
    alike(
        always()
            .server(&["update-ref", "-m", "x", "refs/heads/d/x", "main"])
            .delete("refs/heads/d/x", "main")
            .create("refs/heads/other", "next"),
    );
    alike(
        always()
            .shell("mkdir -p server.git/logs/refs/heads; echo left over >server.git/logs/refs/heads/new")
            .create("refs/heads/new", "next"),
    );
}

#[test]
fn maintenance_is_started_or_not_as_git_does() {
    let upkeep = || {
        // One pack is one too many, and there is one.
        let push = push().server(&["repack", "-q", "-d"]).config("receive.unpackLimit", "1");
        let push = push.config("receive.autogc", "true").config("gc.autoPackLimit", "1");
        push.hook("pre-auto-gc", "echo asked >>../seen; echo shall it be; exit 1")
    };
    let settings: [&[(&str, &str)]; 6] = [
        &[("maintenance.autoDetach", "false")],
        &[("gc.autoDetach", "false")],
        &[("maintenance.autoDetach", "false"), ("gc.autoDetach", "true")],
        &[("maintenance.autoDetach", "false"), ("maintenance.auto", "false")],
        &[("maintenance.autoDetach", "false"), ("receive.autogc", "0")],
        &[("maintenance.autoDetach", "false"), ("gc.auto", "0")],
    ];
    for settings in settings {
        let push = settings.iter().fold(upkeep(), |push, (key, value)| push.config(key, value));
        alike(push.update("refs/heads/main", "main", "many"));
    }
    let told = alike(upkeep().config("gc.autoDetach", "false").update("refs/heads/main", "main", "many"));
    assert!(told.told.contains("shall it be") && told.seen == "asked\n", "{told:#?}");
    // To a client without side-band: to the server's stderr.
    let bare = upkeep().config("gc.autoDetach", "false").capabilities("report-status");
    alike(bare.update("refs/heads/main", "main", "many"));
    // After a push in which everything was refused, but not after none.
    alike(upkeep().config("gc.autoDetach", "false").create("refs/heads/.x", "next"));
    alike(upkeep().config("gc.autoDetach", "false").hook("pre-receive", "exit 1").create("refs/heads/x", "many"));
    alike(upkeep().config("gc.autoDetach", "false").raw(b"0000"));
    alike(
        upkeep()
            .config("gc.autoDetach", "false")
            .update("refs/heads/main", "main", "next")
            .damaged(|pack| pack.truncate(30)),
    );
}

#[test]
fn tests_can_keep_maintenance_from_detaching_itself() {
    // Later: 2.47 knows the variable elsewhere only.
    for (settings, detach) in [(None, "--no-detach"), (Some("true"), "--detach")] {
        let push = push().config("receive.autogc", "true").env("GIT_TEST_MAINT_AUTO_DETACH", "false");
        let push = push.env("GIT_TRACE", "SCENE/trace").delete("refs/heads/topic", "topic");
        let push = settings.into_iter().fold(push, |push, value| push.config("maintenance.autoDetach", value));
        server::run(ours(), &push, &push.bytes());
        let trace = fs::read_to_string(push.scene.path("trace")).expect("a trace");
        assert!(trace.contains(&format!("git maintenance run --auto --quiet {detach}")), "{trace}");
    }
}

/// The files that dumb clients read, after a push to both programs.
#[track_caller]
fn same_server_info(push: Push) {
    let push = push.config("receive.updateServerInfo", "true");
    let request = push.bytes();
    let after = |program: &Path| {
        server::run(program, &push, &request);
        ["info/refs", "objects/info/packs"].map(|name| fs::read_to_string(push.scene.git_dir().join(name)).ok())
    };
    push.scene.save();
    let theirs = after(&gits());
    push.scene.restore();
    assert_eq!(after(ours()), theirs, "ours on the left");
}

#[test]
fn files_for_dumb_clients_are_what_git_writes() {
    same_server_info(of_all_kinds());
    same_server_info(of_all_kinds().config("receive.unpackLimit", "1"));
    same_server_info(of_all_kinds().config("transfer.hideRefs", "refs/heads"));
    same_server_info(of_all_kinds().env("GIT_NAMESPACE", "a"));
    same_server_info(of_all_kinds().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]));
    same_server_info(of_all_kinds().shell("rm -rf server.git/info server.git/objects/info"));
    same_server_info(of_all_kinds().hook("pre-receive", "exit 1"));
    same_server_info(
        push()
            .server(&["worktree", "add", "-q", "../linked", "topic"])
            .directory("linked")
            .create("refs/heads/new", "next"),
    );
    same_server_info(push_to("sha1", "reftable").create("refs/heads/new", "next"));
    same_server_info(push_to("sha256", "files").create("refs/heads/new", "many"));
    same_server_info(push().raw(b"0000"));
}

const ALTERNATE: &str =
    "mkdir -p server.git/objects/info; echo ../../client.git/objects >server.git/objects/info/alternates";

#[test]
fn the_command_that_lists_the_refs_of_alternates_is_run_as_git_does() {
    let commands = [
        "echo $(pwd) \"$@\" >>../seen; env | grep ^GIT_ | sort >>../seen; git -C ../client.git rev-parse next; :",
        "printf '%s\\n%s\\n' $(git -C ../client.git rev-parse next next) #",
        "git --git-dir=../client.git for-each-ref --format='%(objectname)' refs/heads/alien; exit 3; :",
        "echo garbage; :",
        "echo 1234; :",
        "printf 1234567890123456789012345678901234567890; :",
        "echo 1234567890123456789012345678901234567890 and more; :",
        "exit 1; :",
        "printf '%s\\r\\n' 1234567890123456789012345678901234567890; :",
        "kill -9 $$; :",
    ];
    for command in commands {
        alike(push().shell(ALTERNATE).config("core.alternateRefsCommand", command).raw(b"0000"));
    }
    // One that is not there is looked for by the shell here, which says so in its own words.
    alike(push().shell(ALTERNATE).config("core.alternateRefsCommand", "/nowhere/at/all").raw(b"0000").own_words());
}

#[test]
fn prefixes_choose_the_refs_of_alternates_as_with_git() {
    for prefixes in
        ["refs/heads", "refs/heads/", "refs/hea", "refs/tags refs/heads/side", "refs/heads/side", "refs/none", "", " "]
    {
        alike(push().shell(ALTERNATE).config("core.alternateRefsPrefixes", prefixes).raw(b"0000"));
    }
    // The command is asked first.
    alike(
        push()
            .shell(ALTERNATE)
            .config("core.alternateRefsPrefixes", "refs/heads/side")
            .config("core.alternateRefsCommand", "git -C ../client.git rev-parse alien; :")
            .raw(b"0000"),
    );
}

#[test]
fn the_refs_of_alternates_vouch_for_their_objects_as_with_git() {
    let empty = || push().shell(ALTERNATE).objects(&[]).recording(&RECEIVE_HOOKS, "");
    alike(empty().create("refs/heads/new", "next2"));
    alike(empty().config("core.alternateRefsPrefixes", "refs/heads/side").create("refs/heads/new", "next2"));
    alike(empty().config("core.alternateRefsCommand", "exit 1; :").create("refs/heads/new", "next2"));
    alike(
        empty()
            .shell("echo ../../client.git/objects >>server.git/objects/info/alternates")
            .create("refs/heads/new", "next"),
    );
}

/// The session id in the advertisement of `program`.
fn session_id(program: &Path, push: &Push) -> String {
    let said = server::run(program, push, b"0000").stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let after = said.split(" session-id=").nth(1).expect("a session id");
    after.split(' ').next().expect("a word").to_owned()
}

#[test]
fn session_ids_look_like_gits() {
    let push = push().config("transfer.advertiseSID", "true");
    // Digits and letters are by chance.
    let shape = |id: &str| -> String {
        let shape = id.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c });
        shape.collect()
    };
    let (mine, theirs) = (session_id(ours(), &push), session_id(&gits(), &push));
    assert_eq!(shape(&mine), shape(&theirs));
    assert_ne!(mine, session_id(ours(), &push));
    // A process that traces tells its children who they belong to.
    let push = push.env("GIT_TRACE2_PARENT_SID", "grandparent/parent");
    let (mine, theirs) = (session_id(ours(), &push), session_id(&gits(), &push));
    assert_eq!(shape(&mine), shape(&theirs));
    assert!(mine.starts_with("grandparent/parent/"), "{mine}");
}

#[test]
fn session_ids_of_clients_are_of_no_consequence() {
    let offering = || push().config("transfer.advertiseSID", "true");
    let long = "x".repeat(1000);
    for id in ["20240101T000000.000000Z-H1-P1", "", "a/b", &long] {
        alike(offering().also(&format!("session-id={id}")).update("refs/heads/main", "main", "next"));
    }
    // Not offered, and sent nevertheless.
    alike(push().also("session-id=x").update("refs/heads/main", "main", "next"));
    for value in ["false", "perhaps"] {
        alike(push().config("transfer.advertiseSID", value).raw(b"0000"));
    }
}
