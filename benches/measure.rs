//! One run of one program on one case, and runs of two programs in turn.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

/// The first argument of this binary when it is to run a program and tell how much memory that took.
pub const CHILD: &str = "--measure-one";

/// What it is told where the pushes are to run side by side.
const AT_ONCE: &str = "at-once";

/// A receive-pack to measure.
pub struct Program {
    pub name: &'static str,
    pub command: Vec<OsString>,
}

/// What both programs are asked to do.
pub struct Case {
    /// A repository to copy for each run; it stays as it is.
    pub repository: PathBuf,
    /// The bytes that a client sends, recorded, for each push.
    pub requests: Vec<PathBuf>,
    /// Whether the pushes are made at once, or one after the other.
    pub at_once: bool,
    /// Text that each answer must contain, so that nobody is fast at failing.
    pub must_say: &'static str,
}

/// What one run took.
#[derive(Clone, Copy)]
pub struct Sample {
    pub seconds: f64,
    /// Peak resident memory of the largest of its processes, in KiB.
    pub memory: f64,
    /// What it wrote to disk, in KiB.
    pub written: f64,
}

/// A copy of the case's repository to work on, on disk already, in a directory that goes when this does.
pub fn copy(program: &Program, case: &Case) -> Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::Builder::new().prefix(program.name).tempdir_in(crate::generate::directory()?)?;
    let repository = dir.path().join("repository");
    let copied = Command::new("cp").arg("-a").arg(&case.repository).arg(&repository).status()?;
    ensure!(copied.success(), "cannot copy {}", case.repository.display());
    // What the copy still has to write is not the business of what is measured on it.
    nix::unistd::syncfs(File::open(&repository)?)?;
    Ok((dir, repository))
}

/// Run `program` on a fresh copy of the case's repository, and return what is left of that too.
pub fn run(program: &Program, case: &Case) -> Result<(Sample, tempfile::TempDir)> {
    let (dir, repository) = copy(program, case)?;
    let mut child = Command::new(std::env::current_exe()?);
    child
        .arg(CHILD)
        .arg(if case.at_once { AT_ONCE } else { "in-turn" })
        .arg(dir.path())
        .arg(case.requests.len().to_string());
    child.args(&case.requests).args(&program.command).arg(&repository);
    let output = child.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} failed", program.name);
    for n in 0..case.requests.len() {
        check_answer(program, case, &dir.path().join(n.to_string()))?;
    }
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || -> Result<f64> { Ok(numbers.next().context("the child printed too little")??) };
    Ok((Sample { seconds: next()?, memory: next()?, written: next()? }, dir))
}

/// The copies that were worked on. ext4 is slow to make files where many were removed in the last minutes, and nobody is to pay for
/// the files of another: so they go when this does, at the end.
#[derive(Default)]
pub struct Copies(Vec<tempfile::TempDir>);

impl Copies {
    /// Keep this one.
    pub fn keep(&mut self, dir: tempfile::TempDir) -> Result<()> {
        // Large files are few, and would take all the room that there is.
        let freed = Command::new("find").arg(dir.path()).args(["-type", "f", "-size", "+1M", "-delete"]).status()?;
        ensure!(freed.success(), "cannot free '{}'", dir.path().display());
        self.0.push(dir);
        Ok(())
    }
}

/// Run each of the two on its case `pairs` times, in turn. A first pair does not count, so that neither meets a cold cache.
pub fn in_turn(
    ours: (&Program, &Case),
    other: (&Program, &Case),
    pairs: usize,
    copies: &mut Copies,
) -> Result<Vec<(Sample, Sample)>> {
    let mut sample = |(program, case): (&Program, &Case)| -> Result<Sample> {
        let (sample, dir) = run(program, case)?;
        copies.keep(dir)?;
        Ok(sample)
    };
    let mut pair = || Ok((sample(ours)?, sample(other)?));
    pair()?;
    (0..pairs).map(|_| pair()).collect()
}

/// Fails unless the answer in the file at `path` says what it must.
pub fn check_answer(program: &Program, case: &Case, path: &Path) -> Result<()> {
    let said = std::fs::read(path)?;
    ensure!(
        memchr::memmem::find(&said, case.must_say.as_bytes()).is_some()
            && memchr::memmem::find(&said, b"ng refs/").is_none(),
        "{} did not say '{}' but: {}",
        program.name,
        case.must_say,
        said[said.len().saturating_sub(300)..].escape_ascii()
    );
    Ok(())
}

/// In the child: run the one program with each recorded request, print its seconds and what it used.
pub fn child(arguments: &[String]) -> Result<()> {
    let [order, answers, count, rest @ ..] = arguments else { bail!("not enough arguments") };
    let Some((requests, [program, rest @ ..])) = rest.split_at_checked(count.parse()?) else {
        bail!("not enough arguments")
    };
    let files = requests
        .iter()
        .enumerate()
        .map(|(n, request)| Ok((File::open(request)?, File::create(Path::new(answers).join(n.to_string()))?)));
    let files: Vec<(File, File)> = files.collect::<Result<_>>()?;
    let finished = |mut child: Child| -> Result<()> {
        let status = child.wait()?;
        ensure!(status.success(), "{program} ended with {status}");
        Ok(())
    };
    let mut running = Vec::new();
    let start = Instant::now();
    for (stdin, stdout) in files {
        let child = Command::new(program).args(rest).stdin(stdin).stdout(stdout).spawn()?;
        if order == AT_ONCE { running.push(child) } else { finished(child)? }
    }
    running.into_iter().try_for_each(finished)?;
    let seconds = start.elapsed().as_secs_f64();
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    // Blocks are of 512 bytes.
    println!("{seconds} {} {}", usage.max_rss(), usage.block_writes() / 2);
    Ok(())
}
