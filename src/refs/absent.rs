//! Directories that are not there, so that what would be in them need not be looked for file by file.

use std::{io::ErrorKind, path::PathBuf};

use bstr::{BStr, BString, ByteSlice};

/// Answers about one name after the other, of which those in one directory come together.
#[derive(Debug, Default)]
pub struct AbsentDirectories {
    last: BString,
    is_absent: Option<bool>,
}

impl AbsentDirectories {
    /// True if `name` is surely not there, since its directory, which has the path that `path_of` gives, was not. The first
    /// name in a directory gets a no, and costs nothing; the second costs one look.
    pub fn would_hold(&mut self, name: &BStr, path_of: impl FnOnce(&BStr) -> PathBuf) -> bool {
        let Some(directory) = name.rfind_byte(b'/').map(|end| &name[..end]) else { return false };
        if self.last != directory {
            self.last = directory.into();
            self.is_absent = None;
            return false;
        }
        *self.is_absent.get_or_insert_with(|| {
            let looked_at = path_of(directory.as_bstr()).symlink_metadata();
            looked_at.is_err_and(|err| err.kind() == ErrorKind::NotFound)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn one_look_is_enough_for_a_directory_and_none_is_needed_for_one_name() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("there")).unwrap();
        let looks = Cell::new(0);
        let path_of = |name: &BStr| {
            looks.set(looks.get() + 1);
            root.path().join(name.to_str_lossy().as_ref())
        };
        let mut absent = AbsentDirectories::default();
        let mut ask = |name: &str| absent.would_hold(name.into(), path_of);
        assert_eq!(["a/1", "there/1", "HEAD"].map(&mut ask), [false; 3]);
        assert_eq!(looks.get(), 0);
        assert_eq!(["a/1", "a/2", "a/3"].map(&mut ask), [false, true, true]);
        assert_eq!(["there/1", "there/2", "there/3"].map(&mut ask), [false; 3]);
        assert_eq!(looks.get(), 2);
    }
}
