//! What recovery does about processes that are not its own: a hook's child without the hook's environment, those of another
//! user, and what another user's push left in a shared repository. The last two need root, which can be anybody.

pub mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use support::{
    balanced::{Balanced, Pushed, eventually, listing, process_in},
    optional_program, ours,
};

/// Somebody without any rights.
const NOBODY: &str = "65534";

/// The program that starts others as nobody; `None`, and a word about it, where that cannot be.
fn setpriv() -> Option<String> {
    let program = optional_program("setpriv", "util-linux")?;
    if !geteuid().is_root() {
        support::skipped("only root can be two users");
        return None;
    }
    Some(format!("{} --reuid={NOBODY} --regid={NOBODY} --clear-groups", program.display()))
}

/// A repository that everybody may write to.
fn shared() -> Balanced {
    let balanced = Balanced::new();
    balanced.config("core.sharedRepository", "0666");
    fs::write(balanced.path("home/.gitconfig"), "[safe]\n\tdirectory = *\n").unwrap();
    let outside = balanced.path("..").canonicalize().unwrap();
    fs::set_permissions(outside, fs::Permissions::from_mode(0o755)).unwrap();
    let open = |path: &Path| assert!(Command::new("chmod").args(["-R", "a+rwX"]).arg(path).status().unwrap().success());
    open(&balanced.path("."));
    balanced
}

fn as_nobody(balanced: &Balanced, setpriv: &str, command: &str) -> Output {
    balanced.scene.command(".", "sh").args(["-c", &format!("exec {setpriv} {command}")]).output().unwrap()
}

fn has_ended(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// A hook that starts `child` beside itself and waits for it, and whose push was killed, and the hook too if `both`.
fn killed_with_child(balanced: &Balanced, child: &str, both: bool) -> Pid {
    balanced.hook(&format!(
        "[ \"$1\" = prepared ] || {{ echo \"$1\" >>\"$SEEN\"; exit 1; }}
        {child} >/dev/null 2>&1 & echo $! >\"$SEEN.child\"
        echo \"$PPID\" >\"$SEEN.push\"; echo $$ >\"$SEEN.hook\"; wait"
    ));
    let push = balanced.start_push(&["next:main", "side:old"]);
    let [program, hook, child] =
        ["push", "hook", "child"].map(|who| process_in(&balanced.path(&format!("seen.{who}"))));
    eventually("the hook's line in the journal", || {
        let mut journals = fs::read_dir(balanced.path("server.git/balanced")).ok()?.flatten();
        let text = journals.find_map(|journal| fs::read_to_string(journal.path()).ok())?;
        text.lines().any(|line| line.starts_with("hook ")).then_some(())
    });
    kill(program, Signal::SIGKILL).unwrap();
    if both {
        kill(hook, Signal::SIGKILL).unwrap();
        eventually("the end of the hook", || has_ended(hook).then_some(()));
    }
    assert!(!Pushed::of(push).accepted);
    child
}

#[test]
fn a_child_of_the_hook_that_has_another_environment_is_ended_with_its_group() {
    for both in [true, false] {
        let balanced = Balanced::new();
        let child = killed_with_child(&balanced, "env -i sleep 1000", both);
        assert!(!has_ended(child));
        let (exit, printed) = balanced.recover();
        assert!(exit == 0 && printed.contains("rolled back"), "{printed}");
        assert!(has_ended(child), "{both}");
        balanced.check_clean();
    }
}

#[test]
fn while_a_process_of_another_user_is_at_work_on_it_nobody_is_asked() {
    let Some(setpriv) = setpriv() else { return };
    for both in [true, false] {
        let balanced = shared();
        let child = killed_with_child(&balanced, "sleep 1000", both);
        let recover = format!("{} --recover {}", ours().display(), balanced.path("server.git").display());
        let recovered = as_nobody(&balanced, &setpriv, &recover);
        let printed = String::from_utf8_lossy(&recovered.stdout).into_owned();
        assert_eq!(recovered.status.code(), Some(1), "{printed} {recovered:?}");
        assert!(printed.contains("in doubt") && balanced.seen().is_empty() && !has_ended(child), "{printed}");
        // Who may end it does.
        let (exit, printed) = balanced.recover();
        assert!(exit == 0 && printed.contains("rolled back"), "{printed}");
        assert!(has_ended(child));
        balanced.check_clean();
    }
}

#[test]
fn what_one_user_left_another_settles() {
    let Some(setpriv) = setpriv() else { return };
    let receive_pack = format!("{setpriv} {}", ours().display());
    let push =
        |balanced: &Balanced, refspecs: &[&str]| Pushed::of(balanced.start_push_through(&receive_pack, refspecs));
    for (answer, phase) in [(0, "committed"), (1, "aborted")] {
        let balanced = shared();
        push(&balanced, &["next:shared/one", "side:old"]).expect_yes();
        balanced.push(&["next2:shared/one", "next2:shared/two"]).expect_yes();
        push(&balanced, &["next:main", "next:shared/three", ":shared/two"]).expect_yes();
        // Root's push dies when it has decided, nobody finishes it.
        balanced.hook(&format!("case $1 in prepared) exit {answer} ;; {phase}) kill -9 $PPID ;; esac"));
        assert!(!balanced.push(&["next2:main", "next2:shared/four", ":shared/one"]).accepted);
        balanced.hook("");
        push(&balanced, &["alien:shared/five"]).expect_yes();
        assert_eq!(balanced.value("main"), balanced.theirs(if answer == 0 { "next2" } else { "next" }));
        balanced.check_clean();
        // Everybody may go on with everything.
        for (path, found) in listing(&balanced.path("server.git")) {
            let mode = found.split(' ').next().unwrap_or_default();
            // A link has no mode of its own, an object stays as it is.
            let is_open = ["66", "77"].iter().any(|open| mode.ends_with(open)) || mode.starts_with("12");
            let is_fixed = path.starts_with("objects/") && mode.ends_with("444");
            assert!(is_open || is_fixed || path.starts_with("hooks/"), "{path} {mode}");
        }
    }
}
