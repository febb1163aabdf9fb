//! What one run does to the machine besides taking time: numbers that repeat, counted by strace.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::measure::{self, Case, Copies, Program};

/// The calls that start programs or make files.
const CALLS: &str = "trace=execve,openat,creat,mkdir,mkdirat,symlink,symlinkat,link,linkat";

/// What one push of a case made.
pub struct Effects {
    /// Programs that ran, the measured one included.
    pub processes: usize,
    /// Files, directories and links, those that were gone again at the end included.
    pub files: usize,
}

/// Count them for the case's first request; `None` if there is no strace to do it.
pub fn count(program: &Program, case: &Case, copies: &mut Copies) -> Result<Option<Effects>> {
    let (dir, repository) = measure::copy(program, case)?;
    let answer = dir.path().join("answer");
    let traced = Command::new("strace")
        // A file for each thread, so that no line is cut by another's.
        .args(["-ff", "-qq", "-e", "signal=none", "-e", CALLS, "-o"])
        .arg(dir.path().join("trace"))
        .args(&program.command)
        .arg(&repository)
        .stdin(File::open(&case.requests[0])?)
        .stdout(File::create(&answer)?)
        .stderr(Stdio::null())
        .status();
    let Ok(status) = traced else { return Ok(None) };
    ensure!(status.success(), "{} failed under strace", program.name);
    measure::check_answer(program, case, &answer)?;
    let mut effects = Effects { processes: 0, files: 0 };
    for entry in fs::read_dir(dir.path())? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"trace.")) {
            continue;
        }
        let trace = fs::read(&path).with_context(|| format!("cannot read '{}'", path.display()))?;
        for line in String::from_utf8_lossy(&trace).lines().filter(|line| !line.contains(" = -1 ")) {
            match line.split_once('(').map(|(call, _)| call) {
                Some("execve") => effects.processes += 1,
                Some("openat") => effects.files += usize::from(line.contains("O_CREAT")),
                Some(_) => effects.files += 1,
                None => {}
            }
        }
    }
    copies.keep(dir)?;
    Ok(Some(effects))
}
