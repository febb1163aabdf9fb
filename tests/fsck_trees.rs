//! What is wrong with trees, found by both programs alike: each finding, and every name and mode that may give rise to it.

pub mod support;

use balanced_receive_pack::objects::fsck::message::{Message, Severity};
use gix::{ObjectId, hash::Kind as Hash, objs::Kind};
use support::{fsck::Strict, packs::entry};

/// What makes one entry worth a word.
const OF_NAMES: [Message; 9] = [
    Message::FullPathname,
    Message::HasDot,
    Message::HasDotdot,
    Message::HasDotgit,
    Message::GitmodulesSymlink,
    Message::ZeroPaddedFilemode,
    Message::DuplicateEntries,
    Message::TreeNotSorted,
    Message::GitmodulesBlob,
];

/// Each of `trees` is judged as a pack of its own.
fn judged(strict: &mut Strict, tree: Vec<u8>) -> String {
    let [loose, packed] = strict.judged(&tree.escape_ascii().to_string(), &[(Kind::Tree, tree)]);
    assert_eq!(loose.accepted, packed.accepted);
    packed.told
}

#[test]
fn each_finding_is_told_in_gits_words() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let mut strict = Strict::new(hash);
        let file = |name: &str| strict.entry("100644", name.as_bytes());
        let link = |name: &str| strict.entry("120000", name.as_bytes());
        let null = ObjectId::null(hash);
        let rows: Vec<(&str, Vec<u8>)> = vec![
            ("nullSha1", entry("100644", b"a", &null)),
            ("fullPathname", file("a/b")),
            ("hasDot", file(".")),
            ("hasDotdot", file("..")),
            ("hasDotgit", file(".git")),
            ("zeroPaddedFilemode", strict.entry("0100644", b"a")),
            ("badFilemode", strict.entry("100600", b"a")),
            ("duplicateEntries", [file("a"), file("a")].concat()),
            ("treeNotSorted", [file("b"), file("a")].concat()),
            ("largePathname", file(&"x".repeat(4097))),
            ("gitmodulesSymlink", link(".gitmodules")),
            ("gitattributesSymlink", link(".gitattributes")),
            ("gitignoreSymlink", link(".gitignore")),
            ("mailmapSymlink", link(".mailmap")),
            ("badTree", b"x".to_vec()),
        ];
        for (finding, tree) in rows {
            let told = judged(&mut strict, tree);
            let lines = told.lines().filter(|line| line.contains(": object ")).count();
            assert!(told.contains(&format!(": {finding}: ")) && lines == 1, "{finding}: {told}");
        }
    }
}

#[test]
fn one_tree_can_have_all_that_is_wrong() {
    let mut strict = Strict::new(Hash::Sha1);
    let null = ObjectId::null(Hash::Sha1);
    let link = |name: &str| strict.entry("120000", name.as_bytes());
    let file = |name: &str| strict.entry("100644", name.as_bytes());
    let sorts = [".gitmodules", ".gitattributes", ".gitignore", ".mailmap", "~1234567", "x\\.gitmodules\\gitmod~1"];
    let links: Vec<u8> = sorts.iter().flat_map(|name| link(name)).collect();
    let names = [".git", ".", "..", "a/b", &"x".repeat(5000)].iter().flat_map(|name| file(name)).collect::<Vec<_>>();
    let odd = [strict.entry("0100644", b"y"), entry("1", b"y", &null)].concat();
    let told = judged(&mut strict, [links.clone(), names.clone(), odd.clone()].concat());
    assert_eq!(told.lines().filter(|line| line.contains(": object ")).count(), 10 + 4 * 2 + 1, "{told}");
    judged(&mut strict, [odd, names, links].concat());
}

