//! The hook that carries out commands itself: whatever it answers, git and this program make the same of it.

pub mod support;

use support::{
    push::{Push, push},
    server,
};

/// Shell functions for a hook that speaks pkt-lines: `hear` repeats on stderr what it hears up to a flush, `say` says a line.
const SPEECH: &str = r#"
hear() {
    while length=$(dd bs=1 count=4 2>/dev/null) && test ${#length} = 4 && test $length != 0000; do
        echo "heard $(dd bs=1 count=$((0x$length - 4)) 2>/dev/null | tr '\000' '|')" >&2
    done
}
say() { printf '%04x%s' $((${#1} + 4)) "$1"; }
flush() { printf 0000; }
env | grep -E '^GIT_(PUSH|QUARANTINE|OBJECT)' >&2
echo "hook $0 has $# arguments" >&2
"#;

/// A push of three refs, two of which the hook is to take, with a hook that greets, hears the commands and then answers.
fn asked(answer: &str) -> Push {
    with_hook(&format!("hear; say version=1; flush; hear; {answer}"))
}

fn with_hook(script: &str) -> Push {
    push()
        .config("receive.procReceiveRefs", "refs/for")
        .hook("proc-receive", &format!("{SPEECH}{script}"))
        .recording(&["pre-receive", "update", "post-receive", "post-update"], "")
        .create("refs/for/main", "next")
        .create("refs/heads/new", "next")
        .create("refs/for/topic", "next")
}

/// The same as [`asked`], of an atomic push.
fn asked_at_once(answer: &str) -> Push {
    asked(answer).atomic()
}

/// Each case is a test of its own name: both programs must do the same.
macro_rules! cases {
    ($($name:ident: $push:expr;)*) => {$(
        #[test]
        fn $name() {
            let (theirs, mine) = server::pushed_to_both(&$push);
            let differences = mine.differences(&theirs, false);
            assert!(differences.is_empty(), "they differ in\n{differences}\ngit: {theirs:#?}\nours: {mine:#?}");
        }
    )*};
}

cases! {
    both_are_accepted: asked("say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    one_is_refused: asked("say 'ok refs/for/main'; say 'ng refs/for/topic not this one'; flush");
    one_is_refused_without_a_reason: asked("say 'ng refs/for/main'; say 'ok refs/for/topic'; flush");
    a_word_by_which_a_client_would_give_up: asked("say 'ERR no way'; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    the_same_word_for_a_greeting: with_hook("hear; say 'ERR no way'; flush; hear; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    one_is_refused_twice: asked("say 'ng refs/for/main first'; say 'ok refs/for/topic'; say 'ng refs/for/main second'; flush");
    one_is_refused_twice_and_the_second_time_without_a_reason: asked("say 'ng refs/for/main first'; say 'ok refs/for/topic'; say 'ng refs/for/main'; say 'ok refs/for/main'; flush");
    one_is_refused_at_once: asked_at_once("say 'ok refs/for/main'; say 'ng refs/for/topic not this one'; flush");
    both_are_accepted_at_once: asked_at_once("say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    one_is_forgotten: asked("say 'ok refs/for/topic'; flush");
    one_is_forgotten_at_once: asked_at_once("say 'ok refs/for/topic'; flush");
    lines_that_end_in_newlines: asked("say 'ok refs/for/main\n'; say 'option refname refs/changes/1\n'; say 'ok refs/for/topic\n'; flush");
    one_becomes_another_ref: asked("say 'ok refs/for/main'; say 'option refname refs/changes/1'; say 'ok refs/for/topic'; flush");
    one_becomes_several: asked("say 'ok refs/for/main'; say 'option refname refs/changes/1'; say 'option forced-update'; say 'ok refs/for/main'; say 'option refname refs/changes/2'; say 'option old-oid 1111111111111111111111111111111111111111'; say 'option new-oid 2222222222222222222222222222222222222222'; say 'ok refs/for/topic'; flush");
    one_becomes_several_in_the_older_report: asked("say 'ok refs/for/main'; say 'option refname refs/changes/1'; say 'ok refs/for/main'; say 'option refname refs/changes/2'; say 'ok refs/for/topic'; flush").capabilities("report-status side-band-64k object-format=sha1");
    one_falls_through: asked("say 'ok refs/for/main'; say 'option fall-through'; say 'ok refs/for/topic'; flush");
    both_fall_through_at_once: asked_at_once("say 'ok refs/for/main'; say 'option fall-through'; say 'ok refs/for/topic'; say 'option fall-through'; flush");
    options_that_make_no_sense: asked("say 'ok refs/for/main'; say 'option old-oid what'; say 'option unheard of'; say 'option refname'; say 'option new-oid 1111111111111111111111111111111111111111 and more'; say 'ok refs/for/topic'; flush");
    an_option_before_all: asked("say 'option refname x'; say 'option refname y'; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    an_option_after_a_refusal: asked("say 'ng refs/for/main'; say 'option refname x'; say 'ok refs/for/topic'; flush");
    complaints_of_all_kinds: asked("say garbage; say 'maybe refs/for/main for a reason'; say 'ok refs/heads/unknown'; say 'ok refs/heads/new'; say 'option refname x'; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    complaints_at_once: asked_at_once("say 'ok refs/for/main'; say 'ok refs/for/topic'; say garbage; flush");
    an_exit_status_after_a_good_answer: asked("say 'ok refs/for/main'; say 'ok refs/for/topic'; flush; exit 3");
    an_exit_status_after_a_good_answer_at_once: asked_at_once("say 'ok refs/for/main'; say 'ok refs/for/topic'; flush; exit 3");
    an_end_without_an_answer: asked("exit 0");
    an_end_without_an_answer_at_once: asked_at_once("exit 0");
    an_empty_answer: asked("flush");
    an_answer_without_its_flush: asked("say 'ok refs/for/main'; say 'ok refs/for/topic'");
    an_answer_that_is_cut_off: asked("say 'ok refs/for/main'; printf 0014ok");
    an_answer_that_is_no_pkt_line: asked("printf 'hello, world'");
    output_beside_the_answer: asked("echo working >&2; say 'ok refs/for/main'; say garbage; say 'ok refs/for/topic'; flush; echo done >&2");
    no_hook: with_hook("").shell("rm server.git/hooks/proc-receive");
    no_hook_at_once: with_hook("").shell("rm server.git/hooks/proc-receive").atomic();
    a_hook_that_cannot_be_run: with_hook("").shell("echo '#!/nowhere' >server.git/hooks/proc-receive");
    a_hook_that_ends_before_it_greets: with_hook("hear; exit 0");
    a_hook_that_greets_with_nothing: with_hook("hear; flush; hear; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    a_hook_of_version_zero: with_hook("hear; say version=0; flush; hear; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    a_hook_of_a_version_to_come: with_hook("hear; say version=27x; flush; hear");
    a_hook_that_wants_push_options: with_hook("hear; printf '001aversion=1\\000push-options0000'; hear; hear; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush").config("receive.advertisePushOptions", "true").options(&["one", "two words"]);
    a_hook_that_does_not_want_push_options: asked("say 'ok refs/for/main'; say 'ok refs/for/topic'; flush").config("receive.advertisePushOptions", "true").options(&["one"]);
    a_hook_that_wants_push_options_of_a_kind: with_hook("hear; printf '0023version=1\\000atomic push-options=20000'; hear; hear; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush").config("receive.advertisePushOptions", "true").options(&["one", "two words"]);
    a_hook_that_wants_push_options_that_there_are_none_of: with_hook("hear; printf '001aversion=1\\000push-options0000'; hear; hear; say 'ok refs/for/main'; say 'ok refs/for/topic'; flush");
    without_side_band: asked("echo working >&2; say 'ok refs/for/main'; say garbage; say 'ok refs/for/topic'; flush").capabilities("report-status-v2 object-format=sha1");
    deletions_that_are_claimed: asked("say 'ok refs/heads/topic'; flush").config("receive.procReceiveRefs", "d:refs/heads/").config("receive.procReceiveRefs", "m:refs/for").delete("refs/heads/topic", "topic");
    all_but_branches_are_claimed: asked("say 'ok refs/for/main'; say 'ok refs/for/topic'; flush").config("receive.procReceiveRefs", "a!:refs/heads");
    hidden_refs_are_not_for_the_hook: asked("say 'ok refs/for/topic'; flush").config("receive.hideRefs", "refs/for/main");
    declined_by_pre_receive: asked("exit 0").hook("pre-receive", "exit 1");
}
