//! The same command line given to git's program and to ours, in the same place: exit status and stderr are to be the same.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use super::{gits, ours, scene::Scene};

/// What a program did with a command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// `None` if it died of a signal.
    pub status: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Answer {
    /// Run `command`, with nothing to read.
    pub fn of(command: &mut Command) -> Answer {
        let output = command.stdin(Stdio::null()).output().expect("the program runs");
        Answer {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// True if the first ref's capabilities have `name`.
    pub fn advertises(&self, name: &str) -> bool {
        let capabilities = self.stdout.split('\0').nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        capabilities.split(' ').any(|capability| capability == name)
    }
}

/// Programs run on the command line `git-receive-pack --advertise-refs …` in a directory of a scene.
pub struct Place<'a> {
    scene: &'a Scene,
    directory: &'a str,
    environment: Vec<(String, String)>,
}

impl<'a> Place<'a> {
    /// `directory` of `scene`, with nothing in the environment that the scene does not put there.
    pub fn new(scene: &'a Scene, directory: &'a str) -> Self {
        let environment = vec![("GIT_USER_AGENT".to_owned(), "either".to_owned())];
        Place { scene, directory, environment }
    }

    /// With a variable; `SCENE` in it stands for the scene's path.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let value = value.replace("SCENE", &self.scene.root().display().to_string());
        self.environment.push((name.to_owned(), value));
        self
    }

    /// What `program` does with `--advertise-refs` and `arguments`.
    pub fn answer(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Answer {
        let mut command = self.scene.command(self.directory, program);
        Answer::of(command.envs(self.environment.iter().cloned()).arg("--advertise-refs").args(arguments))
    }

    /// Fail unless both programs do the same with `--advertise-refs` and `arguments`; ours is returned.
    pub fn alike(&self, what: &str, arguments: &[&str]) -> Answer {
        let (expected, actual) = (self.answer(gits(), arguments), self.answer(ours(), arguments));
        assert_eq!(
            (actual.status, &actual.stderr),
            (expected.status, &expected.stderr),
            "{what}: ours on the left, git's on the right"
        );
        assert_eq!(actual.stdout, expected.stdout, "{what}: the advertisement, ours on the left");
        actual
    }
}
