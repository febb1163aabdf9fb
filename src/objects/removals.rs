//! Whether objects may have been removed from the repository since it was last looked for them.
//!
//! An object that is there and that no ref reaches may be tidied away at any time (`git gc --prune=now`), and so may what a
//! ref reached that is gone. Removing a file changes the time of its directory; so where no directory has another time, nothing
//! was removed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::database::Database;

/// So long after a directory has changed, it may change again and show the same time, on file systems with coarse clocks.
const BLUR: Duration = Duration::from_secs(2);

/// The state of the object directories at one moment.
#[derive(Debug)]
pub struct Untouched {
    /// Each directory that names objects or packs, with the time of its last change.
    directories: Vec<(PathBuf, SystemTime)>,
    /// One of them has changed just now: nothing can be told from its time.
    blurred: bool,
}

impl Untouched {
    /// Note the state of the directories of `database`, now.
    pub fn since_now(database: &Database) -> Self {
        let now = SystemTime::now();
        let mut this = Untouched { directories: Vec::new(), blurred: false };
        for directory in database.directories() {
            let Ok(entries) = fs::read_dir(directory) else {
                this.blurred = true;
                continue;
            };
            for entry in entries {
                let Ok(entry) = entry else {
                    this.blurred = true;
                    break;
                };
                let name = entry.file_name();
                let is_fan_out = name.len() == 2 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
                if !is_fan_out && name != "pack" {
                    continue;
                }
                match changed(&entry.path()) {
                    // One from the future may be set back.
                    Some(time) => {
                        this.blurred |= now.duration_since(time).map_or(true, |age| age < BLUR);
                        this.directories.push((entry.path(), time));
                    }
                    None => this.blurred = true,
                }
            }
        }
        this
    }

    /// True if nothing was removed since. A false may mean that something was added.
    pub fn holds(&self) -> bool {
        !self.blurred && self.directories.iter().all(|(path, time)| changed(path) == Some(*time))
    }
}

fn changed(directory: &Path) -> Option<SystemTime> {
    fs::metadata(directory).and_then(|meta| meta.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::RefFormat;

    #[test]
    fn a_removed_object_shows_and_an_untouched_repository_too() {
        let root = tempfile::tempdir().expect("a directory");
        let objects = root.path().join("objects");
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        for directory in ["pack", "ab", "info"] {
            fs::create_dir_all(objects.join(directory)).expect("made");
            fs::write(objects.join(directory).join("x"), "").expect("written");
            let file = fs::File::open(objects.join(directory)).expect("opened");
            file.set_modified(hour_ago).expect("set back");
        }
        let repository = crate::repository::Repository {
            git_dir: root.path().into(),
            common_dir: root.path().into(),
            work_tree: None,
            objects_dir: objects.clone(),
            inherited_alternates: None,
            alternate_dirs: Vec::new(),
            hash: gix::hash::Kind::Sha1,
            ref_format: RefFormat::Files,
            namespace: Default::default(),
            given: Default::default(),
            inside_quarantine: false,
        };
        let note = || Untouched::since_now(&Database::open(&repository).expect("a database"));
        let before = note();
        assert!(before.holds());
        fs::remove_file(objects.join("info/x")).expect("removed");
        assert!(before.holds());
        fs::remove_file(objects.join("ab/x")).expect("removed");
        assert!(!before.holds());
        // Of one that has changed this moment nothing can be said.
        assert!(!note().holds());
        fs::remove_dir(objects.join("ab")).expect("removed");
        assert!(note().holds());
        fs::remove_dir_all(objects.join("pack")).expect("removed");
        assert!(!before.holds());
    }
}
