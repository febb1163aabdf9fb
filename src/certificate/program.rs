//! The programs that check signatures: which they are (git-config, "gpg.program" and its like), and how they are run.

use std::{
    ffi::{OsStr, OsString},
    io, iter,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use super::gpg::is_trust_level;
use crate::{
    config::{Settings, setting::Setting},
    hooks::conversation::{Ending, converse},
    system_error, trace,
};

/// How much is kept of what a program says, in bytes: a signature that is one takes a few hundred.
const MUCH: usize = 1 << 20;

/// What is configured about signatures.
pub struct Programs<'a> {
    /// `gpg.openpgp.program` or `gpg.program`
    pub openpgp: PathBuf,
    /// `gpg.x509.program`
    pub x509: PathBuf,
    /// `gpg.ssh.program`
    pub ssh: PathBuf,
    /// `gpg.ssh.allowedSignersFile`
    pub allowed_signers: Option<PathBuf>,
    /// `gpg.ssh.revocationFile`
    pub revocations: Option<PathBuf>,
    /// What they get beside this process's environment.
    environment: &'a [(OsString, OsString)],
}

/// What a program said.
pub struct Said {
    /// It exited with status 0.
    pub is_success: bool,
    /// Its standard output, up to the first [`MUCH`] bytes.
    pub output: Vec<u8>,
    /// There was more than that.
    pub is_cut: bool,
}

impl<'a> Programs<'a> {
    /// Read the settings; fails on values that make no sense, as git does also for those that only matter where signatures are
    /// made, or where it is asked how far a key is trusted.
    pub fn read(settings: &Settings, environment: &'a [(OsString, OsString)]) -> Result<Self> {
        let mut programs = Programs {
            openpgp: "gpg".into(),
            x509: "gpgsm".into(),
            ssh: "ssh-keygen".into(),
            allowed_signers: None,
            revocations: None,
            environment,
        };
        for setting in settings.iter() {
            match setting.key.as_slice() {
                b"gpg.program" | b"gpg.openpgp.program" => programs.openpgp = setting.path()?,
                b"gpg.x509.program" => programs.x509 = setting.path()?,
                b"gpg.ssh.program" => programs.ssh = setting.path()?,
                b"gpg.ssh.allowedsignersfile" => programs.allowed_signers = Some(setting.path()?),
                b"gpg.ssh.revocationfile" => programs.revocations = Some(setting.path()?),
                b"gpg.format" => check_word(setting, |word| [&b"openpgp"[..], b"x509", b"ssh"].contains(&word))?,
                b"gpg.mintrustlevel" => check_word(setting, is_trust_level)?,
                b"gpg.ssh.defaultkeycommand" | b"user.signingkey" => drop(setting.text()?),
                _ => {}
            }
        }
        Ok(programs)
    }

    /// Run `program` to its end with `stdin`. That it cannot be started is told on stderr, and `None`.
    pub fn run(&self, program: &Path, arguments: &[&OsStr], stdin: &[u8]) -> Result<Option<Said>> {
        let cannot = || format!("cannot hear what '{}' says of a signature", program.display());
        let traced = trace::child(None, iter::once(program.as_os_str()).chain(arguments.iter().copied()));
        let (reader, writer) = io::pipe().with_context(cannot)?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let started = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::null()).spawn();
        // It holds the writing end, and the end of the output would never come.
        drop(command);
        let mut child = match started {
            Ok(child) => child,
            Err(err) => {
                say!("fatal: cannot exec '{}': {}", program.display(), system_error::words(&err));
                return Ok(None);
            }
        };
        let mut said = Said { is_success: false, output: Vec::new(), is_cut: false };
        let hear = |bytes: &[u8]| {
            let kept = bytes.len().min(MUCH - said.output.len());
            said.output.extend_from_slice(&bytes[..kept]);
            said.is_cut |= kept < bytes.len();
        };
        let (ending, _) = converse(&mut child, stdin, Some(reader), hear, None).with_context(cannot)?;
        if let Ending::Exited(status) = ending {
            said.is_success = status.success();
            if let Some(traced) = traced {
                traced.ended(child.id(), status);
            }
        }
        Ok(Some(said))
    }
}

/// Fail, in git's words, if the value of `setting` is no known one.
fn check_word(setting: &Setting, is_known: impl Fn(&[u8]) -> bool) -> Result<()> {
    let word = setting.text()?;
    match is_known(word) {
        true => Ok(()),
        false => Err(setting.reject(format_args!("invalid value for '{}': '{word}'", setting.key))),
    }
}
