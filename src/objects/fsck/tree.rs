//! Trees: entries that can be told apart, in order, under names that no file system takes for something else.

use std::ops::ControlFlow;

use gix::objs::Kind;

use super::{
    dot_names::{self, DotName, GITATTRIBUTES, GITIGNORE, GITMODULES, MAILMAP},
    message::Message,
    report::{DotFile, Report, Torn, verdict},
};
use crate::objects::tree_entries::{Entry, Malformed, entries};

/// The longest name that is not remarkable, in bytes.
const LONGEST: usize = 4096;

/// Check the content of a tree. `Break` if it is not acceptable.
///
/// What it names goes into the links of `report`, up to where it is torn.
pub fn check(data: &[u8], hash: gix::hash::Kind, report: &mut Report<'_>) -> ControlFlow<()> {
    let mut refused = false;
    let mut faults = Faults::default();
    let mut order = Order::default();
    let mut entries = entries(data, hash).peekable();
    let mut at_start = true;
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Malformed(why)) => {
                report.remark(why);
                report.torn = Some(Torn { why, at_start });
                refused |= report.found(Message::BadTree, "cannot be parsed as a tree").is_break();
                break;
            }
        };
        refused |= dot_files(&entry, report).is_break();
        faults.look(&entry);
        at_start = false;
        // git does not get any further with the last entry before the malformed one.
        if entries.peek().is_some_and(Result::is_err) {
            continue;
        }
        if let Some(kind) = entry.kind() {
            report.link(kind, entry.id);
        }
        faults.bad_mode |= !matches!(entry.mode, 0o100_644 | 0o100_755 | 0o120_000 | 0o040_000 | 0o160_000);
        match order.step(entry.kind() == Some(Kind::Tree), entry.name) {
            Step::Sorted => {}
            Step::Unsorted => faults.unsorted = true,
            Step::Duplicate => faults.duplicate = true,
        }
    }
    for (is_there, message, text) in faults.list() {
        refused |= is_there && report.found(message, text).is_break();
    }
    verdict(refused)
}

/// git's own files: who checks their content, and what is said where one is a symlink.
const OWN: [(DotName, Option<DotFile>, Message, &str); 4] = [
    (GITMODULES, Some(DotFile::Modules), Message::GitmodulesSymlink, ".gitmodules is a symbolic link"),
    (GITATTRIBUTES, Some(DotFile::Attributes), Message::GitattributesSymlink, ".gitattributes is a symlink"),
    (GITIGNORE, None, Message::GitignoreSymlink, ".gitignore is a symlink"),
    (MAILMAP, None, Message::MailmapSymlink, ".mailmap is a symlink"),
];

/// Note the files whose content matters, and refuse those of git's own that are symlinks.
fn dot_files(entry: &Entry<'_>, report: &mut Report<'_>) -> ControlFlow<()> {
    let name = entry.name;
    if !dot_names::is_suspect(name) {
        return ControlFlow::Continue(());
    }
    let mut refused = false;
    let by_name = OWN.iter().filter(|(own, ..)| own.is(name));
    // Windows takes what follows a backslash for a name of its own; git minds for this file only.
    let inside = memchr::memchr_iter(b'\\', name).filter(|at| GITMODULES.is_on_ntfs(&name[at + 1..])).map(|_| &OWN[0]);
    for (_, content, message, text) in by_name.chain(inside) {
        match (entry.is_symlink(), content) {
            (true, _) => refused |= report.found(*message, text).is_break(),
            (false, Some(file)) => report.dot_file(*file, entry.id),
            (false, None) => {}
        }
    }
    verdict(refused)
}

/// What is said once about a tree, however many of its entries are to blame.
#[derive(Default)]
struct Faults {
    null_id: bool,
    slash: bool,
    dot: bool,
    dotdot: bool,
    dot_git: bool,
    padded: bool,
    bad_mode: bool,
    duplicate: bool,
    unsorted: bool,
    large: bool,
}

