//! Failures of the system in the system's own words, as git prints them: Rust adds a number that tells users nothing.

use std::io::{self, ErrorKind};

use nix::errno::Errno;

/// What went wrong: `No such file or directory`.
pub fn words(err: &io::Error) -> String {
    let errno = match err.kind() {
        _ if err.raw_os_error().is_some() || err.get_ref().is_some() => None,
        // Made by this program, or by the library, without a number.
        ErrorKind::NotFound => Some(Errno::ENOENT),
        ErrorKind::NotADirectory => Some(Errno::ENOTDIR),
        ErrorKind::AlreadyExists => Some(Errno::EEXIST),
        _ => None,
    };
    let numbered = errno.map(io::Error::from);
    let err = numbered.as_ref().unwrap_or(err);
    let said = err.to_string();
    let number = err.raw_os_error().map(|number| format!(" (os error {number})"));
    number.and_then(|number| said.strip_suffix(&number)).unwrap_or(&said).to_owned()
}

/// All that `error` says, the first cause last.
pub fn chain(error: &anyhow::Error) -> String {
    let said = error.chain().map(|cause| match (cause.downcast_ref(), cause.downcast_ref::<Errno>()) {
        (Some(err), _) => words(err),
        (_, Some(errno)) => words(&(*errno).into()),
        _ => cause.to_string(),
    });
    said.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn no_number_is_told() {
        let error = std::fs::read("/nowhere").context("cannot read '/nowhere'").unwrap_err();
        assert_eq!(chain(&error), "cannot read '/nowhere': No such file or directory");
        assert_eq!(chain(&anyhow::Error::new(Errno::EACCES)), "Permission denied");
        assert_eq!(words(&Errno::ELOOP.into()), "Too many levels of symbolic links");
        assert_eq!(words(&io::Error::other("out of paper")), "out of paper");
        assert_eq!(words(&io::Error::new(ErrorKind::NotFound, "no paper")), "no paper");
        assert_eq!(words(&ErrorKind::NotFound.into()), "No such file or directory");
    }
}
