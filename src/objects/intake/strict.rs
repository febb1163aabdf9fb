//! `receive.fsckObjects`: the installed git takes a pack into the quarantine and checks each of its objects.
//!
//! What makes an object unsound is a long list that grows with each release. Until this program has checks of its own, a push
//! into a repository that asks for them costs one more process; without a git to start it is refused.

use std::{ffi::OsString, fs::File, io::Write, os::unix::ffi::OsStringExt, process::Command};

use anyhow::{Context, Result};
use gix::ObjectId;

use super::{Intake, UnpackError, pack_stream::read_header};
use crate::{
    config::fsck::FsckRules,
    git::{self, Heard},
    hooks::environment,
};

impl Intake<'_> {
    /// Read one pack from `input`, whose next byte is the pack's first: nothing may have been read ahead, since the program
    /// that is started goes on from there. `roots` are where the histories of the repository and of the client are cut off.
    pub fn receive_strictly(&self, rules: &FsckRules, roots: &[ObjectId], mut input: File) -> Result<(), UnpackError> {
        let (header, count) = read_header(&mut input).map_err(UnpackError)?;
        let is_few = u64::from(count) < self.config.unpack_limit;
        let (program, reason) = match is_few {
            true => ("unpack-objects", "unpack-objects abnormal exit"),
            false => ("index-pack", "index-pack abnormal exit"),
        };
        let taken = self.command(program, rules, roots).and_then(|mut command| {
            command.arg(format!("--pack_header={},{count}", header[7])).stdin(input);
            git::run(command, Heard::Stderr, self.messages).with_context(|| format!("cannot run 'git {program}'"))
        });
        match taken {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(UnpackError(reason)),
            Err(err) => {
                self.messages.tell(format!("fatal: {err:#}\n").as_bytes());
                Err(UnpackError(reason))
            }
        }
    }

    fn command(&self, program: &str, rules: &FsckRules, roots: &[ObjectId]) -> Result<Command> {
        let mut git = Command::new("git");
        git.envs(environment::for_children()).envs(self.quarantine.environment());
        if !roots.is_empty() {
            git.arg("--shallow-file").arg(self.write_roots(roots)?);
        }
        git.arg(program);
        let mut strict = b"--strict".to_vec();
        strict.extend_from_slice(rules.argument());
        git.arg(OsString::from_vec(strict));
        if let Some(limit) = self.config.max_input_size {
            git.arg(format!("--max-input-size={limit}"));
        }
        if program == "unpack-objects" {
            // Its progress is never shown.
            git.arg("-q");
            return Ok(git);
        }
        let host = nix::unistd::gethostname().unwrap_or_else(|_| "localhost".into());
        let keep = format!("--keep=receive-pack {} on {}", std::process::id(), host.display());
        git.args(["--stdin", &keep]);
        if self.progress {
            git.arg("--show-resolving-progress");
        }
        if !self.reject_thin {
            git.arg("--fix-thin");
        }
        Ok(git)
    }

    /// A file in the quarantine that lists `roots`.
    fn write_roots(&self, roots: &[ObjectId]) -> Result<std::path::PathBuf> {
        let path = self.quarantine.dir().join("shallow");
        let context = || format!("cannot write '{}'", path.display());
        let mut file = File::create_new(&path).with_context(context)?;
        for root in roots {
            writeln!(file, "{root}").with_context(context)?;
        }
        Ok(path)
    }
}
