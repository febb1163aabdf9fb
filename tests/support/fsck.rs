//! `receive.fsckObjects`: packs of crafted objects, judged by both programs, as loose objects and as a pack that stays one.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    process::Stdio,
};

use balanced_receive_pack::{
    config::fsck::{FsckRules, Rule},
    objects::fsck::message::{Message, Severity},
};
use gix::{ObjectId, objs::Kind};

use super::{
    intake::Server,
    packs::{BLOB, COMMIT, PackBuilder, TAG, TREE, entry},
    scene::Scene,
};

/// What a program said about a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it was taken in.
    pub accepted: bool,
    /// All that was said.
    pub told: String,
}

impl Verdict {
    /// The same, in an order that does not depend on which thread was quicker.
    fn sorted(&self) -> Verdict {
        let mut lines: Vec<&str> = self.told.lines().collect();
        lines.sort_unstable();
        Verdict { accepted: self.accepted, told: lines.join("\n") }
    }
}

/// A repository that checks what it receives.
pub struct Strict {
    /// The repositories.
    pub scene: Scene,
    server: Server,
    hash: gix::hash::Kind,
    known: [(Kind, ObjectId); 4],
    lowered: Vec<(Message, Severity)>,
}

/// How the objects of a pack are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Each in a file of its own.
    Loose,
    /// In the pack that they came in.
    Packed,
}

impl Strict {
    /// A repository with object names of `hash`, that checks by the usual rules.
    pub fn new(hash: gix::hash::Kind) -> Strict {
        let scene = Scene::new(&hash.to_string(), "files");
        let server = Server::new(&scene.git_dir(), hash);
        let names = [(Kind::Commit, "main"), (Kind::Tree, "main^{tree}"), (Kind::Blob, "main:a"), (Kind::Tag, "v1")];
        let known = names.map(|(kind, name)| {
            let id = scene.git("server.git", &["rev-parse", name]);
            (kind, ObjectId::from_hex(id.as_bytes()).expect("an id"))
        });
        Strict { scene, server, hash, known, lowered: Vec::new() }
    }

    /// The same where these findings are only warnings, so that many objects can be judged at once.
    pub fn lenient(findings: &[Message]) -> Strict {
        let mut strict = Strict::new(gix::hash::Kind::Sha1);
        findings.iter().for_each(|finding| strict.set(*finding, Severity::Warn));
        strict
    }

    /// Set `receive.fsck.<finding>`.
    pub fn set(&mut self, finding: Message, severity: Severity) {
        self.lowered.push((finding, severity));
    }

    /// Set `core.bigFileThreshold`, in bytes.
    pub fn big_files_from(&mut self, size: u64) {
        self.server.config.big_file_threshold = size;
        self.scene.git("server.git", &["config", "core.bigFileThreshold", &size.to_string()]);
    }

    /// The id of an object.
    pub fn id(&self, kind: Kind, content: &[u8]) -> ObjectId {
        gix::objs::compute_hash(self.hash, kind, content).expect("no collision")
    }

    /// An object that the repository has.
    pub fn known(&self, kind: Kind) -> ObjectId {
        self.known.iter().find(|(known, _)| *known == kind).expect("one of each kind").1
    }

    /// A tree's entry that names a blob or tree which the repository has, or else nothing.
    pub fn entry(&self, mode: &str, name: &[u8]) -> Vec<u8> {
        let kind = if mode.trim_start_matches('0') == "40000" { Kind::Tree } else { Kind::Blob };
        entry(mode, name, &self.known(kind))
    }

    /// What our program says about the pack.
    pub fn ours(&mut self, pack: &[u8], kept: Kept) -> Verdict {
        self.server.config.unpack_limit = if kept == Kept::Loose { u64::MAX } else { 0 };
        let rules = self.lowered.iter().map(|(finding, severity)| Rule::Severity(*finding, *severity));
        self.server.config.fsck = Some(FsckRules(rules.collect()));
        let taken = self.server.take(&mut &pack[..]);
        Verdict { accepted: taken.result.is_ok(), told: taken.told.clone() }
    }