#[test]
fn a_tree_that_is_cut_short_or_malformed_is_bad() {
    let mut strict = Strict::new(Hash::Sha1);
    let whole = [strict.entry("100600", b".git"), strict.entry("100644", b"a")].concat();
    for len in 1..whole.len() {
        judged(&mut strict, whole[..len].to_vec());
    }
    for (mode, name) in
        [("", "a"), ("10064x", "a"), ("100644", ""), ("8", "a"), ("-1", "a"), ("1 1", "a"), ("\n1", "a")]
    {
        let odd = strict.entry(mode, name.as_bytes());
        assert_ne!(judged(&mut strict, odd.clone()), "", "{mode} {name}");
        judged(&mut strict, [whole.clone(), odd.clone()].concat());
        let before = [strict.entry("100600", b"b"), strict.entry("0100644", b"a/")].concat();
        judged(&mut strict, [before, odd].concat());
    }
    // Where that is no error, what comes before counts; at the start of a tree nothing does.
    let blob = strict.known(Kind::Blob);
    let nowhere = ObjectId::from_hex(&[b'1'; 40]).expect("an id");
    for severity in [Severity::Warn, Severity::Ignore] {
        let mut strict = Strict::new(Hash::Sha1);
        strict.set(Message::BadTree, severity);
        let odd = |mode: &str, name: &str| entry(mode, name.as_bytes(), &blob);
        for (entries, accepted) in [
            (vec![b"x".to_vec()], false),
            (vec![odd("", "a")], false),
            (vec![odd("100644", ""), odd("100644", "b")], false),
            (vec![odd("100644", "a"), odd("100644", "")], true),
            (vec![odd("100644", "a"), entry("100644", b"b", &nowhere), odd("10064x", "c")], true),
            (vec![entry("100644", b"a", &nowhere), odd("100644", "b"), odd("10064x", "c")], false),
        ] {
            for verdict in strict.judged("a bad tree", &[(Kind::Tree, entries.concat())]) {
                assert_eq!(verdict.accepted, accepted, "{}", verdict.told);
            }
        }
    }
}

#[test]
fn sixteen_bits_of_a_mode_count() {
    let modes = (0..16).flat_map(|kind| (0..0o1000).step_by(1).map(move |bits| kind << 12 | bits));
    let modes = modes.map(|mode: u32| format!("{mode:o}"));
    let more =
        ["1100644", "40000100644", "200000100644", "37777700644", "1040000", "1160000", "1120000", "2", "00", "00644"];
    let modes: Vec<String> =
        modes.chain(more.map(str::to_owned)).chain([format!("100644{}", "0".repeat(40))]).collect();
    let mut strict = Strict::lenient(&[Message::ZeroPaddedFilemode]);
    let (blob, tree) = (strict.known(Kind::Blob), strict.known(Kind::Tree));
    let trees: Vec<_> = modes
        .iter()
        .map(|mode| {
            let number = mode.bytes().fold(0_u16, |number, digit| number << 3 | u16::from(digit - b'0'));
            let id = if number & 0o170000 == 0o40000 { &tree } else { &blob };
            (Kind::Tree, entry(mode, b"a", id))
        })
        .collect();
    let told = strict.judged_at_once(&trees);
    assert!(told.lines().count() > 8000, "{}", told.lines().count());
}

#[test]
fn order_and_duplicates_are_seen_as_git_sees_them() {
    let mut strict = Strict::lenient(&OF_NAMES);
    let entries: Vec<Vec<u8>> = [
        ("100644", "a"),
        ("40000", "a"),
        ("100644", "a-"),
        ("40000", "a-"),
        ("100644", "a-b"),
        ("100644", "a."),
        ("100644", "a0"),
        ("160000", "b"),
        ("40000", "a/"),
    ]
    .map(|(mode, name)| strict.entry(mode, name.as_bytes()))
    .to_vec();
    let longer = |trees: &[Vec<u8>]| -> Vec<Vec<u8>> {
        trees.iter().flat_map(|tree| entries.iter().map(move |entry| [&tree[..], entry].concat())).collect()
    };
    let mut trees = vec![Vec::new()];
    let mut all = Vec::new();
    for _ in 0..4 {
        trees = longer(&trees);
        all.extend(trees.iter().map(|tree| (Kind::Tree, tree.clone())));
    }
    let told = strict.judged_at_once(&all);
    for finding in ["duplicateEntries", "treeNotSorted"] {
        assert!(told.matches(finding).count() > 1000, "{finding}");
    }
}

#[test]
fn a_file_and_a_directory_of_one_name_are_found_however_far_apart() {
    let mut strict = Strict::new(Hash::Sha1);
    let between = (0..3000).flat_map(|number| strict.entry("100644", format!("a.{number:04}").as_bytes()));
    let between: Vec<u8> = between.collect();
    let (file, directory) = (strict.entry("100644", b"a"), strict.entry("40000", b"a"));
    let told = judged(&mut strict, [&file[..], &between, &directory].concat());
    assert!(told.contains("duplicateEntries"), "{told}");
    let other = strict.entry("40000", b"b");
    assert_eq!(judged(&mut strict, [&file[..], &between, &other].concat()), "");
}

