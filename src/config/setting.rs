//! One configured value, where it comes from, and what it says as a boolean, a number, a path.
//!
//! The messages about values that say nothing of the sort are git's, for people search for them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, bail};
use bstr::{BStr, BString, ByteSlice};

use super::home;

/// A configured value.
#[derive(Debug, Clone)]
pub struct Setting {
    /// `section.name` or `section.subsection.name`; section and name in lower case.
    pub key: BString,
    /// `None` for a name without `=`, which as a boolean is true.
    pub value: Option<BString>,
    /// Where it was set.
    pub origin: Origin,
}

/// Where a value was set.
#[derive(Debug, Clone)]
pub enum Origin {
    /// On a line of a file, whose path is as git shows it.
    File {
        /// Relative to the git directory where it lies in that.
        path: Arc<Path>,
        /// From 1.
        line: usize,
    },
    /// In the environment, which is where `git -c` puts it.
    CommandLine,
}

impl Setting {
    /// True for the setting `key`: case counts in a subsection only.
    pub fn is(&self, key: &str) -> bool {
        let key = key.as_bytes();
        if key.len() != self.key.len() || !key.eq_ignore_ascii_case(&self.key) {
            return false;
        }
        let subsection = key.find_byte(b'.').unwrap_or(0)..key.rfind_byte(b'.').unwrap_or(0);
        key[subsection.clone()] == self.key[subsection]
    }

    /// Subsection and name, where this is a setting of `section` with a subsection: `hook.<name>.command`.
    pub fn within(&self, section: &str) -> Option<(&BStr, &BStr)> {
        let rest = self.key.strip_prefix(section.as_bytes())?.strip_prefix(b".")?;
        let dot = rest.rfind_byte(b'.')?;
        Some((rest[..dot].as_bstr(), rest[dot + 1..].as_bstr()))
    }

    /// The text, nothing where there is no value.
    pub fn raw(&self) -> &BStr {
        self.value.as_ref().map(|value| value.as_bstr()).unwrap_or_default()
    }

    /// The text. Without a value this is an error, half of which is told here: git says it in two lines.
    pub fn text(&self) -> Result<&BStr> {
        match &self.value {
            Some(value) => Ok(value.as_bstr()),
            None => Err(self.reject(format_args!("missing value for '{}'", self.key))),
        }
    }

    /// The error for a value that is no good, after `why` was said.
    pub fn reject(&self, why: std::fmt::Arguments<'_>) -> anyhow::Error {
        say!("error: {why}");
        match &self.origin {
            Origin::File { path, line } => {
                anyhow::anyhow!("bad config variable '{}' in file '{}' at line {line}", self.key, path.display())
            }
            Origin::CommandLine => anyhow::anyhow!("unable to parse '{}' from command-line config", self.key),
        }
    }

    /// `true`, `yes`, `on`, a number but 0, or no value at all; `false`, `no`, `off`, 0 or nothing (git-config, "Values").
    pub fn boolean(&self) -> Result<bool> {
        match &self.value {
            None => Ok(true),
            Some(value) => match boolean(value.as_bstr()) {
                Some(value) => Ok(value),
                None => bail!("bad boolean config value '{value}' for '{}'", self.key),
            },
        }
    }

    /// A number that fits `T`, with `k`, `m`, `g` for the powers of 1024.
    fn number<T: TryFrom<i128>>(&self, is_signed: bool) -> Result<T> {
        let value = self.raw();
        let why = match number(value) {
            // Where git wants no negative number, a sign is what it stumbles over.
            _ if !is_signed && value.contains(&b'-') => "invalid unit",
            // To git the least number is as far out as one beyond the largest.
            Ok(number) => match T::try_from(number.abs()).and_then(|_| T::try_from(number)) {
                Ok(number) => return Ok(number),
                Err(_) => "out of range",
            },
            Err(why) => why,
        };
        let place = match &self.origin {
            Origin::File { path, .. } => format!(" in file {}", path.display()),
            Origin::CommandLine => String::new(),
        };
        bail!("bad numeric config value '{value}' for '{}'{place}: {why}", self.key)
    }

    /// A number that fits 32 bits with its sign.
    pub fn int(&self) -> Result<i32> {
        self.number(true)
    }

    /// A number that fits 64 bits with its sign.
    pub fn long(&self) -> Result<i64> {
        self.number(true)
    }

    /// A number that has no sign.
    pub fn size(&self) -> Result<u64> {
        self.number(false)
    }

    /// A path, with `~/` and `~user/` replaced by the directory that they stand for.
    pub fn path(&self) -> Result<PathBuf> {
        let value = self.text()?;
        match home::expand(value) {
            Some(path) => Ok(path),
            None => bail!("failed to expand user dir in: '{value}'"),
        }
    }
}

/// What `value` says as a boolean, `None` if nothing.
pub fn boolean(value: &BStr) -> Option<bool> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if ["true", "yes", "on"].into_iter().any(is) {
        Some(true)
    } else if ["", "false", "no", "off"].into_iter().any(is) {
        Some(false)
    } else {
        number(value).ok().filter(|number| i32::try_from(*number).is_ok()).map(|number| number != 0)
    }
}

/// A number as C writes them (`0x` for 16, `0` for 8) and perhaps a unit; what is wrong with it in git's words.
fn number(value: &BStr) -> Result<i128, &'static str> {
    const UNIT: &str = "invalid unit";
    const RANGE: &str = "out of range";
    let text = value.to_str().map_err(|_| UNIT)?.trim_start();
    let (is_negative, text) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, text) = match text.as_bytes() {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let end = text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(UNIT);
    }
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return Err(UNIT),
    };
    let sign = if is_negative { -1 } else { 1 };
    let number = i128::from_str_radix(digits, radix).map_err(|_| RANGE)?;
    number.checked_mul(factor).and_then(|number| number.checked_mul(sign)).ok_or(RANGE)
}
