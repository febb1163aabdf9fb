//! Sound objects with random faults, judged by both programs: the same verdict in the same words, however an object is kept.
//!
//! Each is a push of its own, since a pack is refused as a whole. By default some of the mutations are tried; with
//! `MUTATIONS=all` in the environment it is all 5,000. They are the same every time.

pub mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use balanced_receive_pack::objects::fsck::message::Message;
use gix::{hash::Kind as Hash, objs::Kind};
use support::{
    dice::Dice,
    fsck::{Kept, Strict, Verdict},
    packs::entry,
};

/// How many there are.
const ALL: usize = 5_000;

/// How many are tried unless all are.
const SOME: usize = 500;

/// Sound objects that the repository has not: each with the names that a tree gives to it, if it is a blob.
fn sound(strict: &Strict) -> Vec<(Kind, Vec<u8>)> {
    let id = |kind| strict.known(kind).to_string();
    let (commit, tree, tag) = (id(Kind::Commit), id(Kind::Tree), id(Kind::Tag));
    let people =
        "author A U Thor <author@example.org> 1700000000 +0100\ncommitter C <c@example.org> 1700000000 -0930\n";
    let signature = "gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----\n";
    let commits = [
        format!("tree {tree}\nparent {commit}\n{people}\nwhat and why\n"),
        format!("tree {tree}\nparent {commit}\nparent {commit}\n{people}encoding latin1\n{signature}\nsigned\n"),
        format!("tree {tree}\n{people}\n"),
    ];
    let tags = [
        format!("object {commit}\ntype commit\ntag v1.0\ntagger T <t@example.org> 1700000000 +0000\n\nthe first\n"),
        format!("object {tag}\ntype tag\ntag a/b\ntagger T <t@example.org> 1 -0000\n\n"),
        format!("object {tree}\ntype tree\ntag t\n\nwithout a tagger\n"),
    ];
    let trees: [&[(&str, &str)]; 3] = [
        &[
            ("100644", ".gitignore"),
            ("100755", "a"),
            ("100644", "a.b"),
            ("40000", "b"),
            ("160000", "c"),
            ("120000", "d"),
        ],
        &[("100644", "a"), ("100644", "a-b"), ("40000", "a.git"), ("100644", "a0")],
        &[
            ("100644", ".gitattributes"),
            ("100644", ".mailmap"),
            ("40000", "git"),
            ("100644", "git~2"),
            ("100644", "x\\y"),
        ],
    ];
    let trees = trees.map(|entries| {
        entries.iter().flat_map(|(mode, name)| strict.entry(mode, name.as_bytes())).collect::<Vec<u8>>()
    });
    let modules = "# modules\n[submodule \"lib/x\"]\n\tpath = lib/x\n\turl = https://u@example.org:8443/x/../y%20z.git?q#f\n\
                   [submodule \"y\"]\n\turl = ../y.git\n\tupdate = rebase\n\tbranch = \"main\"\n";
    let attributes = format!("*.c diff=cpp\n# {}\n*.h text\n", "long ".repeat(408));
    let texts = commits.map(|text| (Kind::Commit, text)).into_iter().chain(tags.map(|text| (Kind::Tag, text)));
    let blobs = [(Kind::Blob, modules.to_owned()), (Kind::Blob, modules.to_owned()), (Kind::Blob, attributes)];
    let texts = texts.chain(blobs).map(|(kind, text)| (kind, text.into_bytes()));
    texts.chain(trees.map(|tree| (Kind::Tree, tree))).collect()
}

