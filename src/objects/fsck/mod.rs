//! Is an object sound? `receive.fsckObjects`, of the strict kind (git-config, git-fsck).

pub mod message;
pub mod report;
pub mod rules;
