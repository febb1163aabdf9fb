//! Configuration in the environment: `GIT_CONFIG_COUNT` with its keys and values (git-config, "Environment"), and
//! `GIT_CONFIG_PARAMETERS`, which is how `git -c name=value` hands settings on.

use std::os::unix::ffi::OsStringExt;

use bstr::{BStr, BString, ByteSlice};

/// The settings of this process's environment in order, their keys canonical; else what is wrong with them.
pub fn settings() -> Result<Vec<(BString, Option<BString>)>, String> {
    let mut settings = counted()?;
    if let Some(parameters) = variable("GIT_CONFIG_PARAMETERS") {
        settings.extend(parameters_in(parameters.as_bstr())?);
    }
    Ok(settings)
}

fn variable(name: &str) -> Option<BString> {
    std::env::var_os(name).map(|value| value.into_vec().into())
}

fn counted() -> Result<Vec<(BString, Option<BString>)>, String> {
    let count = match variable("GIT_CONFIG_COUNT") {
        None => return Ok(Vec::new()),
        Some(count) if count.is_empty() => 0,
        Some(count) => match count.to_str().ok().and_then(|count| count.trim_start().parse::<i128>().ok()) {
            None => return Err("bogus count in GIT_CONFIG_COUNT".into()),
            Some(count) => i32::try_from(count)
                .ok()
                .filter(|count| *count >= 0)
                .ok_or_else(|| "too many entries in GIT_CONFIG_COUNT".to_owned())?,
        },
    };
    let mut settings = Vec::new();
    for number in 0..count {
        let named = |what: &str| {
            let name = format!("GIT_CONFIG_{}_{number}", what.to_uppercase());
            variable(&name).ok_or_else(|| format!("missing config {what} {name}"))
        };
        let (key, value) = (named("key")?, named("value")?);
        settings.push((canonical(key.as_bstr())?, Some(value)));
    }
    Ok(settings)
}

/// The settings in a list of `'key'='value'`, `'key'=`, and the older `'key=value'`, quoted for a shell.
fn parameters_in(list: &BStr) -> Result<Vec<(BString, Option<BString>)>, String> {
    let bogus = || "bogus format in GIT_CONFIG_PARAMETERS".to_owned();
    let mut settings = Vec::new();
    let mut rest = list.as_bytes();
    while !rest.is_empty() {
        let (word, behind) = unquote(rest).ok_or_else(bogus)?;
        rest = behind;
        match rest.first() {
            Some(b'=') => {
                rest = &rest[1..];
                let mut value = None;
                if !at_word_end(rest) {
                    let (text, behind) = unquote(rest).ok_or_else(bogus)?;
                    (value, rest) = (Some(text), behind);
                }
                settings.push((canonical(word.as_bstr())?, value));
            }
            _ => {
                let (key, value) = match word.split_once_str("=") {
                    Some((key, value)) => (key, Some(value.into())),
                    None => (word.as_slice(), None),
                };
                if key.trim().is_empty() {
                    return Err(format!("bogus config parameter: {word}"));
                }
                settings.push((canonical(key.trim().as_bstr())?, value));
            }
        }
        if !at_word_end(rest) {
            return Err(bogus());
        }
        rest = rest.trim_start();
    }
    Ok(settings)
}

fn at_word_end(rest: &[u8]) -> bool {
    rest.first().is_none_or(u8::is_ascii_whitespace)
}

/// The word in single quotes that `text` starts with, and what follows it. Outside of the quotes, only `\'` and `\!`
/// between two quoted parts may stand.
fn unquote(text: &[u8]) -> Option<(BString, &[u8])> {
    let mut word = BString::default();
    let mut rest = text.strip_prefix(b"'")?;
    loop {
        let end = rest.find_byte(b'\'')?;
        word.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest {
            [b'\\', byte @ (b'\'' | b'!'), b'\'', behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
            _ => return Some((word, rest)),
        }
    }
}

/// `key` with section and name in lower case; else what is wrong with it.
fn canonical(key: &BStr) -> Result<BString, String> {
    if key.is_empty() {
        return Err("empty config key".into());
    }
    let (first, last) = match (key.find_byte(b'.'), key.rfind_byte(b'.')) {
        (Some(first), Some(last)) if last > 0 => (first, last),
        _ => return Err(format!("key does not contain a section: {key}")),
    };
    if last + 1 == key.len() {
        return Err(format!("key does not contain variable name: {key}"));
    }
    let is_word = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let (section, name) = (&key[..first], &key[last + 1..]);
    if !is_word(section) || !is_word(name) || !name[0].is_ascii_alphabetic() {
        return Err(format!("invalid key: {key}"));
    }
    if key.contains(&b'\n') {
        return Err(format!("invalid key (newline): {key}"));
    }
    let mut canonical = key.to_owned();
    canonical[..first].make_ascii_lowercase();
    canonical[last + 1..].make_ascii_lowercase();
    Ok(canonical)
}
