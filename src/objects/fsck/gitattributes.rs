//! `.gitattributes`: not larger, and no line of it longer, than git reads (gitattributes).

use std::ops::ControlFlow;

use super::{message::Message, report::Report};

/// The size up to which git reads the file.
const LARGEST: usize = 100 << 20;

/// The length from which on git does not read a line, without its LF.
const TOO_LONG: usize = 2048;

/// Check the content of a `.gitattributes`; `None` stands for one that is too large to be held in memory.
pub fn check(data: Option<&[u8]>, report: &mut Report<'_>) -> ControlFlow<()> {
    let Some(data) = data.filter(|data| data.len() <= LARGEST) else {
        return report.found(Message::GitattributesLarge, ".gitattributes too large to parse");
    };
    // It ends at a NUL.
    let text = &data[..memchr::memchr(0, data).unwrap_or(data.len())];
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text).chain([text.len()]) {
        if end - start >= TOO_LONG {
            return report.found(Message::GitattributesLineLength, ".gitattributes has too long lines to parse");
        }
        start = end + 1;
    }
    ControlFlow::Continue(())
}
