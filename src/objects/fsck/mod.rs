//! Is an object sound? `receive.fsckObjects`, of the strict kind (git-config, git-fsck).

pub mod dot_names;
pub mod gitattributes;
pub mod gitmodules;
pub mod message;
pub mod report;
pub mod rules;
mod submodule_url;
pub mod tree;
