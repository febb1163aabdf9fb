//! Random histories, cut off at random places on both sides: git's program and ours give each ref the same verdict, and leave
//! the same roots.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use crate::{
    farm::{Farm, Pushed},
    support::{gits, ours},
};

/// How many histories are tried, unless `SHALLOW_HISTORIES` in the environment says another number.
const ROUNDS: u64 = 8;

/// A small generator of numbers that are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % sides
    }
}

/// A repository `client.git` with all commits, each with up to two parents among the few before it.
fn grow(farm: &Farm, dice: &mut Dice) -> Vec<String> {
    let count = 6 + dice.roll(14);
    // Clocks that stand still, or run backwards, are no proof of what came first.
    let pace = [10, 10, 0, -10][dice.roll(4)];
    let mut stream = String::new();
    for number in 1..=count {
        // Times are mostly in order.
        let aside = if pace == 0 { 0 } else { dice.roll(15) as i64 };
        let time = 1_600_000_000 + number as i64 * pace - aside;
        write!(stream, "commit refs/heads/c{number}\nmark :{number}\ncommitter C <c@example.org> {time} +0000\n")
            .unwrap();
        write!(stream, "data {}\nnumber {number}\n", format!("number {number}\n").len()).unwrap();
        let parent = |dice: &mut Dice| number - 1 - dice.roll(number.min(4));
        let (first, second) = (parent(dice), parent(dice));
        if first > 0 {
            writeln!(stream, "from :{first}").unwrap();
            if second > 0 && second != first && dice.roll(3) == 0 {
                writeln!(stream, "merge :{second}").unwrap();
            }
        }
        let text = format!("{number}");
        write!(stream, "M 100644 inline f{number}\ndata {}\n{text}\n", text.len()).unwrap();
    }
    farm.init("client.git", &[]);
    farm.scene.feed("client.git", &["fast-import", "--quiet"], stream.as_bytes());
    let ids = farm.scene.git("client.git", &["for-each-ref", "--sort=version:refname", "--format=%(objectname)"]);
    ids.lines().map(str::to_owned).collect()
}

/// Cut the client's history off at some of the commits.
fn cut(farm: &Farm, dice: &mut Dice, commits: &[String]) {
    let share = 2 + dice.roll(8);
    let roots: String = commits.iter().filter(|_| dice.roll(share) == 0).map(|id| format!("{id}\n")).collect();
    fs::remove_file(farm.path("client.git/shallow")).ok();
    if !roots.is_empty() {
        fs::write(farm.path("client.git/shallow"), roots).unwrap();
    }
}

/// A push of one ref by both, on copies. `None` where git's program dies: of a parent that is nowhere, say.
fn one(farm: &Farm, what: &str) -> Option<Pushed> {
    farm.scene.save();
    let expected = farm.try_push_with(&gits(), "client.git", &[what]);
    farm.scene.restore();
    let actual = farm.push_with(ours(), "client.git", &[what]);
    let Ok(expected) = expected else {
        assert_ne!(actual.words(), ["ok"], "git could not find its way");
        return None;
    };
    assert_eq!(actual, expected, "ours on the left, git's on the right");
    Some(actual)
}

fn round(seed: u64, seen: &mut BTreeSet<String>) {
    let mut dice = Dice(seed);
    let farm = Farm::bare(if dice.roll(4) == 0 { "sha256" } else { "sha1" });
    let commits = grow(&farm, &mut dice);
    farm.empty_server();
    if dice.roll(3) == 0 {
        // What is sent though it is there already is then in quarantine, too.
        farm.scene.git("server.git", &["config", "receive.unpackLimit", "1"]);
    }
    for number in 0..4 + dice.roll(4) {
        cut(&farm, &mut dice, &commits);
        // At first mostly allowed, so that the server has something.
        farm.allow(dice.roll(3) > 0);
        let value = &commits[dice.roll(commits.len())];
        let name = if dice.roll(4) == 0 { "refs/heads/b0".to_owned() } else { format!("refs/heads/b{number}") };
        if let Some(pushed) = one(&farm, &format!("+{value}:{name}")) {
            let roots = if pushed.roots.is_empty() { "whole" } else { "cut off" };
            seen.insert(format!("{}, {roots}", pushed.words()[0]));
        }
    }
    farm.check();
    // Several refs at once come to what they come to one after the other.
    cut(&farm, &mut dice, &commits);
    farm.allow(true);
    let refs: Vec<_> =
        (0..3).map(|number| format!("{}:refs/heads/n{number}", commits[dice.roll(commits.len())])).collect();
    farm.scene.save();
    let mut verdicts = Vec::new();
    for what in &refs {
        let Ok(pushed) = farm.try_push_with(&gits(), "client.git", &[what]) else { return };
        verdicts.extend(pushed.verdicts);
    }
    let (expected_refs, expected_roots) = (farm.refs(), farm.roots());
    farm.scene.restore();
    let refs: Vec<_> = refs.iter().map(String::as_str).collect();
    let together = farm.push_with(ours(), "client.git", &refs);
    if together.words().contains(&"unpacker error") {
        // The client takes the server to have what lies below its own refs, and leaves out what only a client so cut off can.
        let gits = farm.try_push_with(&gits(), "client.git", &refs).expect("an answer");
        assert_eq!(together.verdicts, gits.verdicts);
        return;
    }
    assert_eq!((together.verdicts, together.refs), (verdicts, expected_refs));
    assert_eq!(together.roots, expected_roots);
    farm.check();
}

#[test]
fn verdicts_and_roots_are_gits() {
    let mut seen = BTreeSet::new();
    let rounds = std::env::var("SHALLOW_HISTORIES").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    for seed in 0..rounds {
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| round(seed, &mut seen)));
        assert!(tried.is_ok(), "history {seed}");
    }
    assert!(seen.len() >= 4, "{seen:?}");
}
