//! A made-up repository and a push to it, both of which may have any holes, judged by git and by this program.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command as Process, Stdio},
    sync::{Arc, Mutex},
};

use balanced_receive_pack::{
    command::Command,
    config::{
        Config, Settings,
        sources::{ConfigFile, Place},
    },
    interrupt::Interrupts,
    objects::{
        connectivity::{self, Grounds, Tips, new_roots},
        database::Database,
        quarantine::Quarantine,
        shallow::Shallow,
    },
    refs::{alternates, snapshot::Snapshot, visibility::HiddenRefs},
    repository::{RefFormat, Repository},
    wire::sideband::Sideband,
};
use gix::{
    ObjectId,
    objs::{Kind, Write as _},
    odb::loose,
};

use crate::support::{
    gits,
    packs::{BLOB, COMMIT, PackBuilder, TREE},
    push::pkt_line,
};

/// Keeps git from whatever is configured on this machine.
const ALONE: [(&str, &str); 3] = [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("LC_ALL", "C")];

/// Objects that somebody made, and a repository that has some of them.
pub struct World {
    dir: tempfile::TempDir,
    hash: gix::hash::Kind,
    objects: BTreeMap<ObjectId, (Kind, Vec<u8>)>,
    /// `receive.hideRefs`
    pub hidden: Vec<String>,
    /// The `shallow` lines of the client.
    pub client_shallow: Vec<ObjectId>,
    /// The repository is a partial clone.
    is_partial: bool,
}

/// What became of a push.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For each command, why it was refused; empty if nothing speaks against it.
    pub refusals: Vec<String>,
    /// What was said on band 2.
    pub said: String,
}

impl Verdict {
    /// True if nothing was found to be missing.
    pub fn is_clean(&self) -> bool {
        self.refusals.iter().all(String::is_empty)
    }
}

impl World {
    /// An empty bare repository, with SHA-1.
    pub fn new() -> Self {
        World::with(gix::hash::Kind::Sha1)
    }

    /// An empty bare repository.
    pub fn with(hash: gix::hash::Kind) -> Self {
        let world = World {
            dir: tempfile::tempdir().expect("a temporary directory"),
            hash,
            objects: BTreeMap::new(),
            hidden: Vec::new(),
            client_shallow: Vec::new(),
            is_partial: false,
        };
        make_repository(&world.server(), hash);
        world
    }

    /// The repository.
    pub fn server(&self) -> PathBuf {
        self.dir.path().join("server.git")
    }

    /// Make a second repository that the first takes objects from, and return its directory.
    pub fn alternate(&self) -> PathBuf {
        let alternate = self.dir.path().join("alternate.git");
        make_repository(&alternate, self.hash);
        let list = self.server().join("objects/info/alternates");
        fs::create_dir_all(list.parent().expect("it has one")).expect("writable");
        fs::write(list, alternate.join("objects").display().to_string() + "\n").expect("writable");
        alternate
    }

    pub fn add(&mut self, kind: Kind, content: Vec<u8>) -> ObjectId {
        let id = gix::objs::compute_hash(self.hash, kind, &content).expect("no collision");
        self.objects.insert(id, (kind, content));
        id
    }

    pub fn blob(&mut self, text: &str) -> ObjectId {
        self.add(Kind::Blob, text.into())
    }

