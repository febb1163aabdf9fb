//! What is wrong with files called `.gitmodules`, found by both programs alike, wherever in the push they are.

pub mod support;

use balanced_receive_pack::objects::fsck::message::{Message, Severity};
use gix::{ObjectId, hash::Kind as Hash, objs::Kind};
use support::{
    dice::Dice,
    fsck::{Kept, Strict, Verdict},
    packs::entry,
};

/// What its content can be at fault for.
const OF_CONTENT: [Message; 4] =
    [Message::GitmodulesName, Message::GitmodulesUrl, Message::GitmodulesPath, Message::GitmodulesUpdate];

/// A blob, and a tree that calls it `.gitmodules`.
fn named(strict: &Strict, content: &[u8]) -> [(Kind, Vec<u8>); 2] {
    let tree = entry("100644", b".gitmodules", &strict.id(Kind::Blob, content));
    [(Kind::Blob, content.to_vec()), (Kind::Tree, tree)]
}

/// The verdict on such a file, which does not depend on what comes first, or how it is kept.
fn judged(strict: &mut Strict, content: &[u8]) -> Verdict {
    let [blob, tree] = named(strict, content);
    let what = content.escape_ascii().to_string();
    let [loose, packed] = strict.judged(&what, &[blob.clone(), tree.clone()]);
    let [after, packed_after] = strict.judged(&what, &[tree, blob]);
    for other in [&packed, &after, &packed_after] {
        assert_eq!(loose.accepted, other.accepted, "{what}");
    }
    packed
}

/// All of `contents` judged at once.
fn judged_at_once(strict: &mut Strict, contents: &[Vec<u8>]) -> String {
    let objects: Vec<_> = contents.iter().flat_map(|content| named(strict, content)).collect();
    strict.judged_at_once(&objects)
}

#[test]
fn each_finding_is_told_in_gits_words() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let mut strict = Strict::new(hash);
        for (finding, content, accepted) in [
            ("gitmodulesName", "[submodule \"..\"]\npath = x\n", false),
            ("gitmodulesUrl", "[submodule \"x\"]\nurl = -x\n", false),
            ("gitmodulesPath", "[submodule \"x\"]\npath = -x\n", false),
            ("gitmodulesUpdate", "[submodule \"x\"]\nupdate = !x\n", false),
            ("gitmodulesParse", "[submodule \"x\"\n", true),
            ("", "[submodule \"x\"]\npath = x\nurl = https://example.org/x.git\nupdate = rebase\n", true),
            ("", "", true),
        ] {
            let verdict = judged(&mut strict, content.as_bytes());
            assert_eq!(verdict.accepted, accepted, "{content}");
            assert!(
                verdict.told.contains(finding) && verdict.told.is_empty() == finding.is_empty(),
                "{}",
                verdict.told
            );
        }
    }
}

#[test]
fn what_is_no_blob_or_is_not_there_is_no_such_file() {
    let mut strict = Strict::new(Hash::Sha1);
    let (tree, commit) = (strict.known(Kind::Tree), strict.known(Kind::Commit));
    let nowhere = ObjectId::from_hex(&[b'1'; 40]).unwrap();
    for (what, mode, id) in [
        ("a tree", "40000", &tree),
        ("a commit", "160000", &commit),
        ("a commit that is not there", "160000", &nowhere),
        ("a blob that is not there", "100644", &nowhere),
        ("a blob that is a tree", "100644", &tree),
        ("a tree that is not there", "40000", &nowhere),
    ] {
        for severity in [Severity::Error, Severity::Warn, Severity::Ignore] {
            let mut strict = Strict::new(Hash::Sha1);
            strict.set(Message::GitmodulesBlob, severity);
            strict.set(Message::GitmodulesMissing, severity);
            strict.judged(what, &[(Kind::Tree, entry(mode, b".gitmodules", id))]);
        }
    }
    let told = strict.judged("a tree", &[(Kind::Tree, entry("40000", b".gitmodules", &tree))]);
    assert!(told.iter().all(|verdict| !verdict.accepted && verdict.told.contains("gitmodulesBlob")), "{told:?}");
    let told = strict.judged("not there", &[(Kind::Tree, entry("160000", b".gitmodules", &nowhere))]);
    // git's index-pack leaves it to its caller to look for that one, who does not.
    assert_eq!(told.clone().map(|verdict| verdict.accepted), [false, true]);
    assert!(told[0].told.contains("gitmodulesMissing"), "{told:?}");
    let link = entry("120000", b".gitmodules", &strict.known(Kind::Blob));
    let told = strict.judged("a symlink", &[(Kind::Tree, link)]);
    assert!(told.iter().all(|verdict| !verdict.accepted && verdict.told.contains("gitmodulesSymlink")), "{told:?}");
}

