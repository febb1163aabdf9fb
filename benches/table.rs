//! What pairs of runs add up to: a line of the table.

use crate::{effects::Effects, measure::Sample, rows::Row};

/// The head of the table that [`line`] makes lines of.
pub const HEAD: &str = "\
| work | aim | ours / git | spread | ours, ms | git, ms | ours, MiB | memory, ours / git | wrote, KiB | processes | files made |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// One line: medians, and the ratio's spread from its lower to its upper quartile; `ours / git` where a cell has both.
pub fn line(row: &Row, samples: &[(Sample, Sample)], effects: &(Option<Effects>, Option<Effects>)) -> String {
    let ratios = sorted(samples.iter().map(|(ours, git)| ours.seconds / git.seconds));
    let ours = sorted(samples.iter().map(|(ours, _)| ours.seconds * 1e3));
    let git = sorted(samples.iter().map(|(_, git)| git.seconds * 1e3));
    let memory = sorted(samples.iter().map(|(ours, git)| ours.memory / git.memory));
    let peak = sorted(samples.iter().map(|(ours, _)| ours.memory / 1024.0));
    let ours_written = sorted(samples.iter().map(|(ours, _)| ours.written));
    let git_written = sorted(samples.iter().map(|(_, git)| git.written));
    let (processes, files) = match effects {
        (Some(ours), Some(git)) => {
            (format!("{} / {}", ours.processes, git.processes), format!("{} / {}", ours.files, git.files))
        }
        _ => ("not counted".to_owned(), "not counted".to_owned()),
    };
    format!(
        "| {} | {} | **{:.3}** | {:.3} – {:.3} | {:.2} | {:.2} | {:.1} | {:.2} | {} / {} | {processes} | {files} |",
        row.name,
        row.aim.map_or(String::new(), |aim| aim.to_string()),
        at(&ratios, 0.5),
        at(&ratios, 0.25),
        at(&ratios, 0.75),
        at(&ours, 0.5),
        at(&git, 0.5),
        at(&peak, 0.5),
        at(&memory, 0.5),
        at(&ours_written, 0.5),
        at(&git_written, 0.5)
    )
}

/// The median ratio of the two programs' times.
pub fn ratio(samples: &[(Sample, Sample)]) -> f64 {
    at(&sorted(samples.iter().map(|(ours, git)| ours.seconds / git.seconds)), 0.5)
}

/// In ascending order.
pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value that this share of them is below: 0.5 for the median.
pub fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
