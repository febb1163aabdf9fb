//! Where a trace goes: to stderr, to a descriptor that was inherited, or to a file that others may append to as well.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::session;
use crate::system_error::words;

/// A place to write to, one whole line at a time.
pub enum Target {
    /// Descriptor 2.
    Stderr,
    /// Opened for appending, so that lines of several processes do not overwrite each other.
    File(File),
}

impl Target {
    /// Write `line`. That it cannot be written is nobody's loss but the reader's.
    pub fn write(&self, line: &[u8]) {
        match self {
            Target::Stderr => io::stderr().write_all(line).ok(),
            Target::File(file) => (&*file).write_all(line).ok(),
        };
    }
}

/// The target that `variable` names for lines of text; without one, the reason is told.
pub fn lines(variable: &str) -> Option<Target> {
    let value = env::var_os(variable)?;
    match meaning(value.as_bytes()) {
        Meaning::Off => None,
        Meaning::Stderr => Some(Target::Stderr),
        Meaning::Descriptor(digit) => match append(&descriptor(digit)) {
            Ok(file) => Some(Target::File(file)),
            Err(_) => {
                say!("warning: unable to write trace for {variable}: Bad file descriptor");
                None
            }
        },
        Meaning::Path => match append(Path::new(&value)) {
            Ok(file) => Some(Target::File(file)),
            Err(err) => {
                say!("warning: could not open '{}' for tracing: {}", value.display(), words(&err));
                None
            }
        },
        Meaning::Nothing => {
            say!(
                "warning: unknown trace value for '{variable}': {}\n         If you want to trace into a file, then please \
                 set {variable}\n         to an absolute pathname (starting with /)",
                value.display()
            );
            None
        }
    }
}

/// The target that `variable` names for events; in a directory each process gets a file of its own, named for its session.
pub fn events(variable: &str) -> Option<Target> {
    let value = env::var_os(variable)?;
    let path = match meaning(value.as_bytes()) {
        Meaning::Off => return None,
        Meaning::Stderr => return Some(Target::Stderr),
        Meaning::Descriptor(digit) => descriptor(digit),
        Meaning::Path if Path::new(&value).is_dir() => Path::new(&value).join(session::id().rsplit('/').next()?),
        Meaning::Path => value.into(),
        Meaning::Nothing => {
            say!("warning: trace2: unknown value for '{variable}': '{}'", value.display());
            return None;
        }
    };
    // git does not speak of failures here either.
    append(&path).ok().map(Target::File)
}

/// What a variable can say.
enum Meaning {
    Off,
    Stderr,
    /// The digit of a descriptor that was inherited.
    Descriptor(u8),
    Path,
    Nothing,
}

fn meaning(value: &[u8]) -> Meaning {
    match value {
        b"" | b"0" => Meaning::Off,
        b"1" | b"2" => Meaning::Stderr,
        [digit @ b'3'..=b'9'] => Meaning::Descriptor(*digit),
        [b'/', ..] => Meaning::Path,
        word if word.eq_ignore_ascii_case(b"false") => Meaning::Off,
        word if word.eq_ignore_ascii_case(b"true") => Meaning::Stderr,
        _ => Meaning::Nothing,
    }
}

/// The name by which an inherited descriptor can be opened once more.
fn descriptor(digit: u8) -> PathBuf {
    format!("/dev/fd/{}", char::from(digit)).into()
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
