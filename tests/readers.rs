//! Who reads while a push commits: git's readers, gix's and libgit2's see all of it or nothing, and see it as soon as it is done.

pub mod support;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use support::{
    balanced::Balanced,
    beside::{few_or_all, with_beside},
    gits, ours,
    packs::PackBuilder,
    push::pkt_line,
};

/// A repository in balanced mode whose ten refs, half of them loose and half packed, all have one of two values.
struct Flips {
    balanced: Balanced,
    values: [String; 2],
}

impl Flips {
    fn new() -> Self {
        let balanced = Balanced::with_hook("exit 0");
        balanced.scene.git("client.git", &["push", "-q", "../server.git", "next:refs/other/next"]);
        let values = ["main", "next"].map(|name| balanced.theirs(name));
        let set = |number| balanced.scene.git("server.git", &["update-ref", &Self::name(number), &values[0]]);
        (0..5).for_each(|number| drop(set(number)));
        balanced.scene.git("server.git", &["pack-refs", "--all"]);
        (5..10).for_each(|number| drop(set(number)));
        Flips { balanced, values }
    }

    fn name(number: usize) -> String {
        format!("refs/flip/r{number}")
    }

    /// The request that takes all refs to the other value, the `round`th time.
    fn request(&self, round: usize) -> Vec<u8> {
        let (old, new) = (&self.values[round % 2], &self.values[(round + 1) % 2]);
        let mut bytes = Vec::new();
        for number in 0..10 {
            let capabilities = if number == 0 { "\0report-status atomic" } else { "" };
            bytes.extend(pkt_line(format!("{old} {new} {}{capabilities}", Self::name(number)).as_bytes()));
        }
        bytes.extend(b"0000");
        bytes.extend(PackBuilder::new().finish());
        bytes
    }

    /// Have `program` take all refs to the other value.
    fn flip(&self, program: &Path, round: usize) {
        let mut command = self.balanced.scene.command(".", program);
        command.args(["--stateless-rpc", "server.git"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&self.request(round)).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.matches("ok refs/flip/").count(), 10, "{said}");
    }

    /// The ten values as git prints them, each in front of its ref's name.
    fn read_by_git(&self, arguments: &[&str]) -> Vec<String> {
        let printed = self.balanced.scene.git("server.git", arguments);
        let lines = printed.lines().filter(|line| line.contains("refs/flip/"));
        lines.map(|line| line.split([' ', '\t']).next().unwrap().to_owned()).collect()
    }

    /// The ten values as gix reads them; `None` where it fails, as it does when a loose file goes between its look at the
    /// directory and at the file: `git pack-refs` does that to it too.
    fn read_by_gix(&self, repository: &gix::Repository) -> Option<Vec<String>> {
        let platform = repository.references().unwrap();
        let all = platform.prefixed("refs/flip/").unwrap();
        all.map(|reference| Some(reference.ok()?.id().to_string())).collect()
    }
}

/// Counts looks at all refs, and those that saw some refs before a push and some after it.
#[derive(Default)]
struct Looks {
    all: AtomicUsize,
    mixed: AtomicUsize,
}

impl Looks {
    fn count(&self, values: &[String]) {
        assert_eq!(values.len(), 10);
        self.all.fetch_add(1, Ordering::Relaxed);
        let mixed = values.iter().collect::<BTreeSet<_>>().len() > 1;
        self.mixed.fetch_add(usize::from(mixed), Ordering::Relaxed);
    }

    fn seen(&self) -> (usize, usize) {
        (self.mixed.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed))
    }
}

#[test]
fn readers_see_all_or_nothing_of_a_push() {
    let flips = Flips::new();
    let (pushes, reads) = few_or_all((30, 300), (1_000, 10_000));
    for (program, is_ours) in [(ours(), true), (&*gits(), false)] {
        // git knows nothing of votes; of its own atomic push it is just the same.
        let readers: Vec<(&str, Looks)> =
            ["for-each-ref", "show-ref", "ls-remote", "gix"].map(|name| (name, Looks::default())).into();
        let git = |number: usize, arguments: &[&str]| readers[number].1.count(&flips.read_by_git(arguments));
        let for_each_ref = || git(0, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/flip/"]);
        let show_ref = || git(1, &["show-ref"]);
        let ls_remote = || git(2, &["ls-remote", ".", "refs/flip/*"]);
        let gix = || {
            let repository = gix::open(flips.balanced.scene.git_dir()).unwrap();
            flips.read_by_gix(&repository).inspect(|values| readers[3].1.count(values));
        };
        let total = || readers.iter().map(|(_, looks)| looks.seen().1).sum::<usize>();
        with_beside(&[&for_each_ref, &show_ref, &ls_remote, &gix], || {
            let mut round = 0;
            // Whatever the machine is busy with, there are readers and writers side by side. Ends with the first value.
            while round < pushes || total() < reads || round % 2 == 1 {
                flips.flip(program, round);
                round += 1;
            }
        });
        for (name, looks) in &readers {
            let (mixed, all) = looks.seen();
            eprintln!("{}: {name}: {mixed} mixtures in {all} reads", if is_ours { "ours" } else { "git" });
        }
        let mixed: usize = readers.iter().map(|(_, looks)| looks.seen().0).sum();
        // A reader that is not given the processor between loose refs and packed ones may still meet one.
        assert!(!is_ours || mixed * 100 <= total(), "{mixed} of {}", total());
    }
    flips.balanced.check_clean();
}

/// A program that answers each name of a ref with its value, in one line, and lives on.
struct Asked {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Asked {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Asked { child, stdin, stdout: BufReader::new(stdout) }
    }

    fn value(&mut self, name: &str) -> String {
        writeln!(self.stdin, "{name}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    }

    fn end(mut self) {
        drop(self.stdin);
        self.child.wait().unwrap();
    }
}

/// Asks libgit2.
const LIBGIT2: &str = "
import sys, pygit2
repository = pygit2.Repository('server.git')
for line in sys.stdin:
    print(repository.references[line.strip()].target, flush=True)
";

#[test]
fn readers_that_live_on_see_a_push_as_soon_as_it_is_done() {
    let flips = Flips::new();
    let mut batch_check = flips.balanced.scene.command("server.git", "git");
    let mut git = Asked::start(batch_check.args(["cat-file", "--batch-check"]));
    let gix = gix::open(flips.balanced.scene.git_dir()).unwrap();
    let python = Path::new("/usr/bin/python3");
    let mut import = Command::new(python);
    import.args(["-c", "import pygit2"]).stderr(Stdio::null());
    let mut libgit2 = None;
    if import.status().is_ok_and(|status| status.success()) {
        libgit2 = Some(Asked::start(flips.balanced.scene.command(".", python).args(["-c", LIBGIT2])));
    } else {
        support::skipped("libgit2 is not asked, without pygit2 (Debian: apt-get install python3-pygit2)");
    }
    for round in 0..few_or_all(20, 500) {
        flips.flip(ours(), round);
        let value = &flips.values[(round + 1) % 2];
        for number in [0, 4, 5, 9] {
            let name = Flips::name(number);
            assert_eq!(git.value(&name), *value, "git, {name}, round {round}");
            assert_eq!(gix.find_reference(&name).unwrap().id().to_string(), *value, "gix, {name}, round {round}");
            if let Some(libgit2) = &mut libgit2 {
                assert_eq!(libgit2.value(&name), *value, "libgit2, {name}, round {round}");
            }
        }
        assert_eq!(flips.read_by_gix(&gix).unwrap(), vec![value.clone(); 10], "gix, round {round}");
    }
    git.end();
    libgit2.into_iter().for_each(Asked::end);
}
