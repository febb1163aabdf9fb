//! What this program itself says to the server's stderr, which may be gone: sshd, a web server or a daemon closes it with
//! the connection. Saying something never fails and never ends a push, as `eprintln!` would, by a panic.

use std::{
    fmt::Arguments,
    io::{self, Write},
};

/// `eprintln!`, for a stderr that may be gone.
macro_rules! say {
    ($($words:tt)*) => { $crate::stderr::line(format_args!($($words)*)) };
}

/// Write `words` and an LF, if there is still somebody to read them.
pub fn line(words: Arguments<'_>) {
    // In one piece, or lines of two processes that share a stderr mix.
    io::stderr().write_all((printable(&words.to_string()) + "\n").as_bytes()).ok();
}

/// `words` with `?` for control characters but LF and TAB: what a client names shows up in messages, and must not steer
/// the terminal that they are read on.
pub fn printable(words: &str) -> String {
    words.replace(|c: char| c.is_ascii_control() && c != '\n' && c != '\t', "?")
}
