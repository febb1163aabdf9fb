//! Reftables are read in process: what is read of them is what git reads, and what is not understood is left to git.

pub mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use balanced_receive_pack::{
    refs::{reftable::Reftables, snapshot::Snapshot, symbolic::Symbolic},
    repository::{RefFormat, Repository},
};
use support::{dice::Dice, in_process, scene::Scene};

/// A repository whose refs are a reftable, with a few commits and a tag.
struct Tables {
    scene: Scene,
    repository: Repository,
    ids: Vec<String>,
    /// For each git that writes.
    settings: Vec<String>,
}

impl Tables {
    fn make(hash: &str) -> Self {
        let scene = Scene::new(hash, "reftable");
        let mut repository = in_process::repository(&scene.path("server.git"));
        repository.ref_format = RefFormat::Reftable;
        if hash == "sha256" {
            repository.hash = gix::hash::Kind::Sha256;
        }
        let ids = ["main", "topic", "old", "v1"].map(|name| scene.git("server.git", &["rev-parse", name])).to_vec();
        Tables { scene, repository, ids, settings: Vec::new() }
    }

    /// Have git write, without putting tables together; it may refuse.
    fn write(&self, arguments: &[&str], input: &str) -> Output {
        let mut git = self.scene.command("server.git", "git");
        git.env("GIT_TEST_REFTABLE_AUTOCOMPACTION", "false").env("GIT_TEST_FSYNC", "0");
        git.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
        git.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = git.spawn().expect("git runs");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), input.as_bytes()).expect("git reads");
        child.wait_with_output().expect("git ends")
    }

    fn update(&self, input: &str) {
        let output = self.write(&["update-ref", "--stdin"], input);
        assert!(output.status.success(), "{output:?}\n{input}");
    }

    /// What is read; `None` if that is left to git.
    fn lines(&self) -> Option<String> {
        Reftables::open(&self.repository)?.lines().map(|lines| String::from_utf8_lossy(&lines).into_owned())
    }

    fn follow(&self, name: &str) -> Option<Symbolic> {
        Reftables::open(&self.repository)?.follow(name.into())
    }

    /// What git lists; `None` if it fails.
    fn listed(&self) -> Option<String> {
        let output = self.ask(&["for-each-ref", "--format=%(objectname) %(refname)"]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What git says of the ref `name`.
    fn followed(&self, name: &str) -> Symbolic {
        let output = self.ask(&["symbolic-ref", "-q", name]);
        match output.status.code() {
            Some(0) => Symbolic::LeadsTo(output.stdout.trim_ascii_end().into()),
            Some(1) => Symbolic::No,
            _ => Symbolic::Broken,
        }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut git = self.scene.command(".", "git");
        git.current_dir(&self.repository.git_dir).env("GIT_DIR", &self.repository.git_dir);
        git.args(arguments).output().expect("git runs")
    }

    fn check(&self, names: &[&str]) {
        assert_eq!(self.lines(), self.listed());
        for name in names {
            assert_eq!(self.follow(name), Some(self.followed(name)), "{name}");
        }
    }

    /// The tables, oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let list = fs::read_to_string(self.repository.git_dir.join("reftable/tables.list")).expect("a list");
        list.lines().map(|name| self.repository.git_dir.join("reftable").join(name)).collect()
    }
}

#[test]
fn of_stacks_that_git_wrote_at_random_all_is_read_as_git_reads_it() {
    for (seed, hash) in [(1, "sha1"), (2, "sha256"), (3, "sha1"), (4, "sha1")] {
        let mut tables = Tables::make(hash);
        let mut dice = Dice(seed);
        let names = random_names(&mut dice);
        let mut deepest = 0;
        for _ in 0..40 {
            tables.settings = random_settings(&mut dice);
            change_at_random(&tables, &names, &mut dice);
            deepest = deepest.max(tables.files().len());
            let asked: Vec<&str> = (0..3).map(|_| names[dice.roll(names.len())].as_str()).collect();
            tables.check(&[asked.as_slice(), &["HEAD"]].concat());
        }
        assert!(deepest > 5, "{deepest}");
    }
}

