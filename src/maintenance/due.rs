//! Whether git's automatic maintenance may have anything to do.
//!
//! Nearly always it has not, and to find that out a process starts, reads all configuration again and counts some files,
//! which takes longer than a small push. So the files are counted here, if it is sure what the installed git looks at: up to
//! 2.51 its only automatic task is `gc`, unless `maintenance.*` says otherwise. In every other case that git is asked.

use std::{ffi::OsStr, fs, io::ErrorKind, path::Path};

use crate::{config::Settings, hooks::environment, repository::Repository};

/// So many loose objects are many, where `gc.auto` says nothing.
const LOOSE_OBJECTS: i32 = 6_700;

/// So many packs are many, where `gc.autoPackLimit` says nothing.
const PACKS: i32 = 50;

/// False if `git maintenance run --auto` would surely leave `repository` as it is.
///
/// What it counts (git-gc, `--auto`) are packs, and the loose objects in one of their 256 directories.
pub fn may_be(repository: &Repository, values: &Settings) -> bool {
    if values.iter().any(|setting| is_strange(&setting.key)) || !knows_gc_alone() {
        return true;
    }
    let (Ok(objects), Ok(packs)) = (values.int("gc.auto"), values.int("gc.autopacklimit")) else { return true };
    // What is not above 0 is no limit.
    let limit = |number: i32| u32::try_from(number).ok().filter(|limit| *limit > 0);
    let Some(objects) = limit(objects.unwrap_or(LOOSE_OBJECTS)) else { return false };
    let is_pack = |name: &OsStr| name.as_encoded_bytes().ends_with(b".pack");
    has_more(&repository.objects_dir.join("17"), objects.div_ceil(256), |_| true)
        || limit(packs.unwrap_or(PACKS))
            .is_some_and(|packs| has_more(&repository.objects_dir.join("pack"), packs, is_pack))
}

/// True for a setting that may mean more work, or that git may choke on.
fn is_strange(key: &[u8]) -> bool {
    const UNDERSTOOD: [&[u8]; 5] =
        [b"gc.auto", b"gc.autodetach", b"gc.autopacklimit", b"maintenance.auto", b"maintenance.autodetach"];
    (key.starts_with(b"gc.") || key.starts_with(b"maintenance.")) && !UNDERSTOOD.contains(&key)
}

/// True if the installed git is of the versions 2.29 to 2.51, as far as its programs tell: `git maintenance` came with the
/// first, and with 2.52 `git repo`, at the same time as other strategies.
fn knows_gc_alone() -> bool {
    let exec_path = environment::exec_path_of_first_git();
    exec_path.is_some_and(|dir| dir.join("git-maintenance").exists() && !dir.join("git-repo").exists())
}

/// True if directory `dir` has more than `limit` entries of that kind, or cannot be read.
fn has_more(dir: &Path, limit: u32, is_one: impl Fn(&OsStr) -> bool) -> bool {
    let mut found = 0;
    match fs::read_dir(dir) {
        Err(err) => return err.kind() != ErrorKind::NotFound,
        Ok(entries) => {
            for entry in entries {
                let Ok(entry) = entry else { return true };
                found += u32::from(is_one(&entry.file_name()));
                if found > limit {
                    return true;
                }
            }
        }
    }
    false
}
