//! What `GIT_TRACE`, `GIT_TRACE_PACKET` and `GIT_TRACE2_EVENT` tell of a push, beside what git's program tells.

pub mod support;

use std::{fs, path::Path};

use support::{alike::Place, gits, ours, push, scene::Scene, server};

/// A scene whose server has an update hook.
fn scene() -> Scene {
    let scene = Scene::new("sha1", "files");
    scene.hook("update", "echo hook speaks");
    scene
}

/// Push a new branch through `program` with `variable` set to `value` for it alone.
fn push(scene: &Scene, program: &Path, variable: &str, value: &str) {
    let receive_pack = format!("--receive-pack=env {variable}={value} GIT_USER_AGENT=either {}", program.display());
    let arguments = ["push", "-q", &receive_pack, "../server.git", "next:refs/heads/new"];
    let mut command = scene.command("client.git", "git");
    command.env("GIT_USER_AGENT", "either").args(["-c", "transfer.advertiseSID=false"]).args(arguments);
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The lines of the file `trace`, without the time and the place in the source that they begin with.
fn lines(scene: &Scene) -> Vec<String> {
    let text = fs::read_to_string(scene.path("trace")).expect("a trace");
    text.lines()
        .map(|line| {
            let (start, rest) = line.split_at(40);
            let shape: String = start.chars().take(15).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert_eq!(shape, "00:00:00.000000", "{line}");
            rest.to_owned()
        })
        .collect()
}

#[test]
fn packets_are_traced_line_by_line_as_git_does() {
    let scene = scene();
    scene.save();
    let trace = |program: &Path| {
        scene.restore();
        push(&scene, program, "GIT_TRACE_PACKET", &scene.path("trace").display().to_string());
        lines(&scene)
    };
    let (expected, actual) = (trace(&gits()), trace(ours()));
    assert_eq!(actual, expected, "ours on the left");
    assert!(actual.contains(&"packet: receive-pack> unpack ok".to_owned()), "{actual:#?}");
}

#[test]
fn commands_are_traced_with_their_hooks() {
    let scene = scene();
    push(&scene, ours(), "GIT_TRACE", &scene.path("trace").display().to_string());
    let lines = lines(&scene);
    assert_eq!(lines[0], "trace: built-in: git receive-pack ../server.git");
    assert!(lines[1].starts_with("trace: run_command: hooks/update refs/heads/new 000000"), "{lines:#?}");
}

#[test]
fn events_tell_of_start_children_and_exit() {
    let scene = scene();
    for program in [gits().as_path(), ours()] {
        scene.git("server.git", &["update-ref", "-d", "refs/heads/new"]);
        fs::remove_file(scene.path("trace")).ok();
        push(&scene, program, "GIT_TRACE2_EVENT", &scene.path("trace").display().to_string());
        let text = fs::read_to_string(scene.path("trace")).expect("a trace");
        // Those of this process, not of its children: the id of a child has one slash more.
        let own = |line: &&str| {
            line.split("\"sid\":\"").nth(1).is_some_and(|sid| !sid.split('"').next().unwrap().contains('/'))
        };
        let own: Vec<&str> = text.lines().filter(own).collect();
        let has = |parts: &[&str]| {
            assert!(own.iter().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?} in {text}")
        };
        for line in &own {
            assert!(line.starts_with("{\"event\":\"") && line.ends_with('}'), "{line}");
            assert!(line.contains("\"thread\":\"main\",\"time\":\"20"), "{line}");
        }
        has(&["\"event\":\"version\"", "\"evt\":\""]);
        has(&["\"event\":\"start\"", "\"argv\":[\"", "\"../server.git\"]"]);
        has(&["\"category\":\"transfer\",\"key\":\"negotiated-version\",\"value\":\"0\""]);
        has(&[
            "\"event\":\"child_start\"",
            "\"child_class\":\"hook\",\"hook_name\":\"update\"",
            "\"hooks/update\",\"refs/heads/new\"",
        ]);
        has(&["\"event\":\"child_exit\"", "\"code\":0"]);
        has(&["\"event\":\"exit\"", "\"code\":0"]);
    }
}

#[test]
fn the_session_of_the_client_is_told() {
    let scene = scene();
    scene.git("server.git", &["config", "transfer.advertiseSID", "true"]);
    let receive_pack =
        format!("--receive-pack=env GIT_TRACE2_EVENT={}/trace {}", scene.root().display(), ours().display());
    scene.git(
        "client.git",
        &["-c", "transfer.advertiseSID=true", "push", "-q", &receive_pack, "../server.git", "next:refs/heads/new"],
    );
    let text = fs::read_to_string(scene.path("trace")).expect("a trace");
    assert!(text.contains("\"key\":\"client-sid\",\"value\":\"20"), "{text}");
}

#[test]
fn a_directory_gets_one_file_of_events_a_process() {
    let scene = scene();
    fs::create_dir(scene.path("events")).expect("a directory");
    for _ in 0..2 {
        Place::new(&scene, ".").env("GIT_TRACE2_EVENT", "SCENE/events").answer(ours(), &["server"]);
    }
    assert_eq!(fs::read_dir(scene.path("events")).expect("a directory").count(), 2);
}

#[test]
fn the_version_is_told_of_a_request_without_advertisement_too() {
    for program in [gits().as_path(), ours()] {
        let push = push::push().argument("--stateless-rpc").env("GIT_PROTOCOL", "version=1");
        let push = push.env("GIT_TRACE2_EVENT", "2").update("refs/heads/main", "main", "next");
        let output = server::run(program, &push, &push.bytes());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("\"key\":\"negotiated-version\",\"value\":\"1\""), "{told}");
    }
}

#[test]
fn a_failure_is_an_event() {
    let scene = scene();
    for program in [gits().as_path(), ours()] {
        let place = Place::new(&scene, ".").env("GIT_TRACE2_EVENT", "2");
        let answer = place.answer(program, &["nowhere"]);
        assert!(answer.stderr.contains("\"event\":\"error\""), "{}", answer.stderr);
        assert!(answer.stderr.contains("\"code\":128"), "{}", answer.stderr);
    }
}

#[test]
fn values_that_name_no_destination_are_told_as_git_does() {
    let scene = scene();
    for variable in ["GIT_TRACE_PACKET", "GIT_TRACE2_EVENT"] {
        for value in ["", "0", "false", "no", "relative/path", "12", "x"] {
            Place::new(&scene, ".").env(variable, value).alike(&format!("{variable}={value}"), &["server"]);
        }
    }
    for value in ["7", "SCENE", "/nowhere/at/all"] {
        Place::new(&scene, ".").env("GIT_TRACE_PACKET", value).alike(value, &["server"]);
    }
    for value in ["1", "true", "2"] {
        let answer = Place::new(&scene, ".").env("GIT_TRACE_PACKET", value).answer(ours(), &["server"]);
        assert!(answer.stderr.contains("packet: receive-pack> 0000"), "{value}: {}", answer.stderr);
    }
}