    /// What git's programs say about it, called as its receive-pack calls them. The repository stays as it was.
    pub fn gits(&self, pack: &[u8], kept: Kept) -> Verdict {
        let words = |severity| match severity {
            Severity::Fatal | Severity::Error => "error",
            Severity::Warn => "warn",
            Severity::Ignore => "ignore",
        };
        let lowered = self.lowered.iter().map(|(finding, severity)| format!("{}={}", finding.name(), words(*severity)));
        let lowered: Vec<String> = lowered.collect();
        let strict = if lowered.is_empty() { "--strict".into() } else { format!("--strict={}", lowered.join(",")) };
        let quarantine = tempfile::tempdir().expect("a directory");
        fs::create_dir(quarantine.path().join("pack")).expect("a directory");
        let mut git = self.scene.command("server.git", "git");
        match kept {
            Kept::Loose => git.args(["unpack-objects", "-q", &strict]),
            Kept::Packed => git.args(["index-pack", "--stdin", "--fix-thin", &strict]),
        };
        git.env("GIT_TEST_FSYNC", "0").env("GIT_OBJECT_DIRECTORY", quarantine.path());
        git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.scene.git_dir().join("objects"));
        git.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut git = git.spawn().expect("git runs");
        let (mut stdin, mut stderr) = (git.stdin.take().expect("a pipe"), git.stderr.take().expect("a pipe"));
        let mut told = Vec::new();
        std::thread::scope(|scope| {
            // It may stop reading.
            scope.spawn(move || stdin.write_all(pack).ok());
            stderr.read_to_end(&mut told).expect("a pipe");
        });
        let accepted = git.wait().expect("it ends").success();
        Verdict { accepted, told: String::from_utf8_lossy(&told).into_owned() }
    }

    /// The verdict of both programs on `objects`, which is to be the same to the letter, in the order given, kept either way.
    pub fn judged(&mut self, what: &str, objects: &[(Kind, Vec<u8>)]) -> [Verdict; 2] {
        [Kept::Loose, Kept::Packed].map(|kept| {
            let [ours, gits] = self.ours_and_gits(objects, kept);
            assert_eq!(ours, gits, "{what}, {kept:?}, ours before git's");
            ours
        })
    }

    /// What either program says about `objects`, in the order given.
    pub fn ours_and_gits(&mut self, objects: &[(Kind, Vec<u8>)], kept: Kept) -> [Verdict; 2] {
        let pack = self.pack(objects);
        [self.ours(&pack, kept), self.gits(&pack, kept)]
    }

    /// The same for many objects at once, in whatever order the findings come; they stay a pack. Returns what was found.
    pub fn judged_at_once(&mut self, objects: &[(Kind, Vec<u8>)]) -> String {
        // None may come twice.
        let objects = &BTreeSet::from_iter(objects.iter().cloned()).into_iter().collect::<Vec<_>>()[..];
        let [ours, gits] = self.ours_and_gits(objects, Kept::Packed).map(|verdict| verdict.sorted());
        let fatal = gits.told.lines().find(|line| line.starts_with("fatal: "));
        assert!(gits.accepted && fatal.is_none(), "{fatal:?}");
        let mut theirs = gits.told.lines();
        for line in ours.told.lines() {
            assert_eq!(Some(line), theirs.next(), "ours before git's: {}", self.named(line, objects));
        }
        let missed = theirs.next().map(|line| self.named(line, objects));
        assert_eq!(missed, None, "git says more");
        assert!(ours.accepted);
        ours.told
    }

    /// The object that a line is about.
    fn named(&self, line: &str, objects: &[(Kind, Vec<u8>)]) -> String {
        let about = |(kind, content): &&(Kind, Vec<u8>)| line.contains(&self.id(*kind, content).to_string());
        objects.iter().find(about).map_or(line.into(), |(_, content)| content.escape_ascii().to_string())
    }

    fn pack(&self, objects: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        let pack = objects.iter().fold(PackBuilder::new(), |pack, (kind, content)| {
            let kind = match kind {
                Kind::Commit => COMMIT,
                Kind::Tree => TREE,
                Kind::Blob => BLOB,
                Kind::Tag => TAG,
            };
            pack.entry(kind, content)
        });
        pack.finish_with(self.hash)
    }
}