#[test]
fn a_file_that_is_there_already_or_has_two_names_is_checked_too() {
    let mut strict = Strict::new(Hash::Sha1);
    let content = b"[submodule \"..\"]\nurl = -x\n";
    let long = [&content[..], &[b'#'; 3000]].concat();
    for content in [&content[..], &long] {
        let id = strict.id(Kind::Blob, content);
        let names: [&[u8]; 4] = [b".gitattributes", b".gitmodules", b"gitmod~1", b"x"];
        let trees: Vec<u8> = names.iter().flat_map(|name| entry("100644", name, &id)).collect();
        let blob = (Kind::Blob, content.to_vec());
        strict.judged("two names", &[(Kind::Tree, trees.clone()), blob.clone()]);
        strict.judged("two names", &[blob, (Kind::Tree, trees.clone())]);
        strict.scene.feed("server.git", &["hash-object", "-w", "--stdin"], content);
        let verdicts = strict.judged("there already", &[(Kind::Tree, trees)]);
        assert!(verdicts.iter().all(|verdict| !verdict.accepted && verdict.told.contains("gitmodulesName")));
    }
}

#[test]
fn a_file_too_large_to_be_held_in_memory_is_refused_when_it_comes() {
    let mut strict = Strict::new(Hash::Sha1);
    strict.big_files_from(1000);
    let [blob, tree] = named(&strict, &[b'\n'; 5000]);
    let verdict = strict.ours_and_gits(&[tree, blob], Kept::Packed);
    assert!(verdict.iter().all(|verdict| verdict.told.contains("gitmodulesLarge") && !verdict.accepted), "{verdict:?}");
}

#[test]
fn no_url_is_allowed_that_git_disallows() {
    let mut strict = Strict::lenient(&OF_CONTENT);
    let quoted = |url: &str| url.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut contents: Vec<Vec<u8>> = URLS
        .split(' ')
        .chain(SPACED_URLS)
        .map(|url| format!("[submodule \"x\"]\nurl = \"{}\"\n", quoted(url)).into_bytes())
        .collect();
    let mut dice = Dice(20);
    for _ in 0..4000 {
        let url: String = (0..1 + dice.roll(9)).map(|_| dice.pick(&PARTS)).collect();
        contents.push(format!("[submodule \"x\"]\nurl = \"{}\"\n", quoted(&url)).into_bytes());
    }
    let told = judged_at_once(&mut strict, &contents);
    let refused = told.matches("gitmodulesUrl").count();
    assert!((500..4000).contains(&refused), "{refused}");
}

#[test]
fn names_paths_and_updates_are_judged_as_git_does() {
    let mut strict = Strict::lenient(&OF_CONTENT);
    let mut contents = Vec::new();
    for name in NAMES {
        contents.push(format!("[submodule \"{name}\"]\npath = x\npath = y\n").into_bytes());
        contents.push(format!("[submodule.{name}]\nupdate = !{name}\n").into_bytes());
        contents.push(format!("[SubModule \"x\"]\nPATH = {name}\nUpDate = {name}\n").into_bytes());
        contents
            .push(format!("[submodule \"x\"]\npath = \" {name}\"\n[other \"..\"]\nupdate = !{name}\n").into_bytes());
        contents.push(format!("[submodule]\npath = -{name}\n[submodule \"x\"]\npath\nurl\nupdate\n").into_bytes());
    }
    let told = judged_at_once(&mut strict, &contents);
    for finding in ["gitmodulesName", "gitmodulesPath", "gitmodulesUpdate", "gitmodulesParse"] {
        assert!(told.contains(finding), "{finding}");
    }
}

