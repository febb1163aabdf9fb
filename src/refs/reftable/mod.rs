//! Reftables, read where they lie: to ask git takes a process for each question. Only git writes them.
//!
//! The format is that of git's `technical/reftable`, in both versions: a stack of tables, each a sorted list of refs, of which a
//! later one hides what earlier ones say. Worktrees other than the main one have a stack of their own for what is theirs alone.
//!
//! Only what git itself writes is understood: checksums, order and lengths must be right, names well formed, and ids not null. Of
//! anything else nothing is said here, and git is asked, so that its verdict on what is damaged or new is the verdict.

mod block;
mod blocks;
mod stack;
mod table;

use std::io;

use bstr::{BStr, BString};
use gix::ObjectId;

use self::{block::Value, stack::Stack, table::Ref};
use super::{
    name::{is_per_worktree, is_well_formed_one_level},
    symbolic::{MAX_READS, Symbolic},
};
use crate::repository::Repository;

/// More bytes than this are not listed: names are short in the tables and long in the list.
const MAX_LISTED: usize = 1 << 30;

/// What is there is not as git writes it, or cannot be read.
#[derive(Debug)]
struct Strange;

impl From<io::Error> for Strange {
    fn from(_: io::Error) -> Self {
        Strange
    }
}

/// The refs of a repository as they stood at one moment; those of a worktree's own perhaps at another.
pub struct Reftables {
    common: Stack,
    /// What a worktree has of its own; `None` in the main one, which has it with the rest.
    own: Option<Stack>,
}

impl Reftables {
    /// Those of `repository`; `None` if git has to be asked.
    pub fn open(repository: &Repository) -> Option<Self> {
        let Repository { git_dir, common_dir, hash, .. } = repository;
        let stack = |dir: &std::path::Path| Stack::open(&dir.join("reftable"), *hash).ok();
        let common = stack(common_dir)?;
        let own = if git_dir == common_dir { None } else { Some(stack(git_dir)?) };
        Some(Reftables { common, own })
    }

    /// All refs below `refs/` in byte order of the name, a line of `<hex> SP <name> LF` each: symbolic ones as what they lead to,
    /// those that lead nowhere left out. `None` if git has to be asked.
    pub fn lines(mut self) -> Option<Vec<u8>> {
        self.list().ok()
    }

    /// The ref of this full `name` as a symbolic one; `None` if git has to be asked.
    pub fn follow(&self, name: &BStr) -> Option<Symbolic> {
        let target = match self.find(name).ok()? {
            Some(Ref::Symbolic(target)) => target,
            _ => return Some(Symbolic::No),
        };
        Some(self.end_of(target).ok()?.map_or(Symbolic::Broken, |(name, _)| Symbolic::LeadsTo(name)))
    }

    fn list(&mut self) -> Result<Vec<u8>, Strange> {
        self.common.load()?;
        let mut own = Vec::new();
        if let Some(stack) = &self.own {
            stack.for_each(|name, value| match (name.starts_with(b"refs/"), is_per_worktree(name)) {
                (true, true) => {
                    let mut line = Vec::new();
                    self.list_one(name, value, &mut line)?;
                    own.push((name.to_owned(), line));
                    Ok(())
                }
                (true, false) => Err(Strange),
                (false, _) => Ok(()),
            })?;
        }
        let mut own = own.into_iter().peekable();
        let mut lines = Vec::new();
        self.common.for_each(|name, value| {
            if !name.starts_with(b"refs/") || (self.own.is_some() && is_per_worktree(name)) {
                return Ok(());
            }
            while let Some((_, line)) = own.next_if(|(other, _)| other < name) {
                lines.extend(line);
            }
            self.list_one(name, value, &mut lines)
        })?;
        own.for_each(|(_, line)| lines.extend(line));
        Ok(lines)
    }

    /// Write the line of a ref, if it leads somewhere.
    fn list_one(&self, name: &BStr, value: &Value<'_>, lines: &mut Vec<u8>) -> Result<(), Strange> {
        let id = match Ref::of(value)? {
            Ref::Id(id) => Some(id),
            Ref::Symbolic(target) => self.end_of(target)?.and_then(|(_, id)| id),
            Ref::Deleted => None,
        };
        if !is_well_formed_one_level(name) || lines.len() > MAX_LISTED {
            return Err(Strange);
        }
        if let Some(id) = id {
            let mut hex = [0; gix::hash::Kind::longest().len_in_hex()];
            lines.extend_from_slice(id.hex_to_buf(&mut hex).as_bytes());
            lines.push(b' ');
            lines.extend_from_slice(name);
            lines.push(b'\n');
        }
        Ok(())
    }

    /// The last ref on the way on from a symbolic one to its `target`, and its value if it is there; `None` if there are too many.
    fn end_of(&self, mut target: BString) -> Result<Option<(BString, Option<ObjectId>)>, Strange> {
        for _ in 1..MAX_READS {
            match self.find(target.as_ref())? {
                Some(Ref::Symbolic(next)) => target = next,
                Some(Ref::Id(id)) => return Ok(Some((target, Some(id)))),
                Some(Ref::Deleted) | None => return Ok(Some((target, None))),
            }
        }
        Ok(None)
    }

    fn find(&self, name: &BStr) -> Result<Option<Ref>, Strange> {
        // Other names without `refs/` may be those of other worktrees.
        if !is_well_formed_one_level(name) || !(name.starts_with(b"refs/") || name == "HEAD") {
            return Err(Strange);
        }
        match &self.own {
            Some(own) if is_per_worktree(name) => own.find(name),
            _ => self.common.find(name),
        }
    }
}
