//! Failures of the system in the system's own words, as git prints them: Rust adds a number that tells users nothing.

use std::io;

use nix::errno::Errno;

/// What went wrong: `No such file or directory`.
pub fn words(err: &io::Error) -> String {
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
    }
}