/// Change `content` in one to three places.
fn mutate(content: &mut Vec<u8>, dice: &mut Dice) {
    const TELLING: &[u8] = b"\0\n\n  <>\"\\/.:;%#-+=[]~!@0179agtTG\t\r\x7f\x80\xe2";
    for _ in 0..1 + dice.roll(3) {
        let at = dice.roll(content.len() + 1);
        let len = dice.roll(12).min(content.len() - at);
        // Any but 0xff, with which git's check of .gitmodules ends.
        let byte = match dice.roll(2) {
            0 => dice.roll(255) as u8,
            _ => dice.pick(TELLING),
        };
        match dice.roll(8) {
            0 | 1 if at < content.len() => content[at] = byte,
            2 if at < content.len() => content[at] ^= 1 << dice.roll(5),
            3 => content.insert(at, byte),
            4 => drop(content.drain(at..at + len)),
            5 => {
                let copy = content[at..at + len].to_vec();
                let to = dice.roll(content.len() + 1);
                content.splice(to..to, copy);
            }
            6 if dice.roll(4) == 0 => content.truncate(at),
            // A line or an entry twice, or gone.
            7 => {
                let end = if content.contains(&b'\n') { b'\n' } else { 0 };
                let start = content[..at].iter().rposition(|byte| *byte == end).map_or(0, |before| before + 1);
                let line = content[at..].iter().position(|byte| *byte == end).map_or(content.len(), |len| at + len + 1);
                match dice.roll(2) {
                    0 => drop(content.drain(start..line)),
                    _ => drop(content.splice(start..start, content[start..line].to_vec()).count()),
                }
            }
            _ => {}
        }
    }
}

/// The objects of the push with this number.
fn push(strict: &Strict, number: usize) -> Vec<(Kind, Vec<u8>)> {
    let mut dice = Dice((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut sound = sound(strict);
    let (kind, mut content) = sound.swap_remove(number % sound.len());
    mutate(&mut content, &mut dice);
    let mut objects = vec![(kind, content.clone())];
    if kind == Kind::Blob {
        let id = strict.id(kind, &content);
        let names = match dice.roll(3) {
            0 => vec![".gitattributes", ".gitmodules"],
            1 => vec![".gitmodules"],
            _ => vec!["GITATT~1", "gitmod~1"],
        };
        let tree = names.iter().flat_map(|name| entry("100644", name.as_bytes(), &id)).collect();
        objects.insert(dice.roll(2), (Kind::Tree, tree));
    }
    objects
}

/// The verdict, less what of it is not sure: which of several missing objects is named depends on their places in a hash
/// table, and where these are the same on which was met first.
fn settled(verdict: &Verdict) -> (bool, &str) {
    const MISSED: &str = "did not receive expected object ";
    let end = verdict.told.find(MISSED).map_or(verdict.told.len(), |start| start + MISSED.len());
    (verdict.accepted, &verdict.told[..end])
}

#[test]
fn both_programs_say_the_same_of_mutated_objects() {
    let count = match std::env::var("MUTATIONS") {
        Ok(how_many) if how_many == "all" => ALL,
        _ => SOME,
    };
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let verdicts = std::thread::scope(|scope| {
        let work = || {
            let mut strict = Strict::new(Hash::Sha1);
            let (mut different, mut refused, mut findings) = (Vec::new(), 0, Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return (different, refused, findings);
                }
                let objects = push(&strict, number);
                let kept = if (number / 12).is_multiple_of(2) { Kept::Packed } else { Kept::Loose };
                let [ours, gits] = strict.ours_and_gits(&objects, kept);
                refused += usize::from(!ours.accepted);
                findings.extend(
                    Message::ALL.into_iter().filter(|finding| ours.told.contains(&format!(": {}: ", finding.name()))),
                );
                if settled(&ours) != settled(&gits) {
                    let shown = objects.iter().map(|(kind, content)| format!("{kind} {}", content.escape_ascii()));
                    let shown: Vec<String> = shown.collect();
                    different.push(format!("{number} {kept:?} ours {ours:?} git's {gits:?}\n{}", shown.join("\n")));
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let different: Vec<String> = verdicts.iter().flat_map(|(different, ..)| different.clone()).collect();
    assert!(different.is_empty(), "{} of {count} differ:\n{}", different.len(), different.join("\n\n"));
    // They are worth the name: many are refused, many are not, and most of what can be found was.
    let refused: usize = verdicts.iter().map(|(_, refused, _)| refused).sum();
    assert!((count / 4..count).contains(&refused), "{refused} of {count} were refused");
    let found = |finding: &&Message| verdicts.iter().any(|(.., findings)| findings.contains(finding));
    let found = Message::ALL.iter().filter(found).count();
    assert!(found >= 20, "{found} of {} findings", Message::ALL.len());
}