#[test]
fn it_is_read_as_git_reads_configuration() {
    let mut strict = Strict::lenient(&OF_CONTENT);
    let mut dice = Dice(9);
    let contents: Vec<Vec<u8>> =
        (0..6000).map(|_| (0..1 + dice.roll(14)).flat_map(|_| dice.pick(&WORDS).bytes()).collect()).collect();
    let told = judged_at_once(&mut strict, &contents);
    assert!(told.matches("gitmodulesParse").count() > 1000);
    assert!(told.matches("gitmodulesUrl").count() > 10, "{}", told.matches("gitmodulesUrl").count());
}

/// Better: where `char` is signed, git's check takes the byte 0xff for the end of the file, and a byte order mark for
/// garbage, so that it does not see the rest; whoever reads the file later does.
#[test]
fn no_byte_hides_the_rest_of_the_file() {
    let mut strict = Strict::new(Hash::Sha1);
    for content in [&b"# \xff\n[submodule \"x\"]\nurl = -x\n"[..], b"\xef\xbb\xbf[submodule \"x\"]\nurl = -x\n"] {
        let [blob, tree] = named(&strict, content);
        for kept in [Kept::Loose, Kept::Packed] {
            let [ours, _] = strict.ours_and_gits(&[tree.clone(), blob.clone()], kept);
            assert!(
                !ours.accepted && ours.told.contains("gitmodulesUrl: disallowed submodule url: -x"),
                "{}",
                ours.told
            );
        }
        std::fs::write(strict.scene.path("modules"), content).expect("a file");
        assert_eq!(strict.scene.git(".", &["config", "-f", "modules", "submodule.x.url"]), "-x");
    }
}

#[test]
fn not_more_is_told_of_one_file_than_anybody_reads() {
    let mut strict = Strict::new(Hash::Sha1);
    let content = format!("[submodule \"x\"]\n{}", "url = -x\n".repeat(20_000));
    let objects = named(&strict, content.as_bytes());
    for kept in [Kept::Loose, Kept::Packed] {
        let [ours, gits] = strict.ours_and_gits(&objects, kept);
        assert_eq!((ours.accepted, gits.accepted), (false, false));
        assert!(ours.told.len() > 1 << 20 && ours.told.len() < (1 << 20) + 5000, "{}", ours.told.len());
        let (told, end) = ours.told.rsplit_once("fatal: ").expect("the end");
        assert!(gits.told.starts_with(told) && gits.told.ends_with(end));
    }
}

#[test]
fn a_long_or_unprintable_value_is_told_as_git_tells_it() {
    let mut strict = Strict::new(Hash::Sha1);
    for len in [3900, 3980, 4000, 5000] {
        judged(&mut strict, format!("[submodule \"x\"]\nurl = -{}\n", "x".repeat(len)).as_bytes());
    }
    judged(&mut strict, b"[submodule \"..\x01\x7f\"]\nurl = \"-\\t\\n\\b\x1b\xc3\xa9\"\n");
    judged(&mut strict, b"[submodule \"a.url\0b\"]\npath = -x\0y\n");
}

const NAMES: [&str; 21] = [
    "",
    "x",
    "-",
    "-x",
    "!",
    "!x",
    ".",
    "..",
    "../x",
    "x/..",
    "x/../y",
    "a\\\\..\\\\b",
    "..\\\\",
    "..x",
    "x..",
    "...",
    "a/./b",
    "/..",
    "/",
    "\u{e9}/..",
    "none",
];

/// Of which URLs are put together.
const PARTS: [&str; 30] = [
    "http://", "https://", "ftp://", "git://", "http::", "./", "../", "file://", "h", "u@", ":", "/", "//", "..", ".",
    "%0a", "%0A", "%2e", "%", "%2", "\n", ":80", ":0", "?", "#", "[::1]", "\\", "-", "@", "/../",
];

