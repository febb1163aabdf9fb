//! `.gitmodules`: configuration (gitmodules) that clones act upon, so that nothing in it may be a trap.

use std::ops::ControlFlow;

use bstr::ByteSlice;

use super::{
    message::Message,
    report::{Report, verdict},
    submodule_url,
};
use crate::config::syntax::assignments;

/// Check the content of a `.gitmodules`; `None` stands for one that is too large to be held in memory.
pub fn check(data: Option<&[u8]>, report: &mut Report<'_>) -> ControlFlow<()> {
    let Some(data) = data else {
        return report.found(Message::GitmodulesLarge, ".gitmodules too large to parse");
    };
    let mut refused = false;
    for assignment in assignments(data) {
        refused |= match assignment {
            Ok(assignment) => {
                let value = assignment.value.as_ref().map(|value| before_nul(value));
                setting(before_nul(&assignment.key), value, report).is_break()
            }
            Err(_) => report.found(Message::GitmodulesParse, "could not parse gitmodules blob").is_break(),
        };
    }
    verdict(refused)
}

/// Check one `submodule.<name>.<variable>`.
fn setting(key: &[u8], value: Option<&[u8]>, report: &mut Report<'_>) -> ControlFlow<()> {
    let Some((name, variable)) = key.strip_prefix(b"submodule.").and_then(|rest| rest.rsplit_once_str(".")) else {
        return ControlFlow::Continue(());
    };
    let mut refused = false;
    let mut disallow = |message, what: &str, text: &[u8]| {
        let text = [b"disallowed submodule ", what.as_bytes(), b": ", text].concat();
        refused |= report.found(message, text).is_break();
    };
    // The name is that of a directory, on any system.
    if name.is_empty() || name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..") {
        disallow(Message::GitmodulesName, "name", name);
    }
    match (variable, value) {
        (b"url", Some(url)) if !submodule_url::is_allowed(url) => disallow(Message::GitmodulesUrl, "url", url),
        // It would be taken for an option.
        (b"path", Some(path @ [b'-', ..])) => disallow(Message::GitmodulesPath, "path", path),
        // It would be run.
        (b"update", Some(command @ [b'!', ..])) => disallow(Message::GitmodulesUpdate, "update setting", command),
        _ => {}
    }
    verdict(refused)
}

/// What git sees of a key or value.
fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}
