//! `core.sharedRepository`: the permissions of what this program creates in a repository that several users share.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use crate::config::SharedRepository;

impl SharedRepository {
    /// Give the file or directory at `path`, just created as the umask says, the permissions that the setting asks for.
    pub fn adjust(self, path: &Path) -> io::Result<()> {
        if self == SharedRepository::Umask {
            return Ok(());
        }
        let meta = fs::symlink_metadata(path)?;
        let old = meta.permissions().mode() & 0o7777;
        let new = self.mode(old, meta.is_dir());
        if new != old {
            fs::set_permissions(path, fs::Permissions::from_mode(new))?;
        }
        Ok(())
    }

    /// The mode that something of mode `old` gets: write bits only where the owner may write, execute bits where it may
    /// execute, and the group of a directory inherited by what is made in it if that group may do anything there.
    fn mode(self, old: u32, is_dir: bool) -> u32 {
        let (keep, mut add) = match self {
            SharedRepository::Umask => return old,
            SharedRepository::Add(bits) => (old, bits),
            SharedRepository::Exact(bits) => (old & !0o777, bits),
        };
        if old & 0o200 == 0 {
            add &= !0o222;
        }
        if old & 0o100 != 0 {
            add |= (add & 0o444) >> 2;
        }
        let new = keep | add;
        match is_dir {
            true if new & 0o060 != 0 => new | (new & 0o444) >> 2 | 0o2000,
            true => new | (new & 0o444) >> 2,
            false => new,
        }
    }
}

/// Create the directory `path` with the permissions that `shared` asks for; one that is there already is left as it is.
pub fn create_dir(path: &Path, shared: SharedRepository) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => shared.adjust(path),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_git() {
        let group = SharedRepository::Add(0o660);
        assert_eq!(group.mode(0o444, false), 0o444 | 0o440);
        assert_eq!(group.mode(0o600, false), 0o660);
        assert_eq!(group.mode(0o700, true), 0o2770);
        assert_eq!(SharedRepository::Exact(0o640).mode(0o755, true), 0o2750);
        assert_eq!(SharedRepository::Exact(0o600).mode(0o755, true), 0o700);
        assert_eq!(SharedRepository::Exact(0o640).mode(0o444, false), 0o440);
    }
}
