//! What is missing, in the words of git's own walk (`git rev-list --objects`), which tools look for.

use std::fmt;

use gix::{ObjectId, objs::Kind};

/// Something that a new value needs and that is not there, or is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hole {
    /// A new value, or what a tag names, is missing or of another kind than the tag says.
    Object(ObjectId),
    /// A parent of commit `child` is missing or no commit.
    Parent {
        /// The missing commit.
        parent: ObjectId,
        /// The commit that names it.
        child: ObjectId,
        /// True if `parent` is there, but is no commit.
        is_other: bool,
        /// True if the repository has history of its own, which makes git say it differently.
        beside_history: bool,
    },
    /// A tree is missing.
    Tree(ObjectId),
    /// What is named as a tree is none.
    NoTree(ObjectId),
    /// The content of a tree is malformed.
    MalformedTree(ObjectId),
    /// Trees are in each other deeper than `core.maxTreeDepth`: no git here would walk through them again.
    TooDeep,
    /// A blob is missing.
    Blob(ObjectId),
    /// Two objects name `id` as different kinds of object.
    Ambiguous {
        /// The object.
        id: ObjectId,
        /// What it was taken for first.
        first: Kind,
        /// What it was then taken for.
        then: Kind,
    },
}

impl fmt::Display for Hole {
    /// Whole lines, each with its LF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hole::Object(id) => writeln!(f, "fatal: bad object {id}"),
            Hole::Parent { parent, child, is_other, beside_history } => {
                match is_other {
                    true => writeln!(f, "error: Object {parent} not a commit")?,
                    false => writeln!(f, "error: Could not read {parent}")?,
                }
                match beside_history {
                    true => writeln!(f, "fatal: revision walk setup failed"),
                    false => writeln!(f, "fatal: Failed to traverse parents of commit {child}"),
                }
            }
            Hole::Tree(id) => writeln!(f, "fatal: bad tree object {id}"),
            Hole::NoTree(id) => writeln!(f, "error: Object {id} not a tree\nfatal: bad tree object {id}"),
            Hole::MalformedTree(id) => writeln!(f, "fatal: malformed tree object {id}"),
            Hole::TooDeep => writeln!(f, "fatal: exceeded maximum allowed tree depth"),
            Hole::Blob(id) => writeln!(f, "fatal: missing blob object '{id}'"),
            Hole::Ambiguous { id, first, then } => {
                writeln!(f, "error: object {id} is a {first}, not a {then}\nfatal: bad object {id}")
            }
        }
    }
}