#[test]
fn names_that_some_file_system_takes_for_gits_own_are_known() {
    let mut strict = Strict::lenient(&OF_NAMES);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let dotted = [".git", ".gitmodules", ".gitattributes", ".gitignore", ".mailmap"];
    let short =
        ["git~1", "gitmod~1", "gitatt~1", "gitign~1", "mailma~1", "gi7eba~1", "gi7d29~1", "gi250a~1", "maba30~1"];
    let behind =
        ["", " ", ".", " . .", ":", ":x", "::$DATA", " :x", "\\", "\\x", " \\x", "/", "/x", ". /x", "x", "\t", "\n"];
    for name in dotted.iter().chain(&short) {
        names.extend(behind.map(|behind| [name.as_bytes(), behind.as_bytes()].concat()));
        names.extend(
            [name.to_uppercase(), name[1..].to_owned(), name[..name.len() - 1].to_owned()].map(String::into_bytes),
        );
        for before in ["x\\", "\\", "a\\b\\", "x/", "x\\y", ".git\\", "\\\\"] {
            names.extend(["", ".", "\\", "\\b"].map(|behind| format!("{before}{name}{behind}").into_bytes()));
        }
    }
    for (obvious, hashed) in [("gitmod", "gi7eba"), ("gitatt", "gi7d29"), ("gitign", "gi250a"), ("mailma", "maba30")] {
        for number in ["", "0", "1", "2", "4", "5", "9", "10", "99", "a", "1a", "01", "1~"] {
            names.extend([obvious, hashed].map(|stem| format!("{stem}~{number}").into_bytes()));
            names.extend([obvious, hashed].map(|stem| format!("{stem}~{number}").to_uppercase().into_bytes()));
        }
        for len in 0..6 {
            for number in ["1", "12", "123", "1234", "12345", "123456", "1234567", "0123456", "12.34"] {
                names.push(format!("{}~{number}", &hashed[..len]).into_bytes());
                names.push(format!("{}~{number}.", &hashed[..len]).into_bytes());
            }
        }
        names.push([b"\xe7", &hashed.as_bytes()[1..], b"~1"].concat());
    }
    judged_names(&mut strict, &names);
}

#[test]
fn characters_that_hfs_overlooks_hide_no_name() {
    let mut strict = Strict::lenient(&OF_NAMES);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let characters =
        (0x80..0x100).chain(0x2000..0x2070).chain(0xfd00..0x10000).chain([0x130, 0x131, 0x10ffff, 0x1f600]);
    for character in characters.filter_map(char::from_u32) {
        names.push(format!(".g{character}it").into_bytes());
        names.push(format!(".git{character}").into_bytes());
    }
    let broken: [&[u8]; 16] = [
        b"\x80",
        b"\xff",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2",
        b"\xc2 ",
        b"\xe2\x80",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xf0\x9f\x98",
    ];
    for name in [".git", ".gitmodules", ".gitattributes", ".gitignore", ".mailmap"] {
        for odd in broken.iter().copied().chain(["\u{200c}", "\u{feff}", "\u{fffe}", "\u{e9}"].map(str::as_bytes)) {
            for at in [0, 1, 4, name.len()] {
                let (start, end) = name.as_bytes().split_at(at);
                names.push([start, odd, end].concat());
                names.push([start, odd, end, odd].concat());
                names.push([start, odd, end, b"/x"].concat());
            }
        }
    }
    judged_names(&mut strict, &names);
}

/// A tree for each name, as that of a file and of a symlink; many have one that means something.
fn judged_names(strict: &mut Strict, names: &[Vec<u8>]) {
    let trees = ["100644", "120000"].map(|mode| {
        let blob = strict.known(Kind::Blob);
        let tree = move |name: &Vec<u8>| (Kind::Tree, entry(mode, name, &blob));
        names.iter().filter(|name| !name.is_empty()).map(tree).collect::<Vec<_>>()
    });
    let told = strict.judged_at_once(&trees.concat());
    for finding in ["hasDotgit", "gitmodulesSymlink", "gitattributesSymlink", "gitignoreSymlink", "mailmapSymlink"] {
        assert!(told.matches(finding).count() >= 4, "{finding}");
    }
}
