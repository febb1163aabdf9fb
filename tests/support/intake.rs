//! Packs taken in through the library, and by git's own programs for comparison.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use balanced_receive_pack::{
    config::{Config, Settings},
    interrupt::Interrupts,
    objects::{
        database::Database,
        intake::{Intake, UnpackError},
        quarantine::Quarantine,
    },
    repository::{RefFormat, Repository},
    wire::sideband::Sideband,
};

/// A repository that packs are pushed to.
pub struct Server {
    /// Which one.
    pub repository: Repository,
    /// What is configured, for a test to change.
    pub config: Config,
    /// `--reject-thin-pack-for-testing`
    pub reject_thin: bool,
}

/// What became of a pack.
pub struct Taken {
    /// Whether it was taken in.
    pub result: Result<bool, UnpackError>,
    /// What the person who pushes was told on band 2.
    pub told: String,
    /// Where its objects are.
    pub quarantine: Quarantine,
}

impl Server {
    /// The bare repository at `git_dir`, with nothing configured.
    pub fn new(git_dir: &Path, hash: gix::hash::Kind) -> Server {
        let git_dir = git_dir.canonicalize().expect("a repository");
        let repository = Repository {
            common_dir: git_dir.clone(),
            work_tree: None,
            objects_dir: git_dir.join("objects"),
            inherited_alternates: None,
            alternate_dirs: Vec::new(),
            hash,
            ref_format: RefFormat::Files,
            namespace: "".into(),
            given: "".into(),
            inside_quarantine: false,
            git_dir,
        };
        let mut config = Config::new(Settings::default(), true).expect("no settings");
        config.fsync.packs = false;
        config.fsync.pack_metadata = false;
        Server { repository, config, reject_thin: false }
    }

    /// Take in what `input` gives.
    pub fn take(&self, input: &mut dyn Read) -> Taken {
        let told = Arc::new(Mutex::new(Vec::new()));
        let messages = Sideband::new(Box::new(Shared(told.clone())), true);
        let quarantine =
            Quarantine::create(&self.repository, &self.config, &Interrupts::default()).expect("a quarantine");
        let database = Database::open(&self.repository).expect("a database");
        let intake = Intake {
            repository: &self.repository,
            config: &self.config,
            database: &database,
            quarantine: &quarantine,
            messages: &messages,
            progress: true,
            reject_thin: self.reject_thin,
            cut_off: &[],
        };
        let result = intake.receive(input);
        let told = unpacketed(&told.lock().expect("no panic"));
        Taken { result, told, quarantine }
    }

    /// Everything below the git directory: path, mode and content of each file, and empty directories.
    pub fn everything(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut found = Vec::new();
        walk(&self.repository.git_dir, &mut found);
        found.sort();
        found
    }
}

impl Taken {
    /// The text behind `unpack ` in the report.
    pub fn reason(&self) -> String {
        self.result.as_ref().err().map_or("ok".into(), ToString::to_string)
    }

    /// The names of the files in quarantine, in order.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let dir = self.quarantine.dir().expect("a directory");
        walk(dir, &mut found);
        let name = |path: &Path| path.strip_prefix(dir).expect("inside").display().to_string();
        let mut names = found.iter().map(|(path, ..)| name(path)).collect::<Vec<_>>();
        names.sort();
        names
    }
}

/// True if the installed git takes `pack` into the bare repository at `git_dir` (which it changes): as `index-pack` or as
/// `unpack-objects`.
pub fn git_takes(git_dir: &Path, arguments: &[&str], pack: &[u8]) -> bool {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(git_dir)
        .env("GIT_DIR", git_dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("git runs");
    // It may stop reading.
    child.stdin.take().expect("a pipe").write_all(pack).ok();
    child.wait().expect("it ends").success()
}

fn walk(dir: &Path, found: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            let before = found.len();
            walk(&path, found);
            if found.len() > before {
                continue;
            }
        }
        let mode = entry.metadata().expect("a mode").permissions().mode();
        found.push((path.clone(), mode, fs::read(&path).unwrap_or_default()));
    }
}

/// The payload of channel 2.
fn unpacketed(mut packets: &[u8]) -> String {
    let mut text = Vec::new();
    while let Some((head, _)) = packets.split_at_checked(5) {
        let len = usize::from_str_radix(std::str::from_utf8(&head[..4]).expect("hex"), 16).expect("hex");
        assert_eq!(head[4], 2);
        text.extend_from_slice(&packets[5..len]);
        packets = &packets[len..];
    }
    String::from_utf8_lossy(&text).into_owned()
}

struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
