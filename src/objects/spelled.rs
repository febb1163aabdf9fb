//! How children of this program are to name the object directory, in the variables that git reads.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use crate::repository::Repository;

/// The object directory as git spells it for children, and what they are to have for `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
pub fn spelled(repository: &Repository) -> (OsString, OsString) {
    // git spells the usual place as seen from the git directory that it changed into, and hooks compare such strings.
    let objects = if repository.objects_dir == repository.git_dir.join("objects") {
        let mut spelled = repository.git_dir.clone().into_os_string();
        spelled.push("/./objects");
        spelled
    } else {
        repository.objects_dir.clone().into_os_string()
    };
    let mut alternates = repository.inherited_alternates.clone().unwrap_or_default();
    if repository.inherited_alternates.is_some() {
        alternates.push(":");
    }
    alternates.push(quoted_path(objects.clone()));
    (objects, alternates)
}

/// `path` as one part of a `:`-separated list: quoted as in C where it would be taken apart or unquoted otherwise.
fn quoted_path(path: OsString) -> OsString {
    let bytes = path.as_bytes();
    if !bytes.contains(&b':') && !bytes.starts_with(b"\"") {
        return path;
    }
    let mut quoted = vec![b'"'];
    for &byte in bytes {
        let escape = match byte {
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => byte,
            0x20..0x7f => {
                quoted.push(byte);
                continue;
            }
            _ => {
                quoted.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                continue;
            }
        };
        quoted.extend_from_slice(&[b'\\', escape]);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_list_would_misread_it() {
        assert_eq!(quoted_path("/a b/objects".into()), "/a b/objects");
        assert_eq!(quoted_path("/a:b\"\\\n\u{1}ü".into()), "\"/a:b\\\"\\\\\\n\\001\\303\\274\"");
        assert_eq!(quoted_path("\"x".into()), "\"\\\"x\"");
    }
}
