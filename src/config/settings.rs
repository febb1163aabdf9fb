//! All configured values in the order of their sources, the later one winning: what `git config --list` shows.

use std::path::PathBuf;

use anyhow::Result;
use bstr::{BStr, ByteSlice};

use super::setting::Setting;

/// Everything that is configured.
#[derive(Debug, Clone, Default)]
pub struct Settings(pub(super) Vec<Setting>);

impl Settings {
    /// Every setting, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Setting> {
        self.0.iter()
    }

    /// The settings of a section's subsections, in order, as (subsection, name in lower case, setting):
    /// `within("hook")` has `hook.<name>.command` as (`<name>`, `command`, …).
    pub fn within<'a>(&'a self, section: &'a str) -> impl Iterator<Item = (&'a BStr, &'a BStr, &'a Setting)> {
        self.iter().filter_map(move |setting| {
            let (subsection, name) = setting.within(section)?;
            Some((subsection, name, setting))
        })
    }

    /// The setting that counts for `key`, which is `section.name` in any case, or has a subsection in its very case.
    pub fn last(&self, key: &str) -> Option<&Setting> {
        self.iter().rev().find(|setting| setting.is(key))
    }

    /// The text of `key`; a name without a value is as good as not there.
    pub fn string(&self, key: &str) -> Option<&BStr> {
        self.last(key)?.value.as_ref().map(|value| value.as_bstr())
    }

    /// `key` as a boolean; fails if it is none.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.last(key).map(Setting::boolean).transpose()
    }

    /// `key` as a number of 32 bits; fails if it is none.
    pub fn int(&self, key: &str) -> Result<Option<i32>> {
        self.last(key).map(Setting::int).transpose()
    }

    /// `key` as a path; fails if it has no value or a home directory that is not known.
    pub fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        self.last(key).map(Setting::path).transpose()
    }
}
