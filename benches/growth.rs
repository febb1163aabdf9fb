//! `cargo bench -- --growth`: how the cost of a push grows with what the repository holds, and with what the push brings.
//!
//! A one-commit push should be flat in the files of the tree, and in refs up to what advertising them costs.

use std::{fmt::Write, path::Path};

use anyhow::{Context, Result};

use crate::{
    chart,
    generate::Store,
    measure::{self, Case, Copies, Program},
    rows::UNPACKED,
    table::{at, sorted},
};

/// One chart.
struct Series {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    prepare: fn(&Store, usize) -> Result<Case>,
}

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

const SERIES: [Series; 3] = [
    Series { file: "growth-refs.svg", title: "one-commit push", unit: "refs in the repository", prepare: refs },
    Series { file: "growth-files.svg", title: "one-commit push", unit: "files in the tree", prepare: files },
    Series { file: "growth-objects.svg", title: "push of a history", unit: "objects in the pack", prepare: objects },
];

/// Measure all series with so many `pairs` for each size, print them, and draw the charts in `directory`.
pub fn draw(ours: &Program, git: &Program, pairs: usize, directory: &Path) -> Result<()> {
    let mut results = format!("Medians of {pairs} pairs.\n\n");
    let mut copies = Copies::default();
    for series in SERIES {
        writeln!(
            results,
            "| {}, {} | ours, ms | git, ms | ours / git |\n|---|---|---|---|",
            series.title, series.unit
        )?;
        let mut points = Vec::new();
        for size in SIZES {
            let case = (series.prepare)(&Store::open()?, size)?;
            let samples = measure::in_turn((ours, &case), (git, &case), pairs, &mut copies)?;
            let ours = at(&sorted(samples.iter().map(|(ours, _)| ours.seconds * 1e3)), 0.5);
            let git = at(&sorted(samples.iter().map(|(_, git)| git.seconds * 1e3)), 0.5);
            writeln!(results, "| {size} | {ours:.1} | {git:.1} | {:.3} |", ours / git)?;
            points.push((size, ours, git));
        }
        results.push('\n');
        chart::growth(&directory.join(series.file), series.title, series.unit, &points)?;
    }
    print!("{results}");
    let file = directory.join("growth.md");
    std::fs::write(&file, results).with_context(|| format!("cannot write '{}'", file.display()))
}

fn refs(store: &Store, count: usize) -> Result<Case> {
    store.case(&format!("growth-refs-{count}"), |seed| seed.packed_refs(count), |seed| seed.one_commit(), UNPACKED)
}

fn files(store: &Store, count: usize) -> Result<Case> {
    store.case(&format!("growth-files-{count}"), |seed| seed.large_tree(count), |seed| seed.one_commit(), UNPACKED)
}

fn objects(store: &Store, count: usize) -> Result<Case> {
    store.case(&format!("growth-objects-{count}"), |_| Ok(()), |seed| seed.history(count), UNPACKED)
}
