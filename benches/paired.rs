//! `cargo bench`: this program against the installed `git receive-pack`, on the same work, in turn, in one run.
//!
//! Every row feeds the same recorded requests to both, each time on a fresh copy of one generated repository. What counts
//! is the ratio of the two, pair by pair; seconds say more about the machine. `cargo bench -- <words>` runs the rows
//! whose name contains the words; `PAIRS=5` makes fewer pairs than 11. A run of all rows writes benches/results.md and
//! benches/results.svg.
//!
//! `cargo bench -- --growth` draws how cost grows, see `growth.rs`; `--instructions` counts instructions instead, see
//! `instructions.rs`.

mod chart;
mod effects;
mod generate;
mod growth;
mod instructions;
mod measure;
mod requests;
mod rows;
mod table;

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use measure::{Copies, Program};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if arguments.first().is_some_and(|first| first == measure::CHILD) {
        return measure::child(&arguments[1..]);
    }
    let (flags, words): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|argument| argument.starts_with("--"));
    let rows = rows::all().into_iter().filter(|row| words.iter().all(|word| row.name.contains(word.as_str())));
    let ours = Program { name: "ours", command: vec![PathBuf::from(env!("CARGO_BIN_EXE_git-receive-pack")).into()] };
    if flags.iter().any(|flag| flag == "--instructions") {
        return instructions::compare(&ours, rows, flags.iter().any(|flag| flag == "--accept"));
    }
    let git = Program { name: "git", command: vec!["git".into(), "receive-pack".into()] };
    let pairs: usize = std::env::var("PAIRS").ok().and_then(|n| n.parse().ok()).unwrap_or(11);

    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    if flags.iter().any(|flag| flag == "--growth") {
        return growth::draw(&ours, &git, pairs, &directory);
    }

    let mut results = format!("{}\n{}", circumstances(pairs)?, table::HEAD);
    print!("{results}");
    let mut bars = Vec::new();
    let mut copies = Copies::default();
    for row in rows {
        let case = (row.prepare)(&generate::Store::open()?)?;
        let against = row.against.map(|prepare| prepare(&generate::Store::open()?)).transpose()?;
        let other = against.as_ref().map_or((&git, &case), |case| (&ours, case));
        let samples = measure::in_turn((&ours, &case), other, pairs, &mut copies)?;
        let counted = match case.requests.len() {
            1 => (effects::count(&ours, &case, &mut copies)?, effects::count(other.0, other.1, &mut copies)?),
            _ => (None, None),
        };
        let line = table::line(&row, &samples, &counted);
        println!("{line}");
        writeln!(results, "{line}")?;
        if against.is_none() {
            bars.push((row.name, table::ratio(&samples), row.aim));
        }
    }
    if words.is_empty() {
        let file = directory.join("results.md");
        std::fs::write(&file, results).with_context(|| format!("cannot write '{}'", file.display()))?;
        chart::ratios(&directory.join("results.svg"), &bars)?;
    }
    Ok(())
}

/// What the numbers are to be read with: versions, cores, and how busy the machine was.
fn circumstances(pairs: usize) -> Result<String> {
    let git = Command::new("git").arg("version").output().context("cannot run git")?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(format!(
        "balanced-receive-pack {}, {}; {} cores, load {} at the start; medians of {pairs} pairs.\n",
        env!("CARGO_PKG_VERSION"),
        String::from_utf8_lossy(&git.stdout).trim(),
        std::thread::available_parallelism()?,
        load.split(' ').next().unwrap_or("unknown"),
    ))
}
