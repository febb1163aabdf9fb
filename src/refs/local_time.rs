//! What the clock on the wall says: the zone that reflog lines carry (tzset(3)).

use std::{fs, path::Path};

use gix::date::Time;
use jiff::{Timestamp, tz::TimeZone};

/// Where zones have files by their names.
const ZONES: &str = "/usr/share/zoneinfo";

/// Now, in the zone that `TZ` names, else in that of the machine, else in UTC.
///
/// Reads one file at most. To look a zone up in the library's database would list all that there are first, which is a hundred
/// system calls for each push.
pub fn now() -> Time {
    let now = Timestamp::now();
    let offset = zone().map_or(0, |zone| zone.to_offset(now).seconds());
    Time::new(now.as_second(), offset)
}

fn zone() -> Option<TimeZone> {
    let Some(variable) = std::env::var_os("TZ") else { return from_file(Path::new("/etc/localtime")) };
    let text = variable.to_str()?;
    let name = text.strip_prefix(':').unwrap_or(text);
    if name.is_empty() {
        return None;
    }
    // An absolute path replaces the directory.
    from_file(&Path::new(ZONES).join(name)).or_else(|| TimeZone::posix(name).ok())
}

fn from_file(path: &Path) -> Option<TimeZone> {
    TimeZone::tzif("", &fs::read(path).ok()?).ok()
}
