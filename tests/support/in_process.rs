//! A repository that is pushed to through the library; git makes it, and looks at what came of it.

use std::{collections::BTreeMap, fs, path::Path};

use balanced_receive_pack::{
    config::{Config, Settings},
    interrupt::Interrupts,
    objects::database::Database,
    refs::transaction::{Aborted, Committed, Edit, Mode, Queued},
    repository::{RefFormat, Repository},
};
use gix::ObjectId;

use super::scene::Scene;

/// A bare repository with six commits in one line, an annotated tag of the first, and no refs.
pub struct Server {
    /// Where `server.git` lies.
    pub scene: Scene,
    /// What the library takes for it.
    pub repository: Repository,
    /// The settings for the next push.
    pub config: Config,
    /// Hears no signals.
    pub interrupts: Interrupts,
    /// From the root on.
    pub commits: Vec<ObjectId>,
    /// The annotated tag, of the root.
    pub tag: ObjectId,
}

impl Server {
    /// Make it.
    pub fn make() -> Self {
        let scene = Scene::empty();
        scene.git(".", &["init", "-q", "--bare", "-b", "main", "--template=", "server.git"]);
        let mut history = String::new();
        for index in 0..6 {
            let parent = if index == 0 { String::new() } else { format!("from :{index}\n") };
            history.push_str(&format!(
                "commit refs/x/y\nmark :{}\ncommitter C <c@example.org> {} +0000\ndata 1\n{index}\n{parent}",
                index + 1,
                1_700_000_000 + index
            ));
        }
        history.push_str("tag v1\nfrom :1\ntagger C <c@example.org> 1700000000 +0000\ndata 1\nt\n");
        scene.feed("server.git", &["fast-import", "--quiet"], history.as_bytes());
        let parse = |name: &str| ObjectId::from_hex(scene.git("server.git", &["rev-parse", name]).as_bytes()).unwrap();
        let commits = (0..6).rev().map(|back| parse(&format!("refs/x/y~{back}"))).collect();
        let tag = parse("refs/tags/v1");
        scene.git("server.git", &["update-ref", "-d", "refs/x/y"]);
        scene.git("server.git", &["update-ref", "-d", "refs/tags/v1"]);
        fs::remove_dir_all(scene.path("server.git/refs/x")).ok();
        let repository = repository(&scene.path("server.git"));
        let config = Config::new(Settings::default(), true).unwrap();
        Server { scene, repository, config, interrupts: Interrupts::default(), commits, tag }
    }

    /// What git says; it must succeed.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.scene.git("server.git", arguments)
    }

    /// What git says on stderr; it must fail.
    pub fn git_fails(&self, arguments: &[&str]) -> String {
        let output = self.scene.try_git("server.git", arguments);
        assert!(!output.status.success(), "git {arguments:?} succeeds");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A path in the repository.
    pub fn path(&self, below: &str) -> std::path::PathBuf {
        self.repository.git_dir.join(below)
    }

    /// Have git write ref `name`.
    pub fn set(&self, name: &str, commit: usize) {
        self.git(&["update-ref", name, &self.commits[commit].to_string()]);
    }

    /// `name` from commit `old` to commit `new`, `None` for no ref.
    pub fn edit(&self, name: &str, old: Option<usize>, new: Option<usize>) -> Edit {
        let value = |commit: Option<usize>| commit.map_or(self.repository.hash.null(), |commit| self.commits[commit]);
        Edit { name: name.into(), old: Some(value(old)), new: value(new) }
    }

    /// Carry out `edits`.
    pub fn commit(&self, mode: Mode, edits: Vec<Edit>) -> Result<Committed, Aborted> {
        let database = Database::open(&self.repository).unwrap();
        let queued = Queued::new(&self.repository, &self.config, &self.interrupts, edits).unwrap();
        queued.prepare(&database, mode, None)?.commit()
    }

    /// Carry out edits of which none may be refused.
    pub fn succeed(&self, mode: Mode, edits: Vec<Edit>) {
        self.succeed_beside(mode, edits);
        self.check_clean();
    }

    /// The same while others are at work.
    pub fn succeed_beside(&self, mode: Mode, edits: Vec<Edit>) {
        let committed = self.commit(mode, edits).unwrap();
        for outcome in committed.outcomes {
            outcome.unwrap();
        }
        assert_eq!(committed.complaints, Vec::<String>::new());
    }

    /// The reason and the message with which a single edit is refused, on either way.
    pub fn refused(&self, edit: Edit) -> (String, String) {
        let before = self.listing();
        let committed = self.commit(Mode::EachAlone, vec![edit.clone()]).unwrap();
        let failure = committed.outcomes[0].clone().unwrap_err();
        assert_eq!(self.listing(), before);
        let aborted =
            self.commit(Mode::AllOrNone, vec![edit, self.edit("refs/heads/beside", None, Some(0))]).unwrap_err();
        assert_eq!(aborted.refusal.to_string(), "atomic transaction failed");
        assert_eq!(aborted.message, failure.message);
        assert_eq!(self.listing(), before);
        (failure.refusal.to_string(), failure.message.to_string())
    }

    /// Nothing of a transaction is left, and git finds nothing wrong.
    pub fn check_clean(&self) {
        let left: Vec<_> =
            self.listing().into_keys().filter(|path| path.ends_with(".lock") || path.contains("balanced")).collect();
        assert_eq!(left, Vec::<String>::new());
        self.git(&["fsck", "--strict"]);
        self.git(&["refs", "verify"]);
    }

    /// Each ref and its value, as git reads them.
    pub fn refs(&self) -> Vec<String> {
        self.git(&["for-each-ref", "--format=%(refname) %(objectname)"]).lines().map(str::to_owned).collect()
    }

    /// What [`refs`](Self::refs) says of a ref that has this commit.
    pub fn line(&self, name: &str, commit: usize) -> String {
        format!("{name} {}", self.commits[commit])
    }

    /// Every path below the git directory but objects, with what it holds.
    pub fn listing(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        list(&self.repository.git_dir, &self.repository.git_dir, &mut found);
        found.retain(|path, _| !path.starts_with("objects"));
        found
    }
}

/// The bare repository at `path` as the library takes it.
pub fn repository(path: &Path) -> Repository {
    let git_dir = path.canonicalize().unwrap();
    Repository {
        common_dir: git_dir.clone(),
        work_tree: None,
        objects_dir: git_dir.join("objects"),
        inherited_alternates: None,
        alternate_dirs: Vec::new(),
        hash: gix::hash::Kind::Sha1,
        ref_format: RefFormat::Files,
        namespace: Default::default(),
        given: Default::default(),
        inside_quarantine: false,
        git_dir,
    }
}

fn list(root: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            found.insert(format!("{name}/"), String::new());
            list(root, &path, found);
        } else if meta.is_symlink() {
            found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
        } else {
            found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
        }
    }
}
