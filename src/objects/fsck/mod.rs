//! Is each object of a push sound, and are those there that it names? `receive.fsckObjects`, of the strict kind (git-config,
//! git-fsck), in the one moment when an object's content is at hand.
//!
//! A pack that stays one is checked as git's index-pack does it ([`stream`]), loose objects as its unpack-objects does
//! ([`walk`]): the two give the same verdict, but tell it in another order.

mod commit;
pub mod dot_files;
mod dot_names;
mod gitattributes;
mod gitmodules;
mod header;
mod identity;
mod mentions;
pub mod message;
pub mod report;
pub mod rules;
pub mod stream;
mod submodule_url;
mod tag;
mod tree;
pub mod walk;

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use gix::{ObjectId, hashtable::HashSet, objs::Kind, oid};

use self::{dot_files::DotFiles, mentions::Mentions, report::Report, rules::Rules};
use crate::wire::sideband::Sideband;

/// What the checks of one push know together, in however many threads they go on.
pub struct Fsck<'a> {
    hash: gix::hash::Kind,
    rules: Rules,
    /// The commits whose parents are not looked for.
    cut_off: HashSet<ObjectId>,
    mentions: Mentions,
    dot_files: DotFiles,
    messages: &'a Sideband,
}

impl<'a> Fsck<'a> {
    /// Check by `rules`, and tell through `messages` what is found. History is cut off at `roots`.
    pub fn new(hash: gix::hash::Kind, rules: Rules, roots: &[ObjectId], messages: &'a Sideband) -> Self {
        let cut_off = roots.iter().copied().collect();
        Fsck { hash, rules, cut_off, mentions: Mentions::new(), dot_files: DotFiles::default(), messages }
    }

    fn tell(&self, lines: &[u8]) {
        if !lines.is_empty() {
            self.messages.tell(lines);
        }
    }

    /// Tell that object `id` is known to be a `known`, and something takes it for a `kind`.
    fn tell_mismatch(&self, id: &oid, known: Kind, kind: Kind) {
        self.messages.error(format!("object {id} is a {known}, not a {kind}"));
    }
}

/// Looks at one object after the other.
struct Examiner<'a> {
    fsck: &'a Fsck<'a>,
    report: Report<'a>,
}

impl<'a> Examiner<'a> {
    fn new(fsck: &'a Fsck<'a>) -> Self {
        Examiner { fsck, report: Report::new(&fsck.rules) }
    }

    /// Look at commit, tree or tag `id`, which arrived just now. `Break` if it is not sound; what was found is in the report.
    /// Fails, having told why, if git could not even read it, or took it for something else before.
    fn examine(&mut self, id: &oid, kind: Kind, data: &[u8]) -> Result<ControlFlow<()>> {
        let (fsck, report) = (self.fsck, &mut self.report);
        report.begin(id);
        if let Err(known) = fsck.mentions.arrived(kind, id) {
            fsck.tell_mismatch(id, known, kind);
            bail!("invalid {kind}");
        }
        let read = match kind {
            Kind::Commit => commit::read(data, fsck.hash, fsck.cut_off.contains(id), report),
            Kind::Tag => tag::read(data, fsck.hash, report),
            Kind::Tree | Kind::Blob => ControlFlow::Continue(()),
        };
        for (target_kind, target) in &report.links {
            if let Err(known) = fsck.mentions.needed(*target_kind, target) {
                fsck.tell_mismatch(target, known, *target_kind);
                fsck.messages.error(match (kind, target_kind) {
                    (Kind::Tag, _) => format!("bad tag pointer to {target} in {id}"),
                    (_, Kind::Tree) => format!("bad tree pointer {target} in commit {id}"),
                    _ => format!("bad parent {target} in commit {id}"),
                });
                bail!("invalid {kind}");
            }
        }
        if read.is_break() {
            fsck.tell(&report.lines);
            bail!("invalid {kind}");
        }
        Ok(match kind {
            Kind::Commit => commit::check(data, fsck.hash, report),
            Kind::Tag => tag::check(data, fsck.hash, report),
            Kind::Tree => tree::check(data, fsck.hash, report),
            Kind::Blob => ControlFlow::Continue(()),
        })
    }
}