impl Faults {
    /// Take down what is wrong with one entry for itself, but for its mode.
    fn look(&mut self, entry: &Entry<'_>) {
        let name = entry.name;
        self.null_id |= entry.id.is_null();
        self.slash |= name.contains(&b'/');
        self.dot |= name == b".";
        self.dotdot |= name == b"..";
        self.padded |= entry.is_padded;
        self.large |= name.len() > LONGEST;
        self.dot_git |= dot_names::is_suspect(name)
            && (dot_names::is_dot_git(name)
                || memchr::memchr_iter(b'\\', name).any(|at| dot_names::is_dot_git_on_ntfs(&name[at + 1..])));
    }

    /// Each with its message, in git's order. No entry has an empty name (`emptyName`) without being malformed.
    fn list(&self) -> [(bool, Message, &'static str); 10] {
        [
            (self.null_id, Message::NullSha1, "contains entries pointing to null sha1"),
            (self.slash, Message::FullPathname, "contains full pathnames"),
            (self.dot, Message::HasDot, "contains '.'"),
            (self.dotdot, Message::HasDotdot, "contains '..'"),
            (self.dot_git, Message::HasDotgit, "contains '.git'"),
            (self.padded, Message::ZeroPaddedFilemode, "contains zero-padded file modes"),
            (self.bad_mode, Message::BadFilemode, "contains bad file modes"),
            (self.duplicate, Message::DuplicateEntries, "contains duplicate file entries"),
            (self.unsorted, Message::TreeNotSorted, "not properly sorted"),
            (self.large, Message::LargePathname, "contains excessively large pathname"),
        ]
    }
}

/// How an entry goes with those before it.
enum Step {
    Sorted,
    Unsorted,
    Duplicate,
}

/// Compares each entry with the one before.
///
/// A file and a directory of one name need not be neighbours: `a`, `a.b`, `a` (a directory, thus `a/`) is in order. So files
/// are kept as long as a directory of the same name can still follow.
#[derive(Default)]
struct Order<'a> {
    last: Option<(bool, &'a [u8])>,
    files: Vec<&'a [u8]>,
}

impl<'a> Order<'a> {
    fn step(&mut self, is_directory: bool, name: &'a [u8]) -> Step {
        let Some((was_directory, last)) = self.last.replace((is_directory, name)) else { return Step::Sorted };
        let both = last.len().min(name.len());
        match last[..both].cmp(&name[..both]) {
            std::cmp::Ordering::Less => return Step::Sorted,
            std::cmp::Ordering::Greater => return Step::Unsorted,
            std::cmp::Ordering::Equal if last.len() == name.len() => return Step::Duplicate,
            std::cmp::Ordering::Equal => {}
        }
        // The name of a directory ends in a slash.
        let end = |is_directory| if is_directory { b'/' } else { 0 };
        let before = last.get(both).copied().unwrap_or(end(was_directory));
        let now = name.get(both).copied().unwrap_or(end(is_directory));
        if before == 0 && sorts_before_slash(now) {
            self.files.push(last);
        } else if now == b'/' && sorts_before_slash(before) && self.is_file(name) {
            return Step::Duplicate;
        }
        if before < now { Step::Sorted } else { Step::Unsorted }
    }

    /// True if there was a file of this name. Those that no later directory can have the name of are forgotten.
    fn is_file(&mut self, directory: &[u8]) -> bool {
        while let Some(file) = self.files.pop() {
            match directory.strip_prefix(file) {
                Some([]) => return true,
                Some([next, ..]) if sorts_before_slash(*next) => {
                    self.files.push(file);
                    return false;
                }
                _ => {}
            }
        }
        false
    }
}

/// True for a byte, behind the name of a file, that makes it sort before the directory of that name.
fn sorts_before_slash(byte: u8) -> bool {
    (1..b'/').contains(&byte)
}