/// Of which files are put together.
const WORDS: [&str; 34] = [
    "[submodule \"x\"]\n",
    "[submodule \"x\"]\n",
    "[submodule \"..",
    "\"]",
    "[submodule",
    "[",
    "]",
    "[]",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "url",
    "url = -",
    "\nurl=-x\n",
    "path",
    "update",
    "=",
    "!",
    "-",
    "\"",
    "\\",
    "\\\"",
    "\\n",
    "#",
    ";",
    "\0",
    "\x0c",
    "\x0b",
    "\u{e9}",
    "x",
    ".",
];

/// One for each rule of git's about URLs, and around it.
const URLS: &str = "\
    x -x -- ./-x ../-x http://h http:// http:///x http://h:80 http://h:0 http://h:00 http://h:65536 http://h:65535 \
    http://h:080 http://h:8x http://h: http://h:/ https://h:443/ http://h:443 http://u@h http://@h http://u:p@h/ \
    http://u%0a@h http://u%0@h http://u%zz@h http://h/%0a http://h/%0A http://h/%0d http://h/%0a/.. \
    http://h/%0a/../x http://h/x%0a/../.. http://h/.. http://h/a/../.. http://h/a/.. http://h/%2e%2e \
    http://h/a/%2E./.. http://h/./.. http://h/. http://h/a/b/../../.. http://h/a//..//.. http://h//.. http://h?q \
    http://h?%0a http://h#%0a http://h#% http://h?%0 http://h/% http://h/%00 http://h/%00%0a http://h/%250a \
    http://h/%25%30%61 http://%0a http://h%41/ http://h!/ http://[::1]/ http://[::1]:80/ http://[::1 http://::1 \
    http://a:b:c http://h_h/ http://h* http://é/ http://h/é http://h@ http://a@b@c http://a/b@c http://a?b@c \
    http://a#b@c http://:80/ http://u@:80 http:/h http:h HTTP:// Http://h/%0a http:: http::x http::http://h/%0a \
    http::http://h/ http::git://h http::-x http::ssh://h/%0a http::file:///x http::file:/// http::file: \
    http::file://x:80/ http::file:///%0a http::file://:80 http::1x://h https::http://h ftp://h/%0a ftps://h/%0a \
    ftp::x ftps::ftp://h:21 httpss:// git://h/%0a git://h/x git://%zz git://h/%0A git:%0a git:// ssh://h/%0a \
    user@h:%0a file:///%0a /x%0a x%0a ./x%0a ../x%0a ../x ./x ..\\x%0a .\\x%0a .x%0a ../x%0ay:z ../:x ../:%0a .././: \
    ..// ./../x .. ../ ./ ./: ./../: ../../:x ../../../: ../.// ../x:/ ..\\: .\\..\\/ .//: ..//: ../..//x ./%0:%0a \
    ../%%0a ../%250a ../%0 ../%0a http://h/x:%0a http://h:80:80 http://h:99999 http://h:123456 http://h:000080 \
    http://h:000000 http://h:+1 http://u%41@h http://u%0A:x@h http://u:%0a@h http://h/a;b=%0a http://h/a&b http://-h \
    http://. http://.. http://h/... http://h/.../.. http://h/a/.%2e/ http://h/a/.%2e http://h/%2e/%2e%2e \
    http://h/a%2f../.. http://h/a%2f../../.. http://h\\/ http://h\\\\..\\.. http://h/\"\\n\" http://h/\nx ../x\ny \
    ../a\nb:c http:\n//h git://h\n ssh://h\n http://h\n x\ny http https:// https:/x ftp: http::: http:::: \
    http://h/a/b/%0a/.././../c http://h/./%0a http://h/%0a/. http://h/x/./.. http://h/x/./../.. http://h/./../x \
    http://h/%0a/..?x http://h/a/..# http://h/..? http://h/../ http://h/a/../../ http://h/a/./b/../../..";

/// And those with spaces.
const SPACED_URLS: [&str; 3] = ["http://h h/", "http://h/ x", "http://h: 1"];
