//! The name of this process in logs of both ends (gitprotocol-capabilities, "session-id"; api-trace2, "sid").

use std::{env, sync::OnceLock};

use super::clock;

/// `<UTC time>-H<hash of the host's name>-P<process id in hex>`, behind that of the process that started this one and a
/// slash where `GIT_TRACE2_PARENT_SID` tells it. One process has one.
pub fn id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(make)
}

fn make() -> String {
    let own = format!("{}Z-{}-P{:08x}", clock::utc("%Y%m%dT%H%M%S"), host(), std::process::id());
    match env::var("GIT_TRACE2_PARENT_SID") {
        // It goes out in the list of capabilities, of which it must stay one word.
        Ok(parent) if !parent.is_empty() && parent.bytes().all(|byte| byte.is_ascii_graphic()) => {
            format!("{parent}/{own}")
        }
        _ => own,
    }
}

fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(name.as_encoded_bytes());
    match hasher.try_finalize() {
        Ok(hash) => format!("H{}", hash.to_hex_with_len(8)),
        Err(_) => "Localhost".into(),
    }
}
