//! Which refs a client may neither see nor update: `receive.hideRefs` and `transfer.hideRefs` (git-config).

use bstr::{BStr, BString, ByteSlice};

/// The patterns of both settings as one list, in which the last that matches decides.
#[derive(Debug, Clone, Default)]
pub struct HiddenRefs {
    /// The last one first.
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    prefix: BString,
    /// Written with `!`: what matches is shown.
    shows: bool,
    /// Written with `^`: compared with the full name, not with what is left of it under a namespace.
    full: bool,
}

impl HiddenRefs {
    /// Take the values in the order of configuration, as written.
    pub fn new(values: &[BString]) -> Self {
        let pattern = |value: &BString| {
            let mut rest = value.as_slice();
            let shows = cut(&mut rest, b'!');
            let full = cut(&mut rest, b'^');
            let end = rest.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
            Pattern { prefix: rest[..end].into(), shows, full }
        };
        HiddenRefs { patterns: values.iter().rev().map(pattern).collect() }
    }

    /// True if there is no pattern, so that nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// True if the ref is hidden. `full` is its name in the repository, `short` that in the namespace of the push, `None`
    /// if it is outside.
    pub fn is_hidden(&self, short: Option<&BStr>, full: &BStr) -> bool {
        let matches = |pattern: &&Pattern| {
            let subject = if pattern.full { Some(full) } else { short };
            let rest = subject.and_then(|subject| subject.strip_prefix(pattern.prefix.as_bytes()));
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        self.patterns.iter().find(matches).is_some_and(|pattern| !pattern.shows)
    }
}

fn cut(rest: &mut &[u8], byte: u8) -> bool {
    let is_there = rest.first() == Some(&byte);
    *rest = &rest[usize::from(is_there)..];
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(patterns: &[&str], short: Option<&str>, full: &str) -> bool {
        let values: Vec<BString> = patterns.iter().map(|pattern| BString::from(*pattern)).collect();
        HiddenRefs::new(&values).is_hidden(short.map(Into::into), full.into())
    }

    #[test]
    fn a_pattern_matches_whole_path_parts() {
        assert!(hidden(&["refs/hid"], Some("refs/hid/a"), "refs/hid/a"));
        assert!(hidden(&["refs/hid//"], Some("refs/hid"), "refs/hid"));
        assert!(!hidden(&["refs/hid"], Some("refs/hidden"), "refs/hidden"));
    }

    #[test]
    fn the_last_match_wins() {
        assert!(!hidden(&["refs/a", "!refs/a/b"], Some("refs/a/b/c"), "refs/a/b/c"));
        assert!(hidden(&["!refs/a/b", "refs/a"], Some("refs/a/b/c"), "refs/a/b/c"));
    }

    #[test]
    fn a_caret_asks_for_the_full_name() {
        let full = "refs/namespaces/n/refs/heads/x";
        assert!(!hidden(&["refs/namespaces"], Some("refs/heads/x"), full));
        assert!(hidden(&["^refs/namespaces"], Some("refs/heads/x"), full));
        assert!(!hidden(&["^refs/namespaces", "!^refs/namespaces/n"], Some("refs/heads/x"), full));
        assert!(!hidden(&["refs/heads"], None, "refs/heads/x"));
    }
}
