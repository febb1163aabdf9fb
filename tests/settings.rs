//! Every setting that the program reads, every flag that it takes and every reason that it gives for a refusal has a case.

use std::{collections::BTreeSet, fs, path::Path};

/// All text of the Rust files below `directory`, in lower case.
fn sources(directory: &str) -> String {
    let mut text = String::new();
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).expect("listed").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("settings.rs") {
            text += &fs::read_to_string(&path).expect("read").to_lowercase();
        }
    }
    text
}

/// The names of settings among the strings of `text`: `section.name`, where the section is one that this program heeds.
fn settings(text: &str) -> BTreeSet<&str> {
    let sections =
        ["receive", "transfer", "core", "pack", "gc", "maintenance", "repack", "hook", "advice", "safe", "user", "gpg"];
    let strings = text.split('"').skip(1).step_by(2);
    let is_setting = |string: &&str| {
        let known = string.split_once('.').is_some_and(|(section, _)| sections.contains(&section));
        known && string.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
    };
    strings.filter(is_setting).collect()
}

#[test]
fn every_setting_has_a_case() {
    let places = ["src/config/read.rs", "src/certificate", "src/hooks", "src/refs", "src/repository"];
    let program: String = places.into_iter().map(sources).collect();
    let tests = sources("tests");
    let read = settings(&program);
    assert!(read.len() > 30, "only these were found: {read:?}");
    let without: Vec<_> = read.iter().filter(|setting| !tests.contains(*setting)).collect();
    assert!(without.is_empty(), "no test sets {without:?}");
}

#[test]
fn every_flag_has_a_case() {
    let program = sources("src/cli.rs");
    let fields = program.lines().filter_map(|line| line.trim().trim_start_matches("pub ").strip_suffix(": bool,"));
    let aliases = program.split("alias = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let flags: BTreeSet<_> = fields.chain(aliases).map(|name| format!("--{}", name.replace('_', "-"))).collect();
    assert!(flags.len() > 10, "only these were found: {flags:?}");
    let tests = sources("tests");
    let without: Vec<_> = flags.iter().filter(|flag| !tests.contains(&format!("\"{flag}"))).collect();
    assert!(without.is_empty(), "no test passes {without:?}");
}

#[test]
fn every_reason_for_a_refusal_has_a_case() {
    let program = sources("src");
    // Where a reason is given, and where command.rs and the transactions put theirs into words.
    let places = ["refusal::other(", "failure::new("].into_iter().flat_map(|place| program.split(place).skip(1));
    let given = places.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    let words = sources("src/command.rs") + &sources("src/refs/transaction");
    let worded = words.split("=> ").skip(1).filter_map(|rest| rest.strip_prefix('"')?.split('"').next());
    let reasons: BTreeSet<_> = given.chain(worded).filter(|reason| reason.contains(' ')).collect();
    assert!(reasons.len() > 20, "only these were found: {reasons:?}");
    let tests = sources("tests");
    let without: Vec<_> = reasons.iter().filter(|reason| !tests.contains(*reason)).collect();
    assert!(without.is_empty(), "no test expects {without:?}");
}
