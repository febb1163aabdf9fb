//! Which commits come before which.

use std::collections::HashSet;

use anyhow::{Result, bail};
use gix::{
    ObjectId,
    objs::{CommitRefIter, Kind},
};

use super::database::Database;

/// True if `ancestor` is `descendant` or reached from it through parents.
pub fn is_ancestor(database: &Database, ancestor: &ObjectId, descendant: &ObjectId) -> Result<bool> {
    let mut buffer = Vec::new();
    let mut seen = HashSet::from([*descendant]);
    let mut pending = vec![*descendant];
    while let Some(id) = pending.pop() {
        if id == *ancestor {
            return Ok(true);
        }
        if database.find(&id, &mut buffer)? != Some(Kind::Commit) {
            bail!("commit {id} is missing");
        }
        for parent in CommitRefIter::from_bytes(&buffer, id.kind()).parent_ids() {
            if seen.insert(parent) {
                pending.push(parent);
            }
        }
    }
    Ok(false)
}
