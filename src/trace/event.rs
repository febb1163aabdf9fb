//! One line of `GIT_TRACE2_EVENT`: a JSON object (api-trace2, "The Event Format Target").

use std::{fmt::Write as _, panic::Location, time::Duration};

use bstr::ByteSlice;

use super::{clock, session};

/// An event in the making.
pub struct Event(String);

impl Event {
    /// The event `name`, with the fields that all have.
    pub fn new(name: &str, location: &Location<'_>) -> Self {
        let (file, line) = place(location);
        let thread = std::thread::current();
        Event(String::from("{"))
            .text("event", name)
            .text("sid", session::id())
            .text("thread", thread.name().unwrap_or("unnamed"))
            .text("time", format!("{}Z", clock::utc("%Y-%m-%dT%H:%M:%S")))
            .text("file", file)
            .number("line", line)
    }

    /// A string, of which every byte that is no UTF-8 is shown as U+FFFD.
    pub fn text(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.key(key);
        self.string(value.as_ref());
        self
    }

    /// An array of strings.
    pub fn texts(mut self, key: &str, values: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Self {
        self.key(key);
        self.0.push('[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.string(value.as_ref().as_encoded_bytes());
        }
        self.0.push(']');
        self
    }

    /// A number.
    pub fn number(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.bare(key, value)
    }

    /// A duration, in seconds.
    pub fn seconds(self, key: &str, value: Duration) -> Self {
        self.bare(key, format_args!("{:.6}", value.as_secs_f64()))
    }

    /// `true` or `false`.
    pub fn bool(self, key: &str, value: bool) -> Self {
        self.bare(key, value)
    }

    /// The whole line.
    pub fn finish(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }

    fn bare(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.key(key);
        self.0.push_str(&value.to_string());
        self
    }

    fn key(&mut self, key: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.string(key.as_bytes());
        self.0.push(':');
    }

    fn string(&mut self, text: &[u8]) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                c if c.is_control() => {
                    // A string takes every write.
                    write!(self.0, "\\u{:04x}", u32::from(c)).ok();
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }
}

/// The name of the source file without its directory, and the line.
pub fn place<'a>(location: &Location<'a>) -> (&'a str, u32) {
    let file = location.file();
    (file.rsplit('/').next().unwrap_or(file), location.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json_whatever_is_in_it() {
        let event =
            Event(String::from("{")).text("a", b"\"\\\n\x01\xff\xc3\xa4").texts("b", ["c", ""]).bool("d", false);
        let line = event.seconds("e", Duration::from_micros(1500)).number("f", -1).finish();
        assert_eq!(
            line,
            "{\"a\":\"\\\"\\\\\\n\\u0001\u{fffd}ä\",\"b\":[\"c\",\"\"],\"d\":false,\"e\":0.001500,\"f\":-1}\n"
        );
    }
}
