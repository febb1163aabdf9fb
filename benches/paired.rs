//! `cargo bench`: this program against the installed `git receive-pack`, on the same work, in turn, in one run.
//!
//! Every row feeds the same recorded request to both, each time on a fresh copy of one generated repository. What counts
//! is the ratio of the two, pair by pair; seconds say more about the machine. `cargo bench -- <words>` runs the rows
//! whose name contains the words; `PAIRS=5` makes fewer pairs than 11.

mod generate;
mod measure;
mod rows;

use std::path::PathBuf;

use measure::{Program, Sample};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if arguments.first().is_some_and(|first| first == measure::CHILD) {
        return measure::child(&arguments[1..]);
    }
    let pairs: usize = std::env::var("PAIRS").ok().and_then(|n| n.parse().ok()).unwrap_or(11);
    let ours = Program { name: "ours", command: vec![PathBuf::from(env!("CARGO_BIN_EXE_git-receive-pack")).into()] };
    let git = Program { name: "git", command: vec!["git".into(), "receive-pack".into()] };

    println!("| work | aim | ours / git | spread | ours, ms | git, ms | memory, ours / git |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows::all() {
        if !arguments.iter().all(|word| row.name.contains(word.as_str())) {
            continue;
        }
        let case = (row.prepare)(&generate::Store::open()?)?;
        // One pair that does not count, so that neither program meets a cold cache.
        measure::run(&ours, &case)?;
        measure::run(&git, &case)?;
        let mut samples: Vec<(Sample, Sample)> = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            samples.push((measure::run(&ours, &case)?, measure::run(&git, &case)?));
        }
        println!("{}", measure::table_row(&row, &samples));
    }
    Ok(())
}
