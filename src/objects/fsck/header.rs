//! What commits and tags have in common: lines up to an empty one, and ids in hexadecimal.

use std::ops::ControlFlow;

use gix::ObjectId;

use super::{message::Message, report::Report};

/// The header must end, and no NUL may stand in it.
pub fn check(data: &[u8], report: &mut Report<'_>) -> ControlFlow<()> {
    let end = memchr::memmem::find(data, b"\n\n");
    let header = &data[..end.unwrap_or(data.len())];
    if let Some(at) = memchr::memchr(0, header) {
        return report.found(Message::NulInHeader, format!("unterminated header: NUL at offset {at}"));
    }
    if end.is_none() && !data.ends_with(b"\n") {
        return report.found(Message::UnterminatedHeader, "unterminated header");
    }
    ControlFlow::Continue(())
}

/// The id at the start of `data`, in whatever case, and what is behind it and a newline.
pub fn id_line(data: &[u8], hash: gix::hash::Kind) -> Option<(ObjectId, &[u8])> {
    let (hex, rest) = data.split_at_checked(hash.len_in_hex())?;
    Some((ObjectId::from_hex(hex).ok()?, rest.strip_prefix(b"\n")?))
}
