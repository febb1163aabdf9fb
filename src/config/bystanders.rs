//! Settings that mean nothing to a push, and whose values every git program checks when it starts all the same.
//!
//! A repository on which git refuses to work would else take pushes, and fail in the first hook that calls git.

use anyhow::Result;

use super::setting::Setting;

const BOOLEANS: &[&str] = &[
    "core.filemode",
    "core.precomposeunicode",
    "core.prefersymlinkrefs",
    "core.preloadindex",
    "core.protecthfs",
    "core.protectntfs",
    "core.quotepath",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.symlinks",
    "core.trustctime",
    "user.useconfigonly",
];

const SIZES: &[&str] =
    &["core.deltabasecachelimit", "core.packedgitlimit", "core.packedgitwindowsize", "pack.packsizelimit"];

const TEXTS: &[&str] = &[
    "attr.tree",
    "author.email",
    "author.name",
    "committer.email",
    "committer.name",
    "core.askpass",
    "core.attributesfile",
    "core.editor",
    "core.excludesfile",
    "core.whitespace",
    "i18n.commitencoding",
    "i18n.logoutputencoding",
    "mailmap.blob",
    "mailmap.file",
    "user.email",
    "user.name",
];

/// Fail if `setting` is one of them and its value is none.
pub(super) fn check(setting: &Setting) -> Result<()> {
    let is_any = |keys: &[&str]| keys.iter().any(|key| setting.key == *key);
    if is_any(BOOLEANS) {
        setting.boolean()?;
    } else if is_any(SIZES) {
        setting.size()?;
    } else if is_any(TEXTS) {
        setting.text()?;
    }
    Ok(())
}
