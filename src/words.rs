//! Sentences that repeat a name byte for byte: a ref's need not be UTF-8, and `format!` would show another.

/// Its parts in a row, as a `BString`: text and whatever else is bytes.
macro_rules! words {
    ($($part:expr),+ $(,)?) => {{
        let mut words = ::bstr::BString::default();
        $(words.extend_from_slice(AsRef::<[u8]>::as_ref(&$part));)+
        words
    }};
}