fn random_names(dice: &mut Dice) -> Vec<String> {
    let mut names: Vec<String> = (0..300)
        .map(|number| {
            let directory = dice.pick(&["refs/heads/", "refs/heads/a/rather/long/way/down/", "refs/tags/", "refs/x/"]);
            format!("{directory}{}{number}", "n".repeat(1 + dice.roll(12)))
        })
        .collect();
    names.extend(
        ["refs/worktree/own", "refs/bisect/bad", "refs/heads/\u{e4}", "refs/remotes/origin/HEAD"].map(Into::into),
    );
    names
}

fn random_settings(dice: &mut Dice) -> Vec<String> {
    vec![
        format!("reftable.blockSize={}", dice.pick(&[256, 512, 1000, 4096, 65536])),
        format!("reftable.restartInterval={}", dice.pick(&[1, 2, 16, 100])),
        format!("reftable.indexObjects={}", dice.pick(&["true", "false"])),
        format!("core.logAllRefUpdates={}", dice.pick(&["always", "false"])),
    ]
}

/// One transaction of git's, or tables put together.
fn change_at_random(tables: &Tables, names: &[String], dice: &mut Dice) {
    if dice.one_in(8) {
        // With `--auto` only some of them.
        let arguments: &[&str] = if dice.one_in(2) { &["pack-refs", "--all"] } else { &["pack-refs", "--auto"] };
        assert!(tables.write(arguments, "").status.success());
        return;
    }
    let mut input = String::new();
    let (mut at, step) = (dice.roll(20), dice.pick(&[1, 5, 50, 400]));
    while let Some(name) = names.get(at) {
        at += 1 + dice.roll(step);
        let id = &tables.ids[dice.roll(if name.starts_with("refs/heads/") { 3 } else { 4 })];
        let other = &names[dice.roll(names.len())];
        let line = match dice.roll(8) {
            0 | 1 => format!("delete {name}"),
            2 => format!("symref-update {name} {other}"),
            3 => format!("symref-update {name} {}", dice.pick(&["HEAD", "refs/heads/main", "refs/heads/absent", name])),
            _ => format!("update {name} {id}"),
        };
        writeln!(input, "option no-deref\n{line}").expect("a string");
    }
    tables.update(&input);
    if dice.one_in(5) {
        // Where it was detached, it is attached again.
        let head = dice.pick(&["refs/heads/main", "refs/heads/absent"]);
        assert!(tables.write(&["symbolic-ref", "HEAD", head], "").status.success());
    } else if dice.one_in(5) {
        assert!(tables.write(&["update-ref", "--no-deref", "HEAD", "main"], "").status.success());
    }
}

#[test]
fn a_table_of_many_blocks_is_listed_and_searched() {
    // With blocks so small the index has several levels.
    for block_size in [256, 4096] {
        let mut tables = Tables::make("sha1");
        tables.settings = vec![format!("reftable.blockSize={block_size}")];
        let mut input = String::new();
        for number in 0..20_000 {
            let line = match number % 50 {
                7 => format!("symref-create refs/heads/b{number:05} refs/heads/main"),
                _ => format!("create refs/heads/b{number:05} {}", tables.ids[number % 3]),
            };
            writeln!(input, "{line}").expect("a string");
        }
        tables.update(&input);
        tables.write(&["pack-refs", "--all"], "");
        tables.check(&[]);
        let read = Reftables::open(&tables.repository).expect("read");
        for number in 0..20_002 {
            let is_symbolic = number % 50 == 7 && number < 20_000;
            let expected = if is_symbolic { Symbolic::LeadsTo("refs/heads/main".into()) } else { Symbolic::No };
            assert_eq!(read.follow(format!("refs/heads/b{number:05}").as_str().into()), Some(expected), "{number}");
        }
        for absent in ["refs/a", "refs/heads/b", "refs/heads/b00007x", "refs/heads/main/x", "refs/zz"] {
            assert_eq!(read.follow(absent.into()), Some(Symbolic::No), "{absent}");
        }
    }
}

