//! Looking up one ref after the other where their names mostly come in order: each search begins where the last one ended.

use anyhow::Result;
use bstr::{BStr, BString};

use super::{Line, Packed};

/// The refs of one file, to be asked for in order.
pub struct InOrder<'a> {
    packed: &'a Packed,
    /// What was looked for last.
    last: BString,
    /// All refs before this come before that.
    offset: usize,
}

impl<'a> InOrder<'a> {
    /// The refs of `packed`.
    pub fn new(packed: &'a Packed) -> Self {
        InOrder { packed, last: BString::default(), offset: 0 }
    }

    /// All of them.
    pub fn packed(&self) -> &'a Packed {
        self.packed
    }

    /// The ref of the full `name`.
    pub fn find(&mut self, name: &BStr) -> Result<Option<Line<'a>>> {
        let mut lines = match name >= self.last {
            true => self.packed.lines_from_behind(self.offset, name)?,
            false => self.packed.lines_from(name)?,
        };
        self.offset = lines.offset();
        self.last.clear();
        self.last.extend_from_slice(name);
        Ok(lines.next().transpose()?.filter(|line| line.name == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ref_is_found_in_whatever_order() {
        let id = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let names: Vec<String> = (0..1000).map(|at| format!("refs/tags/{at:04}")).collect();
        let content: String = names.iter().map(|name| format!("{id} {name}\n")).collect();
        let packed = Packed::from_content(content.into(), "packed-refs".into(), gix::hash::Kind::Sha1).unwrap();
        let mut in_order = InOrder::new(&packed);
        for step in [1, 7, 333, 999, 500, 0, 0] {
            for at in (0..1000).map(|at| at * step % 1000) {
                let found = in_order.find(names[at].as_str().into()).unwrap();
                assert_eq!(found.unwrap().name, names[at]);
                let absent = format!("{}-", names[at]);
                assert!(in_order.find(absent.as_str().into()).unwrap().is_none());
            }
        }
        for absent in ["", "z", "refs"] {
            assert!(in_order.find(absent.into()).unwrap().is_none());
        }
    }
}
