//! One run of one program on one case, and what pairs of runs add up to.

use std::{
    ffi::OsString,
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::rows::Row;

/// The first argument of this binary when it is to run a program and tell how much memory that took.
pub const CHILD: &str = "--measure-one";

/// A receive-pack to measure.
pub struct Program {
    pub name: &'static str,
    pub command: Vec<OsString>,
}

/// What both programs are asked to do.
pub struct Case {
    /// A repository to copy for each run; it stays as it is.
    pub repository: PathBuf,
    /// The bytes that a client sends, recorded.
    pub request: PathBuf,
    /// Text that a run's answer must contain, so that nobody is fast at failing.
    pub must_say: &'static str,
}

/// What one run took.
#[derive(Clone, Copy)]
pub struct Sample {
    pub seconds: f64,
    /// Peak resident memory of the largest of its processes, in KiB.
    pub memory: f64,
}

/// Run `program` on a fresh copy of the case's repository.
pub fn run(program: &Program, case: &Case) -> Result<Sample> {
    let copy = tempfile::Builder::new().prefix(program.name).tempdir_in(crate::generate::directory()?)?;
    let repository = copy.path().join("repository");
    let copied = Command::new("cp").arg("-a").arg(&case.repository).arg(&repository).status()?;
    ensure!(copied.success(), "cannot copy {}", case.repository.display());
    let answer = copy.path().join("answer");
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(&case.request)
        .arg(&answer)
        .args(&program.command)
        .arg(&repository)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{} failed", program.name);
    let said = std::fs::read(&answer)?;
    ensure!(
        memchr::memmem::find(&said, case.must_say.as_bytes()).is_some(),
        "{} did not say '{}' but: {}",
        program.name,
        case.must_say,
        said[said.len().saturating_sub(300)..].escape_ascii()
    );
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || -> Result<f64> { Ok(numbers.next().context("the child printed too little")??) };
    Ok(Sample { seconds: next()?, memory: next()? })
}

/// In the child: run the one program with the recorded request, print its seconds and peak memory.
pub fn child(arguments: &[String]) -> Result<()> {
    let [request, answer, program, rest @ ..] = arguments else { anyhow::bail!("not enough arguments") };
    let stdin = File::open(request)?;
    let stdout = File::create(answer)?;
    let start = Instant::now();
    let status = Command::new(program).args(rest).stdin(stdin).stdout(stdout).status()?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(status.success(), "{program} ended with {status}");
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    println!("{seconds} {}", usage.max_rss());
    Ok(())
}

/// One line of the table: medians, and the ratio's spread from its lower to its upper quartile.
pub fn table_row(row: &Row, samples: &[(Sample, Sample)]) -> String {
    let ratios = sorted(samples.iter().map(|(ours, git)| ours.seconds / git.seconds));
    let ours = sorted(samples.iter().map(|(ours, _)| ours.seconds * 1e3));
    let git = sorted(samples.iter().map(|(_, git)| git.seconds * 1e3));
    let memory = sorted(samples.iter().map(|(ours, git)| ours.memory / git.memory));
    format!(
        "| {} | {} | {:.3} | {:.3} – {:.3} | {:.2} | {:.2} | {:.2} |",
        row.name,
        row.aim,
        at(&ratios, 0.5),
        at(&ratios, 0.25),
        at(&ratios, 0.75),
        at(&ours, 0.5),
        at(&git, 0.5),
        at(&memory, 0.5)
    )
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
