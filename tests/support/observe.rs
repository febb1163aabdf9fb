//! Everything that can be seen of a push from outside: what the program said, how it ended, and what it left.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::Output,
};

use super::{push::Push, scene::Scene};

/// What became of a push. Each field is lines of text, so that a difference can be read.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// `exit 0`, `signal 9`
    pub end: String,
    /// The pkt-lines up to the first flush; the agent, its version and a session's id are replaced.
    pub advertisement: Vec<String>,
    /// The pkt-lines of the report, flush included (`flush`); band 1 if the client took it.
    pub report: Vec<String>,
    /// Band 2, less progress that was overwritten.
    pub told: String,
    /// How many keepalive packets came.
    pub keepalives: usize,
    /// What the server's stderr got.
    pub stderr: String,
    /// Refs with their values, symbolic ones with their targets, and files below refs/ that are none.
    pub refs: Vec<String>,
    /// Each line of each reflog; of a reftable's, what git shows of it.
    pub logs: Vec<String>,
    /// Id, type and size of all objects.
    pub objects: Vec<String>,
    /// Modes and names of the files in the repository; refs and reflogs left out, for how they are stored is free.
    pub files: Vec<String>,
    /// What recording hooks saw.
    pub seen: String,
}

impl Outcome {
    /// Look at what the program said to a request, and at the server's repository.
    pub fn of(push: &Push, request: &[u8], output: &Output) -> Outcome {
        let mut outcome = Outcome::found_in(&push.scene);
        outcome.end = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        outcome.stderr = normalised(&text(&output.stderr));
        let multiplexed = request.windows(13).any(|window| window == b"side-band-64k");
        outcome.listen(
            &output.stdout,
            multiplexed,
            push.arguments.iter().any(|argument| argument == "--stateless-rpc"),
        );
        outcome
    }

    /// Look at the server's repository alone.
    pub fn found_in(scene: &Scene) -> Outcome {
        let lines = |text: String| text.lines().map(str::to_owned).collect();
        let git_dir = scene.git_dir();
        let git = |arguments: &[&str]| {
            let output = scene.try_git("server.git", arguments);
            text(&output.stdout)
        };
        let mut refs: Vec<String> = lines(git(&["for-each-ref", "--format=%(refname) %(objectname) %(symref)"]));
        refs.push(format!("HEAD {}", git(&["symbolic-ref", "-q", "HEAD"]).trim_end()));
        let (mut logs, mut files) = (Vec::new(), Vec::new());
        if git_dir.join("reftable").is_dir() {
            for name in git(&["reflog", "list"]).lines() {
                let lines = git(&["log", "-g", "--date=raw", "--format=%H %gn <%ge> %gd %gs", name, "--"]);
                logs.extend(lines.lines().map(|line| format!("{name}: {line}")));
            }
        }
        for (name, mode, content) in all_files(&git_dir) {
            let text = shown(&content);
            if name.starts_with("refs/") && !name.ends_with(".lock") {
                if !text.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    refs.push(format!("{name} holds {text}"));
                }
            } else if name.starts_with("logs/") {
                logs.extend(text.lines().map(|line| format!("{name}: {line}")));
            } else if name != "packed-refs" && (!name.starts_with("reftable/") || name.ends_with(".lock")) {
                // The name of a completed thin pack depends on how its bases are compressed.
                let name = if name.starts_with("objects/pack/") { pack_kind(&name) } else { name };
                let text = match name.as_str() {
                    "HEAD" | "shallow" | "info/refs" => text,
                    _ => String::new(),
                };
                files.push(normalised(format!("{mode:o} {name} {text}").trim_end()));
            }
        }
        files.sort();
        Outcome {
            refs,
            logs,
            files,
            objects: lines(git(&["cat-file", "--batch-all-objects", "--batch-check"])),
            seen: normalised(&shown(&fs::read(scene.path("seen")).unwrap_or_default())),
            ..Outcome::default()
        }
    }

    fn listen(&mut self, stdout: &[u8], multiplexed: bool, stateless: bool) {
        let mut rest = stdout;
        if !stateless {
            while let Some(line) = next_line(&mut rest) {
                match line {
                    Some(line) => self.advertisement.push(without_agent(&text(line))),
                    None => break,
                }
            }
        }
        if !multiplexed {
            self.report = pkt_lines(rest);
            return;
        }
        let (mut report, mut told, mut ended) = (Vec::new(), Vec::new(), false);
        while let Some(line) = next_line(&mut rest) {
            assert!(!ended, "nothing comes after the last flush");
            match line {
                Some([1]) => self.keepalives += 1,
                Some([1, bytes @ ..]) => report.extend_from_slice(bytes),
                Some([2, bytes @ ..]) => told.extend_from_slice(bytes),
                Some(other) => self.report.push(format!("a packet on no band: {}", other.escape_ascii())),
                None => ended = true,
            }
        }
        self.report.extend(pkt_lines(&report));
        if ended {
            self.report.push("end".into());
        }
        self.told = normalised(&text(&told));
    }

    /// The lines in which two outcomes differ, as one text; empty if none.
    pub fn differences(&self, other: &Outcome, own_words: bool) -> String {
        let words = |text: &String| if own_words { vec![(!text.is_empty()).to_string()] } else { vec![text.clone()] };
        let fields = |it: &Outcome| {
            BTreeMap::from([
                ("1 end", vec![it.end.clone()]),
                ("2 advertisement", it.advertisement.clone()),
                ("3 report", it.report.clone()),
                ("4 band 2", words(&it.told)),
                ("5 stderr", words(&it.stderr)),
                ("6 refs", it.refs.clone()),
                ("7 reflogs", it.logs.clone()),
                ("8 objects", it.objects.clone()),
                ("9 files", it.files.clone()),
                ("what hooks saw", it.seen.lines().map(str::to_owned).collect()),
            ])
        };
        let (mine, theirs) = (fields(self), fields(other));
        let mut text = String::new();
        for (field, mine) in mine {
            let theirs = &theirs[field];
            if mine != *theirs {
                let only = |these: &[String], those: &[String], who: &str| -> String {
                    let lines = these.iter().filter(|line| !those.contains(line));
                    lines.map(|line| format!("    only {who}: {line:?}\n")).collect()
                };
                text += &format!("  {field}\n{}{}", only(theirs, &mine, "git"), only(&mine, theirs, "ours"));
            }
        }
        text
    }
}

