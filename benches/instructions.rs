//! How many instructions this program takes for each row, beside the numbers that benches/instructions.txt has.
//!
//! Unlike seconds they repeat, on a busy machine too, and so a test can fail on them: by more than 5% no row may grow.
//! `cargo bench -- --instructions` compares, with `--accept` it writes the file anew. Only the program itself is counted,
//! not what it starts; a row whose case takes valgrind minutes is left out. Where the program waits for a hook, how often
//! it wakes up is chance; that only ever adds, and so a row that seems to have grown is counted again and the least taken.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    generate::Store,
    measure::{self, Case, Program},
    rows::Row,
};

/// The growth, as a share, that fails.
const TOLERANCE: f64 = 0.05;

/// How often a row is counted before it is said to have grown.
const TRIES: usize = 6;

/// Count the `rows` and compare, or `accept` what was counted.
pub fn compare(ours: &Program, rows: impl Iterator<Item = Row>, accept: bool) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let mut baseline = read(&file)?;
    let mut grown = Vec::new();
    println!("| work | instructions | before | ratio |\n|---|---|---|---|");
    for row in rows.filter(Row::is_counted) {
        let case = (row.prepare)(&Store::open()?)?;
        let mut now = count(ours, &case)?;
        // A new row has nothing to be compared with.
        let before = baseline.get(row.name).copied().unwrap_or(now);
        for _ in 1..TRIES {
            if !accept && !has_grown(now, before) {
                break;
            }
            now = now.min(count(ours, &case)?);
        }
        baseline.insert(row.name.to_owned(), now);
        let ratio = now as f64 / before as f64;
        println!("| {} | {now} | {before} | {ratio:.3} |", row.name);
        if has_grown(now, before) {
            grown.push(row.name);
        }
    }
    if accept {
        let lines: String = baseline.iter().map(|(name, count)| format!("{count} {name}\n")).collect();
        return fs::write(&file, lines).with_context(|| format!("cannot write '{}'", file.display()));
    }
    ensure!(grown.is_empty(), "more than {}% over the baseline: {}", TOLERANCE * 100.0, grown.join("; "));
    Ok(())
}

fn has_grown(now: u64, before: u64) -> bool {
    now as f64 > before as f64 * (1.0 + TOLERANCE)
}

/// `<count> SP <name of the row>` a line.
fn read(file: &Path) -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let parse = |line: &str| {
        let (count, name) = line.split_once(' ').context("a line without a count")?;
        Ok((name.to_owned(), count.parse()?))
    };
    text.lines().map(parse).collect()
}

fn count(ours: &Program, case: &Case) -> Result<u64> {
    let (dir, repository) = measure::copy(ours, case)?;
    let (answer, profile) = (dir.path().join("answer"), dir.path().join("profile"));
    let [request] = case.requests.as_slice() else { anyhow::bail!("one run has one request") };
    let output = Command::new("valgrind")
        // What the caller has in its environment is read too, and must not count.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.path())
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .args(&ours.command)
        .arg(&repository)
        .stdin(File::open(request)?)
        .stdout(File::create(&answer)?)
        .output()
        .context("cannot run valgrind")?;
    ensure!(output.status.success(), "valgrind failed: {}", String::from_utf8_lossy(&output.stderr));
    measure::check_answer(ours, case, &answer)?;
    let profile = fs::read_to_string(&profile).context("cannot read callgrind's profile")?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    total.context("callgrind tells no total")?.trim().parse().context("callgrind's total is no number")
}