    /// A tree of entries as (mode, name, id), in the order given.
    pub fn tree(&mut self, entries: &[(&str, &str, ObjectId)]) -> ObjectId {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            content.extend_from_slice(id.as_slice());
        }
        self.add(Kind::Tree, content)
    }

    pub fn commit(&mut self, tree: ObjectId, parents: &[ObjectId], seconds: u64) -> ObjectId {
        let parents: String = parents.iter().map(|id| format!("parent {id}\n")).collect();
        let who = format!("A <a@example.org> {seconds} +0000");
        self.add(Kind::Commit, format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\nx\n").into())
    }

    pub fn tag(&mut self, target: ObjectId, kind: Kind) -> ObjectId {
        let content = format!("object {target}\ntype {kind}\ntag x\ntagger A <a@example.org> 1700000000 +0000\n\nx\n");
        self.add(Kind::Tag, content.into())
    }

    pub fn null(&self) -> ObjectId {
        self.hash.null()
    }

    pub fn kind(&self, id: ObjectId) -> Kind {
        self.objects[&id].0
    }

    /// All ids, in order.
    pub fn ids(&self) -> Vec<ObjectId> {
        self.objects.keys().copied().collect()
    }

    /// Write objects to the repository (or its alternate) at `dir`.
    pub fn store(&self, dir: &Path, ids: impl IntoIterator<Item = ObjectId>) {
        let store = loose::Store::at(dir.join("objects"), self.hash);
        for id in ids {
            let (kind, content) = &self.objects[&id];
            store.write_buf(*kind, content).expect("writable");
        }
    }

    /// Take an object away from the repository at `dir`.
    pub fn lose(&self, dir: &Path, id: ObjectId) {
        fs::remove_file(loose::Store::at(dir.join("objects"), self.hash).object_path(&id)).ok();
    }

    pub fn set_ref(&self, dir: &Path, name: &str, id: ObjectId) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
        fs::write(path, format!("{id}\n")).expect("writable");
    }

    /// Cut history off at these commits.
    pub fn shallow(&self, roots: &[ObjectId]) {
        let lines: String = roots.iter().map(|id| format!("{id}\n")).collect();
        fs::write(self.server().join("shallow"), lines).expect("writable");
    }

    /// What is reached from `from`, itself included, as far as `is_root` lets it.
    pub fn closure(&self, from: ObjectId, is_root: &dyn Fn(ObjectId) -> bool) -> Vec<ObjectId> {
        let mut seen = std::collections::BTreeSet::new();
        let mut waiting = vec![from];
        while let Some(id) = waiting.pop() {
            let Some((kind, content)) = self.objects.get(&id) else { continue };
            if !seen.insert(id) {
                continue;
            }
            match kind {
                Kind::Commit => {
                    let commit = gix::objs::CommitRef::from_bytes(content, self.hash).expect("well formed");
                    waiting.push(commit.tree());
                    if !is_root(id) {
                        waiting.extend(commit.parents());
                    }
                }
                Kind::Tree => {
                    let entries = gix::objs::TreeRefIter::from_bytes(content, self.hash);
                    waiting.extend(entries.map(|entry| entry.expect("well formed").oid.to_owned()));
                }
                Kind::Tag => {
                    waiting
                        .push(gix::objs::TagRefIter::from_bytes(content, self.hash).target_id().expect("well formed"));
                }
                Kind::Blob => {}
            }
        }
        seen.into_iter().collect()
    }

    /// Make the repository a partial clone whose promisor delivered `ids`, and nothing else.
    pub fn promise(&mut self, ids: &[ObjectId]) {
        let server = self.server();
        self.store(&server, ids.iter().copied());
        let list: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let script = "git pack-objects -q objects/pack/pack && for pack in objects/pack/*.pack; do \
                      : >\"${pack%.pack}.promisor\"; done && git prune-packed -q";
        let mut shell = Process::new("sh")
            .args(["-ec", script])
            .current_dir(&server)
            .env("GIT_DIR", ".")
            .envs(ALONE)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("sh");
        shell.stdin.take().expect("piped").write_all(list.as_bytes()).expect("it reads");
        assert!(shell.wait().expect("it ends").success());
        let mut config = fs::OpenOptions::new().append(true).open(server.join("config")).expect("it is there");
        config.write_all(b"[remote \"origin\"]\n\tpromisor = true\n").expect("writable");
        self.is_partial = true;
    }

    /// The repository, as a push finds it.
    pub fn repository(&self) -> Repository {
        let git_dir = self.server().canonicalize().expect("it is there");
        Repository {
            objects_dir: git_dir.join("objects"),
            common_dir: git_dir.clone(),
            git_dir,
            work_tree: None,
            inherited_alternates: None,
            alternate_dirs: Vec::new(),
            hash: self.hash,
            ref_format: RefFormat::Files,
            namespace: "".into(),
            given: "server.git".into(),
            inside_quarantine: false,
        }
    }

    /// This program's verdict on a push of `commands` as (ref, old, new) that brings `objects`, and how many objects it
    /// looked at for it.
    pub fn ours(&self, commands: &[(String, ObjectId, ObjectId)], objects: &[ObjectId]) -> (Verdict, u64) {
        let repository = self.repository();
        let path = repository.git_dir.join("config");
        let files = [ConfigFile { bytes: std::fs::read(&path).expect("readable"), path }];
        let place = Place { git_dir: &repository.git_dir, files: &files };
        let settings =
            if self.is_partial { Settings::read(Some(place)).expect("readable") } else { Settings::default() };
        let mut config = Config::new(settings, true).expect("the settings are right");
        // That trees lie too deep is for another test.
        config.max_tree_depth = i32::MAX;
        config.hide_refs = self.hidden.iter().map(|name| name.as_str().into()).collect();
        let quarantine = Quarantine::create(&repository, &config, &Interrupts::default()).expect("writable");
        let store = loose::Store::at(quarantine.dir().expect("writable"), self.hash);
        let database = Database::open(&repository).expect("readable");
        for id in objects.iter().filter(|id| !database.contains(id)) {
            let (kind, content) = &self.objects[id];
            store.write_buf(*kind, content).expect("writable");
        }
        let database = database.with_quarantine(&quarantine, self.hash);
        let snapshot = Snapshot::read(&repository).expect("readable");
        let hidden = HiddenRefs::new(&config.hide_refs);
        let alternates = alternates::tips(&repository, &config);
        let shallow = Shallow::read(&repository).expect("well formed");
        let tips = Tips { repository: &repository, snapshot: &snapshot, hidden: &hidden, alternates: &alternates };
        let (database, tips, config, shallow) = (&database, &tips, &config, &shallow);
        let interrupts = &Interrupts::default();
        let grounds = Grounds { database, tips, config, shallow, is_closed: false, interrupts };
        let said = Said::default();
        let mut commands: Vec<_> =
            commands.iter().map(|(name, old, new)| Command::new(*old, *new, name.as_str())).collect();
        new_roots::assign(&grounds, &self.client_shallow, &mut commands);
        let count = connectivity::check(&grounds, &Sideband::new(Box::new(said.clone()), true), false, &mut commands);
        let refusals = commands.iter().map(|command| command.refusal().map(ToString::to_string).unwrap_or_default());
        let refusals = refusals.collect();
        let bytes = said.0.lock().expect("not poisoned").clone();
        (Verdict { refusals, said: packets(&bytes, 2) }, count)
    }

    /// git's verdict on the same. The repository is as before afterwards.
    pub fn gits(&self, commands: &[(String, ObjectId, ObjectId)], objects: &[ObjectId]) -> Verdict {
        let copy = self.dir.path().join("copy");
        let server = self.server();
        run(Process::new("cp").arg("-a").arg(&server).arg(&copy));
        let verdict = self.ask_git(commands, objects);
        fs::remove_dir_all(&server).expect("removable");
        fs::rename(&copy, &server).expect("movable");
        verdict
    }

    fn ask_git(&self, commands: &[(String, ObjectId, ObjectId)], objects: &[ObjectId]) -> Verdict {
        let mut request: Vec<u8> =
            self.client_shallow.iter().flat_map(|id| pkt_line(format!("shallow {id}").as_bytes())).collect();
        for (number, (name, old, new)) in commands.iter().enumerate() {
            let capabilities = format!("\0report-status side-band-64k quiet object-format={}", self.hash);
            let capabilities = if number == 0 { &capabilities } else { "" };
            request.extend(pkt_line(format!("{old} {new} {name}{capabilities}").as_bytes()));
        }
        request.extend_from_slice(b"0000");
        let mut pack = PackBuilder::new();
        for id in objects {
            let (kind, content) = &self.objects[id];
            let kind = match kind {
                Kind::Commit => COMMIT,
                Kind::Tree => TREE,
                Kind::Blob => BLOB,
                Kind::Tag => 4,
            };
            pack = pack.entry(kind, content);
        }
        request.extend(pack.finish_with(self.hash));
        let mut git = Process::new(gits());
        git.args(["--stateless-rpc", "server.git"]).current_dir(self.dir.path());
        git.envs(ALONE);
        git.env("GIT_CONFIG_COUNT", (self.hidden.len() + 1).to_string());
        git.env("GIT_CONFIG_KEY_0", "gc.auto").env("GIT_CONFIG_VALUE_0", "0");
        for (number, name) in self.hidden.iter().enumerate() {
            git.env(format!("GIT_CONFIG_KEY_{}", number + 1), "receive.hideRefs");
            git.env(format!("GIT_CONFIG_VALUE_{}", number + 1), name);
        }
        let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("git");
        child.stdin.take().expect("piped").write_all(&request).ok();
        let output = child.wait_with_output().expect("it ends");
        let report = packets(&output.stdout, 1);
        assert!(report.contains("unpack ok"), "{report} {output:?}");
        let refusals = commands.iter().map(|(name, ..)| {
            let said = report.split_once(&format!("ng {name} ")).map_or("", |(_, rest)| rest);
            let reason = said.split(['\n', '\0']).next().unwrap_or_default();
            // What the stages behind it find is none of the connectivity check's.
            let is_ours = matches!(reason, "missing necessary objects" | "shallow update not allowed");
            if is_ours { reason.to_owned() } else { String::new() }
        });
        Verdict { refusals: refusals.collect(), said: packets(&output.stdout, 2) }
    }
}

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn make_repository(dir: &Path, hash: gix::hash::Kind) {
    for part in ["objects/info", "objects/pack", "refs/heads"] {
        fs::create_dir_all(dir.join(part)).expect("writable");
    }
    fs::write(dir.join("HEAD"), "ref: refs/heads/main\n").expect("writable");
    let format = format!("[core]\nrepositoryformatversion = 1\nbare = true\n[extensions]\nobjectFormat = {hash}\n");
    fs::write(dir.join("config"), format).expect("writable");
}

/// Run a program that must succeed.
pub fn run(process: &mut Process) {
    let output = process.envs(ALONE).output().expect("it starts");
    assert!(output.status.success(), "{process:?}: {output:?}");
}

/// What the packets of one band say.
fn packets(mut bytes: &[u8], band: u8) -> String {
    let mut said = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..4]).expect("hex"), 16).expect("hex");
        if length > 4 && bytes[4] == band {
            said.extend_from_slice(&bytes[5..length]);
        }
        bytes = &bytes[length.max(4)..];
    }
    String::from_utf8_lossy(&said).into_owned()
}