/// The next pkt-line, `Some(None)` for a flush; `None` at the end. What is no pkt-line is one line of its own.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let head = rest.get(..4)?;
    let length = std::str::from_utf8(head).ok().and_then(|head| usize::from_str_radix(head, 16).ok());
    let (line, after) = match length {
        Some(0) => (None, &rest[4..]),
        Some(length) if length >= 4 && length <= rest.len() => (Some(&rest[4..length]), &rest[length..]),
        _ => (Some(*rest), &rest[rest.len()..]),
    };
    *rest = after;
    Some(line)
}

/// Lines as text; what is no text in a form that tells it from any other.
fn shown(bytes: &[u8]) -> String {
    let shown = |line| std::str::from_utf8(line).map_or_else(|_| line.escape_ascii().to_string() + "\n", str::to_owned);
    bytes.split_inclusive(|byte| *byte == b'\n').map(shown).collect()
}

fn pkt_lines(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut bytes) {
        lines.push(line.map_or("flush".into(), |line| text(line).trim_end_matches('\n').to_owned()));
    }
    lines.extend((!bytes.is_empty()).then(|| format!("and {}", bytes.escape_ascii())));
    lines
}

fn without_agent(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once('=') {
        Some((name @ ("agent" | "session-id"), _)) => format!("{name}=…"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ").trim_end_matches('\n').to_owned()
}

/// `bytes`, in which those that are no text are written out: two that differ in them must not look alike.
fn text(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    chunks.map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii())).collect()
}

/// The text without what is by chance: the quarantine's name, process ids, and progress that a later line overwrote.
fn normalised(text: &str) -> String {
    let mut lines = String::new();
    for line in text.split_inclusive('\n') {
        let line = line.rsplit('\r').next().unwrap_or(line);
        let mut parts = line.split("tmp_objdir-incoming-");
        lines += parts.next().unwrap_or_default();
        for part in parts {
            lines += "tmp_objdir-incoming-…";
            lines += part.get(6..).unwrap_or_default();
        }
    }
    lines
}

fn pack_kind(name: &str) -> String {
    let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy().into_owned();
    format!("objects/pack/….{extension}")
}

/// Name, mode and content of each file below a directory; and of directories in quarantine, which should not be there.
fn all_files(root: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            let meta = fs::symlink_metadata(&path).expect("an entry");
            let mode = meta.permissions().mode() & 0o7777;
            if meta.is_dir() {
                if name.contains("objdir") {
                    found.push((name, mode, Vec::new()));
                }
                open.push(path);
            } else {
                found.push((name, mode, fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}
