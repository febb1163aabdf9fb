//! Reading commits for a walk through history: their parents, and how old they are. And what tags name.
//!
//! Commits are parsed as leniently as git's own walk does it; whether they are well formed is a question for fsck.

use std::cell::RefCell;

use bstr::ByteSlice;
use gix::{
    ObjectId,
    commitgraph::{Graph, Position},
    objs::{Kind, TagRefIter},
};
use memchr::memrchr_iter;
use smallvec::SmallVec;

use super::{database::Database, shallow::Shallow};
use crate::repository::Repository;

/// What a walk needs to know of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The root tree.
    pub tree: ObjectId,
    /// The parents in order; none where history is cut off.
    pub parents: SmallVec<[Parent; 1]>,
    /// The place in time.
    pub age: Age,
}

/// A parent, as its child names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The commit.
    pub id: ObjectId,
    /// Where the commit-graph has it, if that is where its name comes from: it need not be looked for there.
    recorded_at: Option<Position>,
}

/// Where a commit stands in time; the later it was made, the greater. A commit can only reach those that are less, if
/// clocks were right: a guide where to look first, never a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    generation: u32,
    seconds: u64,
}

/// Not in the commit-graph, and therefore nothing that a commit in it can reach.
const UNNUMBERED: u32 = u32::MAX;

impl Age {
    /// True if a commit of this age cannot reach one of age `other`: a proof, since it is by generation numbers only.
    pub fn cannot_reach(self, other: Age) -> bool {
        // 0 stands for a number that was never computed.
        self.generation != 0 && other.generation != 0 && self.generation < other.generation
    }
}

/// The history of a repository.
pub struct History<'a> {
    database: &'a Database,
    graph: Option<Graph>,
    shallow: &'a Shallow,
    hash: gix::hash::Kind,
    /// The commit that was read last: a walk reads very many, one at a time.
    content: RefCell<Vec<u8>>,
}

impl<'a> History<'a> {
    /// The history in `database`, cut off at `shallow`. A commit-graph is used where there is one and history is whole.
    pub fn new(repository: &Repository, database: &'a Database, shallow: &'a Shallow) -> Self {
        // One that cannot be read is as good as none, to git as well.
        let graph = shallow
            .is_empty()
            .then(|| Graph::from_info_dir(&repository.objects_dir.join("info"), repository.hash).ok())
            .flatten();
        History { database, graph, shallow, hash: repository.hash, content: RefCell::default() }
    }

    /// The commit as it stands in the database; `None` if it is missing, unreadable, or no commit.
    pub fn read(&self, id: &gix::oid) -> Option<Commit> {
        let mut content = self.content.borrow_mut();
        match self.database.find(id, &mut content) {
            Ok(Some(Kind::Commit)) => self.parse(id, &content),
            _ => None,
        }
    }

    /// The same, from the commit-graph where that has it, which does not show that the commit itself is there.
    pub fn recall(&self, id: &gix::oid) -> Option<Commit> {
        self.recorded(id).or_else(|| self.read(id))
    }

    /// [Recall](Self::recall) what a commit names as its parent.
    pub fn recall_parent(&self, parent: &Parent) -> Option<Commit> {
        match parent.recorded_at {
            Some(at) => self.recorded_at(at).or_else(|| self.read(&parent.id)),
            None => self.recall(&parent.id),
        }
    }

    /// The commit as the commit-graph has it.
    pub fn recorded(&self, id: &gix::oid) -> Option<Commit> {
        self.recorded_at(self.graph.as_ref()?.lookup(id)?)
    }

    fn recorded_at(&self, at: Position) -> Option<Commit> {
        let graph = self.graph.as_ref()?;
        let commit = graph.commit_at(at);
        let age = Age { generation: commit.generation(), seconds: commit.committer_timestamp() };
        let tree = commit.root_tree_id().to_owned();
        let parent = |at| Parent { id: graph.id_at(at).to_owned(), recorded_at: Some(at) };
        let parents = commit.iter_parents().map(|at| at.map(parent)).collect::<Result<_, _>>();
        Some(Commit { tree, parents: parents.ok()?, age })
    }

    /// Parse the content of commit `id`; `None` if it has no tree or a parent that is no id.
    pub fn parse(&self, id: &gix::oid, content: &[u8]) -> Option<Commit> {
        let (tree, parents, rest) = names(content, self.hash)?;
        let is_root = self.shallow.is_root(id);
        let parents = parents.into_iter().filter(|_| !is_root).map(|id| Parent { id, recorded_at: None }).collect();
        let generation = self
            .graph
            .as_ref()
            .and_then(|graph| graph.commit_by_id(id))
            .map_or(UNNUMBERED, |commit| commit.generation());
        Some(Commit { tree, parents, age: Age { generation, seconds: committed_at(rest) } })
    }
}

/// Ids of parents: most commits have one.
type Parents = SmallVec<[ObjectId; 1]>;

/// The tree that a commit of this content names, its parents in order, and what follows them; `None` if it has no tree or a
/// parent that is no id.
pub fn names(content: &[u8], hash: gix::hash::Kind) -> Option<(ObjectId, Parents, &[u8])> {
    let hex_len = hash.len_in_hex();
    // One that ends behind its tree is none to git either.
    if content.len() <= b"tree \n".len() + hex_len {
        return None;
    }
    let mut rest = content;
    let tree = header(&mut rest, b"tree ", hex_len)??;
    let mut parents = Parents::new();
    while let Some(parent) = header(&mut rest, b"parent ", hex_len) {
        parents.push(parent?);
    }
    Some((tree, parents, rest))
}

/// What a tag names, and as what; `None` of one that is not even named itself.
pub fn target(content: &[u8], hash: gix::hash::Kind) -> Option<(ObjectId, Kind)> {
    let mut lines = content.lines_with_terminator().skip(2);
    lines.next().filter(|name| name.starts_with(b"tag ") && name.ends_with(b"\n"))?;
    let mut fields = TagRefIter::from_bytes(content, hash);
    let id = fields.target_id().ok()?;
    match fields.nth(1)?.ok()? {
        gix::objs::tag::ref_iter::Token::TargetKind(kind) => Some((id, kind)),
        _ => None,
    }
}

/// Take the line `<name><hex>LF` off `rest`: `None` if it is another line, `Some(None)` if what follows the name is no id.
fn header(rest: &mut &[u8], name: &[u8], hex_len: usize) -> Option<Option<ObjectId>> {
    let after = rest.strip_prefix(name)?;
    // A commit that ends in the middle of such a line does not have it: so git sees it.
    if after.len() <= hex_len {
        return None;
    }
    let (hex, after) = after.split_at(hex_len);
    let id = after.starts_with(b"\n").then(|| ObjectId::from_hex(hex).ok()).flatten();
    *rest = after.get(1..).unwrap_or_default();
    Some(id)
}

/// The seconds of the committer line that follows the author's; 0 where there is none.
fn committed_at(rest: &[u8]) -> u64 {
    let mut lines = rest.lines();
    let author = lines.next().filter(|line| line.starts_with(b"author "));
    let committer = author.and_then(|_| lines.next()).filter(|line| line.starts_with(b"committer "));
    let Some(committer) = committer else { return 0 };
    let after = memrchr_iter(b'>', committer).map(|at| &committer[at + 1..]);
    let Some(time) = after.filter_map(|after| after.strip_prefix(b" ")).next() else { return 0 };
    let digits = time.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u64, |seconds, digit| seconds.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}
