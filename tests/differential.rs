//! The same bytes to git's receive-pack and to ours, on copies of one repository: all that can be seen must be equal.
//!
//! One line is one case. What is meant to differ stands in tests/deliberate.rs.

pub mod support;

use support::{
    push::{Push, push},
    server,
};

/// Each case is a test of its own name.
macro_rules! cases {
    ($($name:ident: $push:expr;)*) => {$(
        #[test]
        fn $name() {
            let push: Push = $push;
            let (theirs, mine) = server::pushed_to_both(&push);
            let differences = mine.differences(&theirs, push.own_words);
            assert!(differences.is_empty(), "they differ in\n{differences}\ngit: {theirs:#?}");
        }
    )*};
}

cases! {
    a_branch_is_created: push().create("refs/heads/new", "next");
    a_branch_is_updated: push().update("refs/heads/main", "main", "next");
    a_branch_is_deleted: push().delete("refs/heads/topic", "topic");
}
