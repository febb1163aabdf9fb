//! Reasons in the report, word for word, that no other test states: git's answer is the same, but for balanced mode's.

pub mod support;

use support::{
    push::{Push, push},
    server::pushed,
};

/// Each case is a push and what becomes of its refs.
macro_rules! refusals {
    ($($name:ident: $push:expr => $unpack:expr, $report:expr;)*) => {$(
        #[test]
        fn $name() {
            let push: Push = $push;
            let after = pushed(&push);
            let wanted: Vec<&str> = [$unpack].iter().chain(&$report).chain(&["flush", "end"]).copied().collect();
            assert_eq!(after.report, wanted, "{after:#?}");
        }
    )*};
}

refusals! {
    a_hidden_ref_is_deleted: push().config("receive.hideRefs", "refs/heads/topic").delete("refs/heads/topic", "topic")
        => "unpack ok", ["ng refs/heads/topic deny deleting a hidden ref"];
    a_symbolic_ref_to_itself: push().server(&["symbolic-ref", "refs/heads/loop", "refs/heads/loop"]).create("refs/heads/loop", "next")
        => "unpack ok", ["ng refs/heads/loop broken symref"];
    a_pack_that_is_cut_off: push().update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(2))
        => "unpack eof before pack header was fully read", ["ng refs/heads/main unpacker error"];
    a_ref_that_the_proc_receive_hook_forgot: push().config("receive.procReceiveRefs", "refs/for").hook("proc-receive", "printf 000dversion=100000000; cat >/dev/null").create("refs/for/x", "next").create("refs/heads/new", "next")
        => "unpack ok", ["ng refs/for/x proc-receive failed to report status", "ok refs/heads/new"];
}