#[test]
fn symbolic_refs_are_followed_as_far_as_git_follows_them() {
    let tables = Tables::make("sha1");
    let mut input = String::from("symref-create refs/s/0 refs/heads/main\nsymref-create refs/d/0 refs/heads/absent\n");
    for number in 1..8 {
        for kind in ["s", "d"] {
            writeln!(input, "symref-create refs/{kind}/{number} refs/{kind}/{}", number - 1).expect("a string");
        }
    }
    input +=
        "symref-create refs/loop/a refs/loop/b\nsymref-create refs/loop/b refs/loop/a\nsymref-create refs/h HEAD\n";
    tables.update(&input);
    let names: Vec<String> =
        ["s", "d"].iter().flat_map(|kind| (0..8).map(move |number| format!("refs/{kind}/{number}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    tables.check(&[names.as_slice(), &["refs/loop/a", "refs/h", "HEAD", "refs/absent"]].concat());
}

#[test]
fn a_worktree_has_its_own_head_and_its_own_refs() {
    let mut tables = Tables::make("sha1");
    let main_dir = tables.repository.git_dir.clone();
    tables.scene.git("server.git", &["worktree", "add", "-q", "../linked", "topic"]);
    for (directory, id) in [("server.git", 0), ("linked", 1)] {
        for name in ["refs/worktree/own", "refs/bisect/bad", "refs/rewritten/x"] {
            tables.scene.git(directory, &["update-ref", name, &tables.ids[id]]);
        }
    }
    tables.scene.git("linked", &["symbolic-ref", "refs/worktree/alias", "refs/heads/main"]);
    tables.scene.git("linked", &["symbolic-ref", "refs/heads/to-own", "refs/worktree/own"]);
    tables.scene.git("linked", &["update-ref", "refs/worktree/gone", "main"]);
    tables.scene.git("linked", &["update-ref", "-d", "refs/worktree/gone"]);
    let names = ["HEAD", "refs/worktree/alias", "refs/heads/to-own", "refs/heads/main"];
    tables.check(&names);
    tables.repository.git_dir = main_dir.join("worktrees/linked");
    tables.check(&names);
    assert_eq!(tables.follow("HEAD"), Some(Symbolic::LeadsTo("refs/heads/topic".into())));
    // Whatever may be meant by it, git knows.
    assert_eq!(tables.follow("main-worktree/HEAD"), None);
    assert_eq!(tables.follow("worktrees/linked/HEAD"), None);
}

#[test]
fn a_repository_without_refs_is_read() {
    let tables = Tables::make("sha1");
    tables.scene.git(".", &["init", "-q", "--bare", "--ref-format=reftable", "empty.git"]);
    let repository =
        Repository { ref_format: RefFormat::Reftable, ..in_process::repository(&tables.scene.path("empty.git")) };
    let tables = Tables { repository, ..tables };
    assert_eq!(tables.lines().as_deref(), Some(""));
    tables.check(&["HEAD"]);
}

/// One with refs of every kind, in two tables.
fn small() -> Tables {
    let tables = Tables::make("sha1");
    tables.write(&["pack-refs", "--all"], "");
    tables.update(&format!(
        "symref-create refs/heads/alias refs/heads/topic\ndelete refs/heads/old\nupdate refs/heads/main {}\n",
        tables.ids[1]
    ));
    assert_eq!(tables.files().len(), 2);
    tables.check(&["HEAD", "refs/heads/alias", "refs/heads/old"]);
    tables
}

#[test]
fn of_a_damaged_table_nothing_is_read_but_what_git_reads() {
    let tables = small();
    for file in tables.files() {
        let whole = fs::read(&file).expect("a table");
        let mut dice = Dice(7);
        let (mut read, mut left) = (0, 0);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << dice.roll(8);
            fs::write(&file, damaged).expect("damaged");
            match tables.lines() {
                Some(lines) => {
                    assert_eq!(Some(lines), tables.listed(), "{}, byte {at}", file.display());
                    read += 1;
                }
                None => left += 1,
            }
            if let Some(symbolic) = tables.follow("refs/heads/alias") {
                assert_eq!(symbolic, tables.followed("refs/heads/alias"), "{}, byte {at}", file.display());
            }
        }
        assert!(read > 50 && left > 100, "{read}, {left}");
        for len in 0..whole.len() {
            fs::write(&file, &whole[..len]).expect("cut off");
            assert_eq!(tables.lines(), None, "{len} bytes");
        }
        fs::write(&file, whole).expect("mended");
    }
}

#[test]
fn a_damaged_index_is_seen() {
    for (seed, refs) in [(5, 40), (6, 80), (7, 150)] {
        let mut tables = Tables::make("sha1");
        let mut dice = Dice(seed);
        tables.settings =
            vec![format!("reftable.blockSize={}", dice.pick(&[256, 400])), "reftable.restartInterval=3".into()];
        let creation = |number| match number % 10 {
            7 => format!("symref-create refs/heads/b{number:05} refs/heads/main\n"),
            _ => format!("create refs/heads/b{number:05} {}\n", tables.ids[number % 3]),
        };
        tables.update(&(0..refs).map(creation).collect::<String>());
        tables.write(&["pack-refs", "--all"], "");
        let file = tables.files().pop().expect("a table");
        let whole = fs::read(&file).expect("a table");
        assert!(tables.lines().is_some() && whole.len() < 16 * 1024, "{}", whole.len());
        for _ in 0..200 {
            let mut damaged = whole.clone();
            for _ in 0..=dice.roll(2) {
                let at = dice.roll(whole.len());
                damaged[at] ^= 1 << dice.roll(8);
            }
            fs::write(&file, damaged).expect("damaged");
            if let Some(lines) = tables.lines() {
                assert_eq!(Some(lines), tables.listed());
            }
            let name = format!("refs/heads/b{:05}", 7 + 10 * dice.roll(refs / 10));
            if let Some(symbolic) = tables.follow(&name) {
                assert_eq!(symbolic, tables.followed(&name), "{name}");
            }
        }
    }
}

#[test]
fn what_is_no_stack_of_tables_is_left_to_git() {
    let tables = small();
    let list = tables.repository.git_dir.join("reftable/tables.list");
    let whole = fs::read_to_string(&list).expect("a list");
    let table = tables.files()[0].clone();
    let bad_lists =
        [format!("{whole}absent.ref\n"), format!("{whole}\n"), format!("../reftable/{whole}"), ".\n".into()];
    for bad in bad_lists {
        fs::write(&list, &bad).expect("a list");
        assert_eq!((tables.lines(), tables.follow("HEAD")), (None, None), "{bad}");
    }
    fs::write(&list, whole.repeat(200)).expect("a list");
    assert_eq!(tables.lines(), None);
    fs::remove_file(&list).expect("removed");
    assert_eq!(tables.lines(), None);
    fs::write(&list, &whole).expect("a list");
    tables.check(&["HEAD"]);
    // The other hash's.
    let other = Repository { hash: gix::hash::Kind::Sha256, ..tables.repository.clone() };
    assert!(Reftables::open(&other).is_none());
    // Nobody is waited for.
    fs::remove_file(&table).expect("removed");
    nix::unistd::mkfifo(&table, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    assert_eq!(tables.lines(), None);
}

#[test]
fn what_only_git_can_read_is_asked_of_git() {
    let tables = small();
    let newest = tables.files().pop().expect("a table");
    // A null id is read by nobody, and git leaves that ref out.
    let mut bytes = fs::read(&newest).expect("a table");
    let id = gix::ObjectId::from_hex(tables.ids[1].as_bytes()).expect("an id");
    let at = bytes.windows(20).position(|window| window == id.as_slice()).expect("the value of main");
    bytes[at..at + 20].fill(0);
    fs::write(&newest, bytes).expect("written");
    assert_eq!(tables.lines(), None);
    let snapshot = Snapshot::read(&tables.repository).expect("git reads it");
    let names: Vec<String> = snapshot.entries().map(|entry| entry.name().to_string()).collect();
    assert_eq!(names, ["refs/heads/alias", "refs/heads/topic", "refs/tags/v1"]);
}

#[test]
fn tables_that_are_put_together_meanwhile_are_read_as_they_were_at_one_moment() {
    let tables = Tables::make("sha1");
    let both = |id: &str| format!("update refs/heads/one {id}\nupdate refs/tags/two {id}\n");
    tables.update(&both(&tables.ids[0]));
    let is_over = AtomicBool::new(false);
    let (mut reads, mut seen) = (0, BTreeMap::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..150 {
                tables.update(&both(&tables.ids[round % 3]));
                if round % 3 == 0 {
                    assert!(tables.write(&["pack-refs", "--all"], "").status.success());
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            let lines = tables.lines().expect("git is not needed");
            let value = |name: &str| lines.lines().find_map(|line| line.strip_suffix(name)).map(str::to_owned);
            let (one, two) = (value(" refs/heads/one"), value(" refs/tags/two"));
            assert_eq!(one, two);
            assert_eq!(lines.lines().count(), 6, "{lines}");
            *seen.entry(one).or_insert(0) += 1;
            reads += 1;
        }
    });
    assert!(reads > 100 && seen.len() == 3, "{reads} reads, {seen:?}");
}
