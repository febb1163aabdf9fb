//! The clock of traces.

use std::time::SystemTime;

use gix::date::{Time, time::CustomFormat};

/// The moment in UTC, by `format` with microseconds behind it.
pub fn utc(format: &'static str) -> String {
    now(format, 0)
}

/// The time of day on the wall, with microseconds.
pub fn time_of_day() -> String {
    now("%H:%M:%S", Time::now_local_or_utc().offset)
}

/// `offset` is in seconds east of Greenwich.
fn now(format: &'static str, offset: i32) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = Time::new(now.as_secs() as i64, offset);
    format!("{}.{:06}", seconds.format_or_unix(CustomFormat::new(format)), now.subsec_micros())
}
