//! The same bytes to git's receive-pack and to ours, on copies of one repository: all that can be seen must be equal.
//!
//! One line is one case. What is meant to differ stands in tests/deliberate.rs.

pub mod support;

use support::{
    packs::{BLOB, COMMIT, PackBuilder, TAG, delta},
    push::{Push, pkt_line, push_to},
    server,
};

/// Each case is a test of its own name, run in every format: with the usual hash and refs in files, with SHA-256, and with
/// refs in a reftable.
///
/// `name: push` is such a case. `name [sha1: "why"]: push` means nothing with another hash, `name [files: "why"]: push`
/// with refs kept in another way, `name [usual: "why"]: push` with either.
macro_rules! cases {
    ($section:ident; $($name:ident $([$only:ident: $why:literal])?: $push:expr;)*) => {
        mod $section {
            formatted!(usual, "sha1", "files"; $($name [$($only)?] $push;)*);
            formatted!(sha256, "sha256", "files"; $($name [$($only)?] $push;)*);
            formatted!(reftable, "sha1", "reftable"; $($name [$($only)?] $push;)*);
        }
    };
}

/// The cases of a section in one format.
macro_rules! formatted {
    ($format:ident, $hash:literal, $refs:literal; $($name:ident [$($only:ident)?] $push:expr;)*) => {
        mod $format {
            use crate::*;

            fn push() -> Push {
                push_to($hash, $refs)
            }

            $(case!($format [$($only)?] $name $push);)*
        }
    };
}

/// One test, unless the case is about other formats.
macro_rules! case {
    (sha256 [sha1] $($case:tt)*) => {};
    (sha256 [usual] $($case:tt)*) => {};
    (reftable [files] $($case:tt)*) => {};
    (reftable [usual] $($case:tt)*) => {};
    ($format:ident [$($only:ident)?] $name:ident $push:expr) => {
        #[test]
        fn $name() {
            compare(&$push);
        }
    };
}

/// Give the push to both programs, and fail on any difference.
fn compare(push: &Push) {
    let (theirs, mine) = server::pushed_to_both(push);
    let differences = mine.differences(&theirs, push.own_words);
    assert!(differences.is_empty(), "they differ in\n{differences}\ngit: {theirs:#?}");
}

const RECEIVE_HOOKS: [&str; 4] = ["pre-receive", "update", "post-receive", "post-update"];

// Command line and repository (§1, §2)
cases! {
    command_line;
    advertising_alone: push().argument("--http-backend-info-refs").raw(b"");
    advertising_alone_by_its_older_name: push().argument("--advertise-refs").raw(b"");
    one_stateless_request: push().argument("--stateless-rpc").update("refs/heads/main", "main", "next");
    a_stateless_request_that_is_empty: push().argument("--stateless-rpc").raw(b"");
    a_quiet_push: push().argument("-q").update("refs/heads/main", "main", "next");
    no_such_repository: push().directory("absent.git").raw(b"0000").own_words();
    a_repository_named_without_its_suffix: push().directory("server").update("refs/heads/main", "main", "next");
    a_repository_with_slashes_after_it: push().directory("server.git///").update("refs/heads/main", "main", "next");
    a_work_tree_named_by_its_directory: push().work_tree().create("refs/heads/new", "next");
    a_gitfile_is_followed: push().shell("mkdir link; echo 'gitdir: ../server.git' >link/.git").directory("link").create("refs/heads/new", "next");
    a_repository_without_hooks_and_info: push().shell("rm -rf server.git/hooks server.git/info").create("refs/heads/new", "next");
    settings_from_git_config_parameters: push().env("GIT_CONFIG_PARAMETERS", "'receive.denydeletes'='true'").delete("refs/heads/topic", "topic");
    settings_from_git_config_count: push().env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "receive.denyDeletes").env("GIT_CONFIG_VALUE_0", "yes").delete("refs/heads/topic", "topic");
    a_bad_boolean_in_the_environment: push().env("GIT_CONFIG_NOSYSTEM", "perhaps").raw(b"0000");
    settings_from_the_global_file: push().shell("printf '[receive]\\n\\tdenyDeletes\\n' >home/.gitconfig").delete("refs/heads/topic", "topic");
    settings_from_an_included_file: push().shell("printf '[receive]\\n\\tdenyDeletes = true\\n' >more").config("include.path", "../more").delete("refs/heads/topic", "topic");
    the_last_of_two_settings_counts: push().config("receive.denyDeletes", "true").config("receive.denyDeletes", "false").delete("refs/heads/topic", "topic");
    a_bad_boolean: push().config("receive.denyDeletes", "perhaps").raw(b"0000");
    a_bad_number: push().config("receive.unpackLimit", "ten").raw(b"0000");
    a_number_with_a_unit: push().config("receive.unpackLimit", "1k").create("refs/heads/new", "many");
    a_setting_without_its_value: push().shell("printf '[receive]\\n\\thideRefs\\n' >>server.git/config").raw(b"0000").own_words();
    an_unknown_extension: push().config("core.repositoryformatversion", "1").config("extensions.unheardOf", "true").raw(b"0000");
    a_format_of_the_future: push().server(&["config", "core.repositoryformatversion", "2"]).raw(b"0000");
    a_push_from_within_a_quarantine: push().env("GIT_QUARANTINE_PATH", "/nowhere").update("refs/heads/main", "main", "next");
    objects_kept_elsewhere: push().shell("mv server.git/objects elsewhere; mkdir server.git/objects").env("GIT_OBJECT_DIRECTORY", "SCENE/elsewhere").update("refs/heads/main", "main", "next");
}

// Advertisement (§3)
cases! {
    advertisement;
    protocol_one: push().env("GIT_PROTOCOL", "version=1").update("refs/heads/main", "main", "next");
    protocol_two_has_no_push: push().env("GIT_PROTOCOL", "version=2").raw(b"0000");
    the_highest_known_protocol: push().env("GIT_PROTOCOL", "version=0:version=1:unheard").raw(b"0000");
    an_empty_repository [files: "emptied by hand"]: push().shell("rm -rf server.git/packed-refs server.git/refs/heads/*").create("refs/heads/main", "main");
    no_atomic_pushes: push().config("receive.advertiseAtomic", "false").raw(b"0000");
    no_offset_deltas: push().config("repack.useDeltaBaseOffset", "false").raw(b"0000");
    push_options_offered: push().config("receive.advertisePushOptions", "true").raw(b"0000");
    a_session_id: push().config("transfer.advertiseSID", "true").raw(b"0000");
    symbolic_refs_are_shown_resolved: push().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).raw(b"0000");
    dangling_symbolic_refs_are_left_out: push().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/absent"]).raw(b"0000");
    a_loose_ref_that_is_none [files: "a file below refs/"]: push().shell("echo garbage >server.git/refs/heads/broken").raw(b"0000");
    a_loose_ref_that_is_empty [files: "a file below refs/"]: push().shell(": >server.git/refs/heads/broken").raw(b"0000");
    a_ref_whose_object_is_missing [files: "a file below refs/"]: push().shell("echo 1234567890123456789012345678901234567890 >server.git/refs/heads/broken").raw(b"0000");
    a_lock_file_is_no_ref [files: "a file below refs/"]: push().shell("cp server.git/refs/heads/main server.git/refs/heads/x.lock").raw(b"0000");
    hidden_refs: push().config("transfer.hideRefs", "refs/heads").config("receive.hideRefs", "!refs/heads/top").config("receive.hideRefs", "!refs/heads/topic/").raw(b"0000");
    a_namespace: push().server(&["update-ref", "refs/namespaces/a/refs/heads/in", "topic"]).env("GIT_NAMESPACE", "a").raw(b"0000");
    a_namespace_and_hidden_refs: push().server(&["update-ref", "refs/namespaces/a/refs/heads/in", "topic"]).server(&["update-ref", "refs/namespaces/a/refs/hide/in", "topic"]).config("receive.hideRefs", "refs/hide").config("receive.hideRefs", "^refs/tags").env("GIT_NAMESPACE", "a").raw(b"0000");
    a_namespace_in_a_namespace: push().server(&["update-ref", "refs/namespaces/a/refs/namespaces/b/refs/heads/in", "topic"]).env("GIT_NAMESPACE", "a/b").raw(b"0000");
    what_an_alternate_has: push().shell("echo ../../client.git/objects >server.git/objects/info/alternates").raw(b"0000");
    what_an_alternate_has_below_a_prefix: push().shell("echo ../../client.git/objects >server.git/objects/info/alternates").config("core.alternateRefsPrefixes", "refs/tags refs/heads/side").raw(b"0000");
    what_a_command_says_that_an_alternate_has: push().shell("echo ../../client.git/objects >server.git/objects/info/alternates").config("core.alternateRefsCommand", "echo 1234567890123456789012345678901234567890; :").raw(b"0000");
    an_alternate_that_is_gone: push().shell("echo /nowhere/objects >server.git/objects/info/alternates").raw(b"0000").own_words();
    a_shallow_repository: push().shell("git -C server.git rev-parse main~1 >server.git/shallow").raw(b"0000");
}

// Refs and alternates as other hands may have left them (§2, §3)
cases! {
    other_hands;
    packed_refs_without_a_header [files: "a packed-refs file"]: push().shell("sed -i /^#/d server.git/packed-refs").update("refs/heads/old", "old", "next");
    packed_refs_out_of_order [files: "a packed-refs file"]: push().shell("{ grep -v -e ^# -e '^^' server.git/packed-refs | sort -r; } >p; mv p server.git/packed-refs").update("refs/heads/old", "old", "next").delete("refs/heads/topic", "topic");
    packed_refs_that_are_none [files: "a packed-refs file"]: push().shell("echo garbage >>server.git/packed-refs").raw(b"0000").own_words();
    packed_refs_that_are_empty [files: "a packed-refs file"]: push().shell(": >server.git/packed-refs").update("refs/heads/main", "main", "next");
    packed_refs_without_a_last_newline [files: "a packed-refs file"]: push().shell("printf %s \"$(cat server.git/packed-refs)\" >p; mv p server.git/packed-refs").raw(b"0000").own_words();
    a_loose_ref_in_capitals [files: "a file below refs/"]: push().shell("git -C server.git rev-parse topic | tr a-f A-F >server.git/refs/heads/capitals").raw(b"0000");
    a_loose_ref_with_more_behind_it [files: "a file below refs/"]: push().shell("echo $(git -C server.git rev-parse topic) and more >server.git/refs/heads/longer").raw(b"0000");
    a_loose_ref_without_a_newline [files: "a file below refs/"]: push().shell("printf %s $(git -C server.git rev-parse topic) >server.git/refs/heads/short").update("refs/heads/short", "topic", "next");
    a_loose_ref_of_a_bad_name [files: "a file below refs/"]: push().shell("cp server.git/refs/heads/main server.git/refs/heads/'a b'; cp server.git/refs/heads/main server.git/refs/heads/.hidden; cp server.git/refs/heads/main server.git/refs/heads/a..b").raw(b"0000");
    a_chain_of_symbolic_refs: push().server(&["symbolic-ref", "refs/heads/a", "refs/heads/b"]).server(&["symbolic-ref", "refs/heads/b", "refs/heads/topic"]).update("refs/heads/a", "topic", "next").recording(&RECEIVE_HOOKS, "");
    a_ref_that_is_a_symbolic_link [files: "a file below refs/"]: push().shell("ln -s topic server.git/refs/heads/link").raw(b"0000");
    an_empty_directory_among_refs [files: "a file below refs/"]: push().shell("mkdir -p server.git/refs/heads/new/deep/down").create("refs/heads/new", "next");
    a_detached_head: push().server(&["update-ref", "--no-deref", "HEAD", "topic"]).config("core.logAllRefUpdates", "true").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic");
    a_head_that_is_not_born: push().server(&["symbolic-ref", "HEAD", "refs/heads/unborn"]).config("core.logAllRefUpdates", "true").create("refs/heads/unborn", "next");
    an_unborn_branch_of_a_work_tree: push().work_tree().server(&["symbolic-ref", "HEAD", "refs/heads/unborn"]).create("refs/heads/unborn", "next").own_words();
    a_linked_work_tree_for_the_directory: push().server(&["worktree", "add", "-q", "../linked", "topic"]).directory("linked").update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "");
    the_branch_of_a_linked_work_tree_is_deleted: push().server(&["worktree", "add", "-q", "../linked", "topic"]).config("receive.denyDeleteCurrent", "refuse").delete("refs/heads/topic", "topic").own_words();
    a_branch_that_is_being_rebased: push().work_tree().server(&["checkout", "-q", "topic"]).shell("cd server.git; GIT_SEQUENCE_EDITOR='sed -i s/^pick/edit/' git rebase -q -i old >/dev/null 2>&1").config("receive.denyCurrentBranch", "refuse").update("refs/heads/topic", "topic", "next");
    alternates_of_alternates: push().shell("git init -q --bare between.git; echo ../../client.git/objects >between.git/objects/info/alternates; printf '# a comment\n\n../../between.git/objects\n' >server.git/objects/info/alternates").objects(&[]).update("refs/heads/main", "main", "next");
    alternates_with_a_path_in_quotes: push().shell("mv client.git/objects 'client.git/a \"quoted\" one'; ln -s 'a \"quoted\" one' client.git/objects; printf '\"../../client.git/a \\\\\"quoted\\\\\" one\"\n' >server.git/objects/info/alternates").objects(&[]).update("refs/heads/main", "main", "next");
    a_ref_name_of_other_bytes: push().objects(&["next", "next^{tree}", "next:dir", "next:dir/b", "next:numbers"]).line(&[format!("{} {} refs/heads/", push().id("0"), push().id("next")).as_bytes(), b"\xe4\xf6".as_slice()].concat());
}

// Request (§4)
cases! {
    request;
    nothing_to_push: push().raw(b"0000");
    the_end_of_input_before_anything: push().raw(b"");
    the_end_of_input_before_the_flush: push().raw(&pkt_line(format!("{0} {0} refs/heads/x\0report-status object-format=sha1", "0".repeat(40)).as_bytes()));
    a_command_of_one_word: push().line(b"garbage");
    a_command_without_a_name: push().line(format!("{0} {0}", "0".repeat(40)).as_bytes());
    a_command_with_a_short_id: push().line(b"0000 0000 refs/heads/x");
    a_command_with_an_id_that_is_no_hex: push().line(format!("{0} {0} refs/heads/x", "g".repeat(40)).as_bytes());
    a_command_that_ends_in_a_newline: push().line(format!("{} {} refs/heads/topic\n", push().id("topic"), push().id("0")).as_bytes());
    a_bad_shallow_line: push().line(b"shallow nothing");
    a_length_that_is_no_hex: push().raw(b"zzzz");
    a_length_of_three: push().raw(b"0003");
    a_delimiter_for_a_command: push().raw(b"0001").own_words();
    a_length_beyond_the_largest: push().raw(b"ffffabc").own_words();
    a_line_that_is_cut_off: push().raw(b"0040abc");
    the_client_reports_an_error: push().raw(&pkt_line(b"ERR out of paper"));
    another_object_format: push().capabilities("report-status object-format=sha256").update("refs/heads/main", "main", "next");
    an_object_format_nobody_knows: push().capabilities("report-status object-format=md5").update("refs/heads/main", "main", "next");
    no_object_format: push().capabilities("report-status").update("refs/heads/main", "main", "next");
    capabilities_nobody_knows: push().also("unheard-of another=thing").update("refs/heads/main", "main", "next");
    atomic_that_was_not_offered: push().config("receive.advertiseAtomic", "false").atomic().update("refs/heads/.bad", "0", "next").update("refs/heads/main", "main", "next");
    no_report_asked_for: push().capabilities("object-format=HASH").update("refs/heads/main", "main", "next");
    the_older_report: push().capabilities("report-status side-band-64k object-format=HASH").update("refs/heads/main", "main", "next").update("refs/heads/.bad", "0", "next");
    the_older_report_without_side_band: push().capabilities("report-status object-format=HASH").update("refs/heads/main", "main", "next").update("refs/heads/.bad", "0", "next");
    the_newer_report_without_side_band: push().capabilities("report-status-v2 object-format=HASH").update("refs/heads/main", "main", "next").update("refs/heads/.bad", "0", "next");
    side_band_without_a_report: push().capabilities("side-band-64k object-format=HASH").update("refs/heads/main", "main", "next").update("refs/heads/.bad", "0", "next");
    not_quiet: push().capabilities("report-status-v2 side-band-64k object-format=HASH").update("refs/heads/main", "main", "next");
    push_options: push().config("receive.advertisePushOptions", "true").options(&["one", "", "with = signs", "ünïcode"]).update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "");
    push_options_that_were_not_offered: push().also("push-options").update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "");
    no_push_options_though_negotiated: push().config("receive.advertisePushOptions", "true").options(&[]).update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "");
}

// Taking in objects (§5)
cases! {
    taking_in;
    few_objects_become_loose: push().update("refs/heads/main", "main", "next2");
    many_objects_become_a_pack: push().update("refs/heads/main", "main", "many");
    as_many_as_the_limit_become_a_pack: push().config("receive.unpackLimit", "4").update("refs/heads/main", "main", "next");
    one_less_than_the_limit_become_loose: push().config("receive.unpackLimit", "6").update("refs/heads/main", "main", "next");
    the_limit_of_transfer: push().config("transfer.unpackLimit", "1").update("refs/heads/main", "main", "next");
    the_limit_of_receive_before_that_of_transfer: push().config("transfer.unpackLimit", "1").config("receive.unpackLimit", "10000").update("refs/heads/main", "main", "many");
    no_reverse_index: push().config("pack.writeReverseIndex", "false").update("refs/heads/main", "main", "many");
    an_empty_pack_for_objects_that_are_there: push().create("refs/heads/new", "topic");
    an_empty_pack_though_a_pack_is_kept_of_one_object: push().config("receive.unpackLimit", "1").create("refs/heads/new", "topic");
    a_thin_pack_unpacked: push().thin().update("refs/heads/main", "main", "next");
    a_thin_pack_completed: push().config("receive.unpackLimit", "1").thin().update("refs/heads/main", "main", "next");
    a_thin_pack_refused_when_kept: push().config("receive.unpackLimit", "1").argument("--reject-thin-pack-for-testing").thin().update("refs/heads/main", "main", "next").own_words();
    a_thin_pack_of_many: push().thin().update("refs/heads/main", "main", "many");
    objects_that_are_there_already: push().objects(&["main", "main^{tree}", "main:a"]).update("refs/heads/topic", "topic", "main");
    objects_that_nobody_asked_for: push().objects(&["next", "next^{tree}", "next:dir", "next:dir/b", "next:numbers", "alien:alien"]).update("refs/heads/main", "main", "next");
    a_pack_in_a_shared_repository: push().config("core.sharedRepository", "group").update("refs/heads/main", "main", "many");
    loose_objects_in_a_shared_repository: push().config("core.sharedRepository", "0660").update("refs/heads/main", "main", "next");
    every_blob_is_a_big_file: push().config("core.bigFileThreshold", "1").config("receive.unpackLimit", "1").update("refs/heads/main", "main", "next");
    another_compression: push().config("core.compression", "9").update("refs/heads/main", "main", "next");
    an_alternate_has_the_objects: push().shell("echo ../../client.git/objects >server.git/objects/info/alternates").objects(&[]).update("refs/heads/main", "main", "next");
    an_inherited_alternate_has_the_objects: push().env("GIT_ALTERNATE_OBJECT_DIRECTORIES", "SCENE/client.git/objects").objects(&[]).update("refs/heads/main", "main", "next").recording(&["pre-receive"], "");
    a_limit_that_the_pack_keeps: push().config("receive.maxInputSize", "1m").update("refs/heads/main", "main", "next");
    a_limit_that_loose_objects_break: push().config("receive.maxInputSize", "100").update("refs/heads/main", "main", "next");
    a_limit_that_a_pack_breaks: push().config("receive.maxInputSize", "1536").config("receive.unpackLimit", "1").update("refs/heads/main", "main", "many");
    checking_connectivity_is_told_where_nobody_wants_to_wait: push().capabilities("report-status-v2 side-band-64k object-format=HASH").env("GIT_PROGRESS_DELAY", "0").update("refs/heads/main", "main", "next").own_words();
    resolving_deltas_is_told: push().capabilities("report-status-v2 side-band-64k object-format=HASH").config("receive.unpackLimit", "1").thin().update("refs/heads/main", "main", "many");
    a_pack_of_nothing_but_two_letters: push().update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(2));
    no_pack_at_all: push().update("refs/heads/main", "main", "next").damaged(Vec::clear);
    another_signature: push().update("refs/heads/main", "main", "next").damaged(|pack| pack[0] ^= 1);
    a_version_of_the_future: push().update("refs/heads/main", "main", "next").damaged(|pack| pack[7] = 9);
    one_object_less_than_counted: push().update("refs/heads/main", "main", "next").damaged(|pack| pack[11] += 1);
    one_object_more_than_counted: push().update("refs/heads/main", "main", "next").damaged(|pack| pack[11] -= 1);
    a_pack_that_ends_in_the_middle: push().update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(pack.len() / 2));
    a_pack_that_ends_before_its_trailer: push().update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(pack.len() - 20));
    a_bit_flipped_in_an_entry: push().update("refs/heads/main", "main", "next").damaged(|pack| { let middle = pack.len() / 2; pack[middle] ^= 4; });
    a_bit_flipped_in_the_trailer: push().update("refs/heads/main", "main", "next").damaged(|pack| { let last = pack.len() - 1; pack[last] ^= 4; });
    a_large_pack_that_ends_in_the_middle: push().update("refs/heads/main", "main", "many").damaged(|pack| pack.truncate(pack.len() / 2));
    a_bit_flipped_in_an_entry_of_a_large_pack: push().update("refs/heads/main", "main", "many").damaged(|pack| { let middle = pack.len() / 2; pack[middle] ^= 4; });
    a_bit_flipped_in_the_trailer_of_a_large_pack: push().update("refs/heads/main", "main", "many").damaged(|pack| { let last = pack.len() - 1; pack[last] ^= 4; });
    a_bad_pack_and_hooks: push().update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(pack.len() / 2)).recording(&RECEIVE_HOOKS, "");
    a_bad_pack_without_side_band: push().capabilities("report-status object-format=HASH").update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(pack.len() / 2));
    a_bad_pack_beside_a_deletion: push().delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(pack.len() / 2));
    an_entry_of_no_type: push().update("refs/heads/main", "main", "next").built(PackBuilder::new().entry(5, b"what")).own_words();
    an_entry_that_is_longer_than_it_says: push().update("refs/heads/main", "main", "next").built(PackBuilder::new().entry_claiming(BLOB, 3, &[], b"four")).own_words();
    an_entry_that_is_shorter_than_it_says: push().update("refs/heads/main", "main", "next").built(PackBuilder::new().entry_claiming(BLOB, 5, &[], b"four")).own_words();
    a_delta_without_its_base: push().update("refs/heads/main", "main", "next").pack(PackBuilder::new().ref_delta(&[7; 20], &delta(4, 4, b"\x04four")).finish()).own_words();
    a_delta_without_its_base_in_a_kept_pack: push().config("receive.unpackLimit", "1").update("refs/heads/main", "main", "next").pack(PackBuilder::new().ref_delta(&[7; 20], &delta(4, 4, b"\x04four")).finish()).own_words();
    a_delta_whose_base_is_before_the_pack: push().config("receive.unpackLimit", "1").update("refs/heads/main", "main", "next").built(PackBuilder::new().ofs_delta(4000, &delta(4, 4, b"\x04four"))).own_words();
    a_delta_that_copies_from_beyond_its_base: push().config("receive.unpackLimit", "1").update("refs/heads/main", "main", "next").built(PackBuilder::new().entry(BLOB, b"four").ofs_delta(16, &delta(4, 8, &[0x91, 2, 8]))).own_words();
    a_commit_of_nothing_but_a_tree: lone(push(), "commit", COMMIT, &format!("tree {}\n", push().id("main^{tree}")));
    a_tag_that_has_no_name: lone(push(), "tag", TAG, &format!("object {}\ntype tree\n", push().id("main^{tree}")));
    a_tag_that_has_no_tagger: lone(push(), "tag", TAG, &format!("object {}\ntype tree\ntag x\n", push().id("main^{tree}")));
    a_commit_that_is_none: lone(push(), "commit", COMMIT, "tree of nothing\n");
}

// Checks (§6)
cases! {
    checks;
    a_missing_tree: push().objects(&["next"]).update("refs/heads/main", "main", "next");
    a_missing_blob: push().objects(&["next", "next^{tree}", "next:dir", "next:numbers"]).update("refs/heads/main", "main", "next");
    a_missing_parent: push().objects(&["next2", "next2^{tree}", "next2:new", "next2:new/deep", "next2:new/deep/file", "next^{tree}", "next:dir", "next:dir/b", "next:numbers"]).update("refs/heads/main", "main", "next2");
    a_missing_tag_target: push().objects(&["v2"]).create("refs/tags/v2", "v2");
    a_value_that_nobody_sent: push().objects(&[]).update("refs/heads/main", "main", "next");
    a_missing_blob_in_a_kept_pack: push().config("receive.unpackLimit", "1").objects(&["next", "next^{tree}", "next:dir", "next:numbers"]).update("refs/heads/main", "main", "next");
    one_ref_of_two_lacks_an_object: push().objects(&["next", "side", "side^{tree}", "side:a"]).create("refs/heads/a", "next").create("refs/heads/b", "side").recording(&RECEIVE_HOOKS, "");
    a_missing_object_without_side_band: push().capabilities("report-status object-format=HASH").objects(&["next"]).update("refs/heads/main", "main", "next");
    an_object_that_is_there_without_its_history: push().shell("git -C client.git cat-file commit next2 | git -C server.git hash-object -w -t commit --stdin").objects(&[]).create("refs/heads/new", "next2");
    an_object_that_is_there_with_its_history: push().server(&["update-ref", "-d", "refs/heads/topic"]).objects(&[]).create("refs/heads/new", "topic");
    an_object_that_hangs_on_a_hidden_ref_alone: push().server(&["update-ref", "refs/hide/topic", "topic"]).server(&["update-ref", "-d", "refs/heads/topic"]).config("receive.hideRefs", "refs/hide").objects(&[]).create("refs/heads/new", "topic");
    a_push_into_a_shallow_repository: push().shell("git -C server.git rev-parse main~1 >server.git/shallow").update("refs/heads/main", "main", "next");
    a_commit_with_the_tree_of_an_old_one: push().shell(&commit("-p main", "old^{tree}")).update("refs/heads/main", "main", "made");
    a_commit_with_the_tree_of_a_hidden_one: push().shell(&commit("-p main", "topic^{tree}")).server(&["update-ref", "refs/hide/topic", "topic"]).server(&["update-ref", "-d", "refs/heads/topic"]).config("receive.hideRefs", "refs/hide").update("refs/heads/main", "main", "made");
    a_commit_with_a_parent_that_hangs_on_nothing: push().shell(&commit("-p main -p topic", "main^{tree}")).server(&["update-ref", "-d", "refs/heads/topic"]).objects(&["made"]).update("refs/heads/main", "main", "made");
    a_merge_of_four: push().shell(&commit("-p main -p topic -p side -p alien", "main^{tree}")).update("refs/heads/main", "main", "made");
    a_commit_of_long_ago: push().shell(&format!("GIT_COMMITTER_DATE='@1 +0000' GIT_AUTHOR_DATE='@1 +0000'; {}", commit("-p main", "next^{tree}"))).config("receive.denyNonFastForwards", "true").update("refs/heads/main", "main", "made");
    a_submodule_that_is_nowhere [sha1: "an id is written out"]: push().shell(&commit("-p main", "$(printf '160000 commit 1234567890123456789012345678901234567890\tmodule\n' | git -C client.git mktree --missing)")).update("refs/heads/main", "main", "made");
    a_tree_of_every_kind: push().shell(&commit("-p main", "$(b=$(git -C client.git rev-parse next:dir/b); t=$(git -C client.git rev-parse next:dir); printf \"100755 blob $b\\tx\\n120000 blob $b\\tl\\n040000 tree $t\\td\\n\" | git -C client.git mktree)")).update("refs/heads/main", "main", "made");
    a_tree_with_a_missing_tree_that_the_parent_has_elsewhere: push().shell(&commit("-p main", "$(printf \"040000 tree $(git -C client.git rev-parse main:dir)\\tmoved\\n\" | git -C client.git mktree)")).objects(&["made", "made^{tree}"]).update("refs/heads/main", "main", "made");
    a_tag_of_a_tag: push().shell("git -C client.git tag -a -m outer outer v2").create("refs/tags/outer", "outer");
    a_tag_of_a_tag_that_lacks_the_inner: push().shell("git -C client.git tag -a -m outer outer v2").objects(&["outer", "next", "next^{tree}", "next:dir", "next:dir/b", "next:numbers"]).create("refs/tags/outer", "outer");
    a_tag_of_a_tree_that_lacks_a_blob: push().shell("git -C client.git tag -a -m tree tree next^{tree}").objects(&["tree", "next^{tree}", "next:dir", "next:numbers"]).create("refs/tags/tree", "tree");
    a_packed_tree_that_lacks_a_blob: push().config("receive.unpackLimit", "1").objects(&["next^{tree}", "next:dir", "next:numbers"]).create("refs/tags/tree", "next^{tree}");
    a_packed_tree_that_is_whole: push().config("receive.unpackLimit", "1").objects(&["next^{tree}", "next:dir", "next:dir/b", "next:numbers", "next:a"]).create("refs/tags/tree", "next^{tree}");
    a_packed_tree_that_is_whole_beside_one_that_is_not: push().config("receive.unpackLimit", "1").objects(&["side^{tree}"]).create("refs/tags/tree", "side^{tree}").create("refs/tags/lost", "next^{tree}");
    a_tree_that_lacks_a_blob: push().objects(&["next^{tree}", "next:dir", "next:numbers"]).create("refs/tags/tree", "next^{tree}");
    a_commit_whose_tree_is_a_blob: push().shell(&odd_commit("next:dir/b", "main")).objects(&["made", "next:dir/b"]).create("refs/heads/new", "made").own_words();
    a_commit_whose_parent_is_a_tree: push().shell(&odd_commit("next^{tree}", "main^{tree}")).objects(&["made", "next^{tree}", "next:dir", "next:dir/b", "next:numbers"]).create("refs/heads/new", "made").own_words();
    a_partial_clone_lacks_what_was_promised: push().server(&["config", "remote.origin.promisor", "true"]).server(&["config", "remote.origin.url", "/nowhere"]).objects(&["next", "next^{tree}", "next:dir", "next:numbers"]).update("refs/heads/main", "main", "next").own_words();
    a_hidden_ref_is_created: push().config("receive.hideRefs", "refs/hide").create("refs/hide/x", "next").create("refs/heads/new", "next");
    a_hidden_ref_is_deleted: push().config("receive.hideRefs", "refs/heads/topic").delete("refs/heads/topic", "topic");
    a_hidden_ref_is_set_to_its_value: push().config("receive.hideRefs", "refs/heads/topic").update("refs/heads/topic", "topic", "topic");
    all_refused_already_and_hooks: push().config("receive.hideRefs", "refs/heads").update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "");
    funny_names: ["refs/heads/.x", "refs/heads/x.lock", "heads/x", "refs/heads/a..b", "refs/heads/with space", "refs/heads/", "refs/x", "HEAD", "refs/heads/a~1", "refs/heads/a\x7f", "refs/../x", "refs/heads//x", "refs/heads/@{x}"].iter().fold(push(), |push, name| push.create(name, "next"));
    names_that_are_less_funny: ["refs/heads/ünï", "refs/heads/@", "refs/heads/a-b.c", "refs/what/ever", "refs/heads/HEAD", "refs/heads/refs/heads/x", "refs/heads/-x"].iter().fold(push(), |push, name| push.create(name, "next"));
    a_ref_of_one_level_is_deleted: push().server(&["update-ref", "refs/stash", "topic"]).delete("refs/stash", "topic");
    an_alias_alone: push().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).update("refs/heads/alias", "main", "next").recording(&RECEIVE_HOOKS, "");
    an_alias_and_its_target_agree: push().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).update("refs/heads/alias", "main", "next").update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "");
    an_alias_and_its_target_disagree: push().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).update("refs/heads/alias", "main", "next").update("refs/heads/main", "main", "next2").recording(&RECEIVE_HOOKS, "");
    an_alias_of_a_hidden_ref_that_disagrees: push().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).config("receive.hideRefs", "refs/heads/main").update("refs/heads/alias", "main", "next").update("refs/heads/main", "main", "next2");
    a_symbolic_ref_to_itself [files: "a file below refs/"]: push().shell("echo 'ref: refs/heads/loop' >server.git/refs/heads/loop").create("refs/heads/loop", "next");
    a_dangling_symbolic_ref_is_followed: push().server(&["symbolic-ref", "refs/heads/alias", "refs/heads/absent"]).create("refs/heads/alias", "next");
    denied_deletions: push().config("receive.denyDeletes", "true").delete("refs/heads/topic", "topic").delete("refs/tags/v1", "v1");
    denied_deletion_of_the_current_branch: push().delete("refs/heads/main", "main").own_words();
    refused_deletion_of_the_current_branch: push().config("receive.denyDeleteCurrent", "refuse").delete("refs/heads/main", "main");
    deletion_of_the_current_branch_with_a_warning: push().config("receive.denyDeleteCurrent", "warn").delete("refs/heads/main", "main");
    deletion_of_the_current_branch_ignored: push().config("receive.denyDeleteCurrent", "ignore").delete("refs/heads/main", "main");
    a_forced_update: push().update("refs/heads/main", "main", "side");
    a_denied_forced_update: push().config("receive.denyNonFastForwards", "true").update("refs/heads/main", "main", "side").update("refs/heads/topic", "topic", "main");
    a_denied_forced_update_to_what_is_no_commit: push().config("receive.denyNonFastForwards", "true").update("refs/heads/main", "main", "next:dir/b").update("refs/heads/topic", "topic", "v1").create("refs/heads/new", "next");
    a_denied_forced_update_of_a_name_of_other_bytes: push().shell("git -C server.git update-ref refs/heads/$(printf '\\344') topic").config("receive.denyNonFastForwards", "true").line(&[format!("{} {} refs/heads/", push().id("topic"), push().id("side")).as_bytes(), b"\xe4"].concat());
    a_denied_deletion_of_a_name_of_other_bytes: push().config("receive.denyDeletes", "true").shell("git -C server.git update-ref refs/heads/$(printf '\\344') topic").line(&[format!("{} {} refs/heads/", push().id("topic"), push().id("0")).as_bytes(), b"\xe4"].concat());
    a_funny_name_of_other_bytes: push().line(&[format!("{} {} refs/heads/", push().id("0"), push().id("main")).as_bytes(), b"\xe4..\xff"].concat());
    a_funny_name_too_long_to_be_told: push().create(&format!("refs/heads/{}..", "a".repeat(5000)), "main");
    a_denied_forced_update_to_another_root: push().config("receive.denyNonFastForwards", "true").update("refs/heads/main", "main", "alien");
    a_fast_forward_where_others_are_denied: push().config("receive.denyNonFastForwards", "true").update("refs/heads/main", "main", "many").update("refs/heads/old", "old", "topic");
    a_tag_moves_where_forced_updates_are_denied: push().config("receive.denyNonFastForwards", "true").update("refs/tags/v1", "v1", "v2");
    the_current_branch_is_refused: push().work_tree().update("refs/heads/main", "main", "next").own_words();
    the_current_branch_is_refused_by_setting: push().work_tree().config("receive.denyCurrentBranch", "true").update("refs/heads/main", "main", "next");
    the_current_branch_is_updated_with_a_warning: push().work_tree().config("receive.denyCurrentBranch", "warn").update("refs/heads/main", "main", "next");
    the_current_branch_is_updated: push().work_tree().config("receive.denyCurrentBranch", "false").update("refs/heads/main", "main", "next");
    the_work_tree_is_updated: push().work_tree().config("receive.denyCurrentBranch", "updateInstead").update("refs/heads/main", "main", "next");
    a_changed_work_tree_is_not_updated: push().work_tree().config("receive.denyCurrentBranch", "updateInstead").shell("echo changed >server.git/a").update("refs/heads/main", "main", "next");
    a_branch_of_a_linked_work_tree: push().server(&["worktree", "add", "-q", "../linked", "topic"]).update("refs/heads/topic", "topic", "next").own_words();
    a_branch_of_a_linked_work_tree_that_is_said_to_be_nowhere: push().server(&["worktree", "add", "-q", "../linked", "topic"]).shell(": >server.git/worktrees/linked/gitdir").update("refs/heads/topic", "topic", "next");
}

/// A script that makes the branch `made` in the client, of a commit with these parents and this tree.
fn commit(parents: &str, tree: &str) -> String {
    format!(
        "export GIT_AUTHOR_DATE GIT_COMMITTER_DATE; made=$(git -C client.git commit-tree -m made {parents} {tree}); git -C client.git update-ref refs/heads/made $made"
    )
}

/// The same, with a tree and a parent that may be something else.
fn odd_commit(tree: &str, parent: &str) -> String {
    format!(
        "cd client.git; made=$(printf 'tree %s\\nparent %s\\nauthor A <a@b> 1 +0000\\ncommitter A <a@b> 1 +0000\\n\\nodd\\n' \
         $(git rev-parse {tree} {parent}) | git hash-object -t commit -w --stdin --literally); git update-ref refs/tags/made $made"
    )
}

/// A push of this one object.
fn lone(push: Push, kind: &str, number: u8, content: &str) -> Push {
    let id = push.object_id(kind, content.as_bytes());
    push.create("refs/tags/new", &id).built(PackBuilder::new().entry(number, content.as_bytes())).own_words()
}

// Writing refs (§7)
cases! {
    writing;
    a_branch_is_created: push().create("refs/heads/new", "next");
    a_branch_is_updated: push().update("refs/heads/main", "main", "next");
    a_branch_is_deleted: push().delete("refs/heads/topic", "topic");
    a_packed_branch_is_updated: push().update("refs/heads/old", "old", "topic");
    a_packed_branch_is_deleted: push().delete("refs/heads/old", "old");
    a_tag_is_created: push().create("refs/tags/v2", "v2");
    a_tag_of_a_tree_and_one_of_a_blob: push().create("refs/tags/tree", "next^{tree}").create("refs/tags/blob", "next:dir/b");
    created_updated_and_deleted: push().create("refs/heads/new", "side").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic").delete("refs/heads/old", "old");
    created_updated_and_deleted_at_once: push().atomic().create("refs/heads/new", "side").update("refs/heads/main", "main", "next").delete("refs/heads/topic", "topic").delete("refs/heads/old", "old");
    at_once_with_a_ref_that_never_was_below_another: push().atomic().delete("refs/heads/main/x", "0").create("refs/heads/new", "next");
    at_once_with_a_ref_that_never_was_below_a_packed_one: push().atomic().delete("refs/heads/old/x", "0").create("refs/heads/new", "next").own_words();
    at_once_with_a_ref_that_never_was_above_another: push().atomic().server(&["update-ref", "refs/heads/d/x", "topic"]).delete("refs/heads/d", "0").create("refs/heads/new", "next");
    at_once_with_a_funny_name: push().atomic().update("refs/heads/main", "main", "next").create("refs/heads/.x", "next").create("refs/heads/new", "next").recording(&RECEIVE_HOOKS, "");
    at_once_with_a_hook_that_declines_one: push().atomic().create("refs/heads/a", "next").create("refs/heads/b", "next").create("refs/heads/c", "next").recording(&RECEIVE_HOOKS, "").hook("update", "test $1 != refs/heads/b");
    at_once_with_a_stale_value: push().atomic().update("refs/heads/main", "old", "next").create("refs/heads/new", "next").own_words();
    at_once_with_one_that_exists: push().atomic().create("refs/heads/main", "next").create("refs/heads/new", "next").own_words();
    at_once_with_a_clash_of_names: push().atomic().create("refs/heads/main/x", "next").create("refs/heads/new", "next").own_words();
    at_once_with_a_clash_of_names_within: push().atomic().create("refs/heads/a", "next").create("refs/heads/a/b", "next").own_words();
    at_once_with_a_name_twice: push().atomic().create("refs/heads/a", "next").create("refs/heads/a", "next2").own_words();
    at_once_on_a_chain_and_its_middle [files: "the other way round with the same outcome"]: push().atomic().server(&["symbolic-ref", "refs/heads/a", "refs/heads/b"]).server(&["symbolic-ref", "refs/heads/b", "refs/heads/main"]).update("refs/heads/a", "main", "next").update("refs/heads/b", "main", "next");
    at_once_with_many_and_one_whose_name_is_too_long: many_refs(push().atomic()).create(&format!("refs/heads/many/{}", "e".repeat(251)), "side").own_words();
    at_once_a_deletion_makes_no_room: push().atomic().delete("refs/heads/topic", "topic").create("refs/heads/topic/x", "next").own_words();
    deletion_before_creation_makes_room: push().delete("refs/heads/topic", "topic").create("refs/heads/topic/x", "next");
    deletion_of_a_packed_ref_makes_room: push().delete("refs/heads/old", "old").create("refs/heads/old/x", "next");
    the_last_ref_of_a_directory_makes_room: push().server(&["update-ref", "refs/heads/d/e/f", "topic"]).delete("refs/heads/d/e/f", "topic").create("refs/heads/d", "next");
    an_update_to_the_same_value: push().update("refs/heads/main", "main", "main").recording(&RECEIVE_HOOKS, "");
    many_refs_are_created: many_refs(push());
    many_refs_are_created_at_once: many_refs(push().atomic());
    a_missing_ref_is_deleted: push().delete("refs/heads/absent", "0").recording(&RECEIVE_HOOKS, "");
    a_missing_ref_is_deleted_among_others: push().delete("refs/heads/absent", "0").delete("refs/heads/topic", "topic").recording(&RECEIVE_HOOKS, "");
    a_ref_is_deleted_whatever_its_value: push().delete("refs/heads/topic", "0").recording(&RECEIVE_HOOKS, "");
    a_ref_whose_object_is_missing_is_deleted [usual: "a file below refs/ with an id written out"]: push().shell("echo 1234567890123456789012345678901234567890 >server.git/refs/heads/broken").delete("refs/heads/broken", "1234567890123456789012345678901234567890").recording(&RECEIVE_HOOKS, "");
    a_reflog_that_is_there_goes_on: push().server(&["-c", "core.logAllRefUpdates=true", "update-ref", "-m", "before", "refs/heads/logged", "main"]).update("refs/heads/logged", "main", "next").create("refs/heads/new", "next");
    head_logs_what_leaves_its_branch_as_it_is: push().config("core.logAllRefUpdates", "true").update("refs/heads/main", "main", "main");
    a_symref_logs_what_leaves_its_target_as_it_is: push().config("core.logAllRefUpdates", "true").server(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]).update("refs/heads/alias", "topic", "topic").recording(&["post-receive"], "");
    head_logs_that_its_unborn_branch_does_not_go: push().config("core.logAllRefUpdates", "true").server(&["symbolic-ref", "HEAD", "refs/heads/unborn"]).config("receive.denyDeleteCurrent", "ignore").delete("refs/heads/unborn", "0");
    reflogs_of_the_usual_refs: push().config("core.logAllRefUpdates", "true").update("refs/heads/main", "main", "next").create("refs/notes/x", "next").create("refs/tags/x", "next").create("refs/remotes/a/b", "next").create("refs/other/x", "next");
    reflogs_of_all_refs: push().config("core.logAllRefUpdates", "always").update("refs/heads/main", "main", "next").create("refs/other/x", "next");
    the_reflog_of_a_deleted_ref_goes: push().config("core.logAllRefUpdates", "true").server(&["update-ref", "-m", "before", "refs/heads/d/logged", "main"]).delete("refs/heads/d/logged", "main");
    the_reflog_of_head_in_a_work_tree: push().work_tree().config("receive.denyCurrentBranch", "ignore").update("refs/heads/main", "main", "next");
    a_reflog_in_a_name_with_a_full_stop: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_NAME", ", .A. Thor Jr.;").update("refs/heads/main", "main", "next");
    a_reflog_in_the_name_of_nobody: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_NAME", "Some <body>").env("GIT_COMMITTER_EMAIL", "").update("refs/heads/main", "main", "next");
    a_date_that_is_none: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "the day after").update("refs/heads/main", "main", "next");
    a_date_in_iso: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "2005-04-07T22:13:13+02:00").update("refs/heads/main", "main", "next");
    a_date_in_the_form_of_mail: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "Thu, 07 Apr 2005 22:13:13 +0200").update("refs/heads/main", "main", "next");
    a_date_that_is_none_where_nothing_is_logged [files: "git logs it"]: push().env("GIT_COMMITTER_DATE", "the day after").update("refs/heads/main", "main", "next").create("refs/heads/new", "next");
    a_date_without_a_time: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "2005-04-07").update("refs/heads/main", "main", "next");
    a_date_with_slashes: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "2005/04/07 22:13:13 EDT").update("refs/heads/main", "main", "next");
    a_date_where_the_server_is: push().config("core.logAllRefUpdates", "true").env("TZ", "America/New_York").env("GIT_COMMITTER_DATE", "2005-04-07 22:13:13").update("refs/heads/main", "main", "next");
    a_date_in_seconds_with_a_colon_in_the_zone: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "1112911993 +05:30").update("refs/heads/main", "main", "next");
    a_date_in_seconds_without_a_zone: push().config("core.logAllRefUpdates", "true").env("TZ", "Asia/Tokyo").env("GIT_COMMITTER_DATE", "@1112911993").update("refs/heads/main", "main", "next");
    a_date_of_too_few_seconds: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "5 +0000").update("refs/heads/main", "main", "next");
    a_date_of_few_seconds_with_a_sign: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "@5 +0100").update("refs/heads/main", "main", "next");
    a_date_in_seconds: push().config("core.logAllRefUpdates", "true").env("GIT_COMMITTER_DATE", "@1112911993 -0730").update("refs/heads/main", "main", "next");
    a_name_that_is_empty: push().config("core.logAllRefUpdates", "true").config("user.name", "Unused").env("GIT_COMMITTER_NAME", "").update("refs/heads/main", "main", "next");
    a_push_into_a_namespace: push().env("GIT_NAMESPACE", "a").create("refs/heads/new", "next").recording(&RECEIVE_HOOKS, "");
    a_deletion_in_a_namespace: push().server(&["update-ref", "refs/namespaces/a/refs/heads/in", "topic"]).env("GIT_NAMESPACE", "a").delete("refs/heads/in", "topic").recording(&RECEIVE_HOOKS, "");
    a_push_of_sha256 [usual: "it names its format"]: push_to("sha256", "files").delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "next").create("refs/heads/new", "side").recording(&RECEIVE_HOOKS, "");
    a_thin_pack_of_sha256 [usual: "it names its format"]: push_to("sha256", "files").config("receive.unpackLimit", "1").thin().update("refs/heads/main", "main", "many");
    sha256_without_saying_so [usual: "it names its format"]: push_to("sha256", "files").capabilities("report-status").update("refs/heads/main", "main", "next");
    a_push_into_a_reftable [usual: "it names its format"]: push_to("sha1", "reftable").update("refs/heads/main", "main", "next").create("refs/heads/new", "side").delete("refs/heads/topic", "topic");
    a_push_into_a_reftable_at_once [usual: "it names its format"]: push_to("sha1", "reftable").atomic().update("refs/heads/main", "main", "next").create("refs/heads/.x", "side");
}

/// 150 creations, which is more than fit into one small write.
fn many_refs(push: Push) -> Push {
    let id = push.id("side");
    (0..150).fold(push, |push, number| push.create(&format!("refs/heads/many/{number}"), &id))
}

// Hooks and what comes after (§8, §9)
cases! {
    hooks;
    what_hooks_see: push().delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "next").create("refs/tags/v2", "v2").recording(&RECEIVE_HOOKS, "echo hook $0 speaks; echo and complains >&2");
    what_hooks_see_of_a_name_of_other_bytes: push().objects(&["next", "next^{tree}", "next:dir", "next:dir/b", "next:numbers"]).line(&[format!("{} {} refs/heads/", push().id("0"), push().id("next")).as_bytes(), b"\xe4\xf6".as_slice()].concat()).recording(&RECEIVE_HOOKS, "").config("receive.updateServerInfo", "true");
    what_hooks_say_without_side_band: push().capabilities("report-status object-format=HASH").update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "echo hook $0 speaks; echo and complains >&2");
    what_hooks_see_of_deletions: push().delete("refs/heads/topic", "topic").recording(&RECEIVE_HOOKS, "");
    what_hooks_see_of_a_work_tree: push().work_tree().create("refs/heads/new", "next").recording(&RECEIVE_HOOKS, "");
    what_hooks_see_of_a_refused_ref: push().create("refs/heads/.x", "next").create("refs/heads/new", "next").recording(&RECEIVE_HOOKS, "");
    pre_receive_declines: push().update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "").hook("pre-receive", "echo no; exit 1");
    pre_receive_reads_the_new_objects: push().update("refs/heads/main", "main", "next").hook("pre-receive", "while read old new ref; do git log --format=%s $old..$new; git count-objects; done");
    update_declines_one: push().create("refs/heads/a", "next").create("refs/heads/b", "next").recording(&RECEIVE_HOOKS, "").hook("update", "echo asked for $1; test $1 != refs/heads/a");
    update_declines_all: push().create("refs/heads/a", "next").create("refs/heads/b", "next").recording(&RECEIVE_HOOKS, "").hook("update", "exit 3");
    post_hooks_that_fail: push().update("refs/heads/main", "main", "next").hook("post-receive", "cat; exit 1").hook("post-update", "echo $*; exit 1");
    a_hook_that_is_killed: push().update("refs/heads/main", "main", "next").hook("pre-receive", "kill -9 $$");
    an_update_hook_that_is_killed: push().update("refs/heads/main", "main", "next").hook("update", "kill -15 $$");
    a_hook_that_cannot_be_run: push().update("refs/heads/main", "main", "next").shell("mkdir server.git/hooks; echo '#!/nowhere' >server.git/hooks/pre-receive; chmod +x server.git/hooks/pre-receive").own_words();
    a_hook_that_is_not_executable: push().update("refs/heads/main", "main", "next").hook("pre-receive", "exit 1").hook("update", "exit 1").shell("chmod -x server.git/hooks/*").own_words();
    a_hook_that_is_not_executable_without_advice: push().config("advice.ignoredHook", "false").update("refs/heads/main", "main", "next").hook("pre-receive", "exit 1").shell("chmod -x server.git/hooks/*");
    a_hook_without_an_interpreter: push().update("refs/heads/main", "main", "next").shell("mkdir server.git/hooks; echo 'echo run by the shell; exit 1' >server.git/hooks/pre-receive; chmod +x server.git/hooks/pre-receive");
    a_hook_that_reads_nothing: many_refs(push()).hook("pre-receive", "exit 0").hook("post-receive", "exit 0");
    a_hook_that_says_much: push().update("refs/heads/main", "main", "next").hook("pre-receive", "cat >/dev/null; i=0; while test $i -lt 3000; do echo line $i of a long story that a hook tells; i=$((i+1)); done");
    a_hook_that_speaks_without_a_newline: push().update("refs/heads/main", "main", "next").hook("pre-receive", "printf 'no newline'").hook("post-receive", "printf '\\001\\377 bytes'");
    hooks_kept_where_they_always_are: push().config("core.hooksPath", ".//hooks").update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "").hook("post-update", "kill -9 $$");
    hooks_kept_elsewhere: push().config("core.hooksPath", "../hooks").update("refs/heads/main", "main", "next").recording(&RECEIVE_HOOKS, "").shell("mv server.git/hooks hooks");
    hooks_and_an_exec_path: push().update("refs/heads/main", "main", "next").recording(&["pre-receive", "post-update"], "").env("GIT_EXEC_PATH", "/usr/local/libexec/git-core");
    server_info_is_updated: push().config("receive.updateServerInfo", "true").update("refs/heads/main", "main", "many").create("refs/tags/v2", "v2");
    server_info_that_cannot_be_written: push().config("receive.updateServerInfo", "true").shell("rm -rf server.git/info; : >server.git/info").update("refs/heads/main", "main", "next").own_words();
    server_info_is_updated_after_a_refusal: push().config("receive.updateServerInfo", "true").create("refs/heads/.x", "next");
    maintenance_runs_in_the_foreground: push().config("receive.autogc", "true").config("gc.auto", "1").config("maintenance.autoDetach", "false").recording(&["pre-auto-gc"], "echo shall it be; exit 1").update("refs/heads/main", "main", "many");
    maintenance_is_switched_off: push().config("receive.autogc", "false").config("gc.auto", "1").config("maintenance.autoDetach", "false").recording(&["pre-auto-gc"], "echo shall it be; exit 1").update("refs/heads/main", "main", "many");
}

/// A certificate around the commands so far, which a gpg that knows everybody finds good, and hooks that write down what they see.
fn signed(push: Push) -> Push {
    let gpg = "printf '#!/bin/sh\\ncat >/dev/null; echo \"[GNUPG:] GOODSIG 12 A U Thor\"\\n' >gpg; chmod +x gpg";
    let push = push.shell(gpg).shell("git -C server.git config gpg.program $PWD/gpg").recording(&RECEIVE_HOOKS, "");
    push.certified("certificate version 0.1\n", |_| "-----BEGIN PGP SIGNATURE-----\n".into())
}

// Who signed it (§10); a push that is refused whole leaves a certificate behind in git, and so is not here
cases! {
    certificates;
    a_signed_push: signed(push().delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "next").create("refs/tags/v2", "v2"));
    a_signed_push_of_many_objects: signed(push().config("receive.unpackLimit", "1").create("refs/heads/new", "many"));
    a_signed_push_of_checked_objects: signed(push().config("receive.fsckObjects", "true").create("refs/heads/new", "many"));
    a_signed_push_at_once: signed(push().atomic().delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "next"));
    a_signed_push_of_which_a_part_is_refused: signed(push().create("refs/heads/.x", "next").update("refs/heads/main", "main", "next"));
    a_signed_push_of_which_the_update_hook_declines_a_part: signed(push().create("refs/heads/a", "next").create("refs/heads/b", "next")).hook("update", "test $1 != refs/heads/a");
    a_signed_push_without_side_band: signed(push().capabilities("report-status object-format=HASH").update("refs/heads/main", "main", "next"));
    a_signed_push_without_a_report: signed(push().capabilities("object-format=HASH").update("refs/heads/main", "main", "next"));
    a_signed_request_without_state: signed(push().argument("--stateless-rpc").update("refs/heads/main", "main", "next"));
    a_signed_push_into_a_namespace: signed(push().env("GIT_NAMESPACE", "a").create("refs/heads/new", "next"));
    a_signed_push_to_a_work_tree: signed(push().work_tree().create("refs/heads/new", "next"));
    a_signed_push_of_which_proc_receive_is_not_told: signed(push().config("receive.procReceiveRefs", "refs/for").create("refs/for/main", "next").create("refs/heads/new", "next")).hook("proc-receive", "env | grep -c ^GIT_PUSH >>../seen; exit 1").own_words();
    a_certificate_of_another_format: push().capabilities("report-status object-format=md5").update("refs/heads/main", "main", "next").certified("x\n", |_| String::new());
    a_certificate_that_is_malformed: push().update("refs/heads/main", "main", "next").certificate(b"certificate version 0.1\n");
}

/// A commit whose author has no e-mail address, and a tree with an entry `.git`, as branches of the client.
const UNSOUND: &str = "
    tree=$(git -C client.git rev-parse next^{tree})
    bad=$(printf 'tree %s\\nparent %s\\nauthor Nobody 1700000000 +0000\\ncommitter N <n@example.org> 1700000000 +0000\\n\\nbad\\n' \\
        $tree $(git -C client.git rev-parse main) | git -C client.git hash-object -t commit -w --literally --stdin)
    git -C client.git update-ref refs/heads/bad $bad
    blob=$(echo evil | git -C client.git hash-object -w --stdin)
    hidden=$(printf '100644 blob %s\\t.git\\n' $blob | git -C client.git mktree)
    git -C client.git update-ref refs/heads/dotgit $(git -C client.git commit-tree -m dotgit -p main $hidden)";

// What each object must be (§5)
cases! {
    objects;
    sound_objects_are_let_in: push().config("receive.fsckObjects", "true").update("refs/heads/main", "main", "next");
    many_sound_objects_are_let_in: push().config("transfer.fsckObjects", "true").create("refs/heads/new", "many");
    a_commit_without_an_email_address: push().shell(UNSOUND).config("receive.fsckObjects", "true").create("refs/heads/bad", "bad");
    one_in_a_kept_pack: push().shell(UNSOUND).config("receive.fsckObjects", "true").config("receive.unpackLimit", "1").create("refs/heads/bad", "bad").own_words();
    a_tree_with_a_repository_in_it: push().shell(UNSOUND).config("transfer.fsckObjects", "true").create("refs/heads/bad", "dotgit");
    it_is_let_in_where_nobody_asked: push().shell(UNSOUND).create("refs/heads/bad", "bad");
    receive_wins_over_transfer: push().shell(UNSOUND).config("transfer.fsckObjects", "true").config("receive.fsckObjects", "false").create("refs/heads/bad", "bad");
    a_finding_that_is_a_warning: push().shell(UNSOUND).config("receive.fsckObjects", "true").config("receive.fsck.missingEmail", "warn").create("refs/heads/bad", "bad");
    a_finding_that_is_ignored: push().shell(UNSOUND).config("receive.fsckObjects", "true").config("receive.fsck.MISSINGEMAIL", "ignore").create("refs/heads/bad", "bad");
    settings_of_git_fsck_do_not_count: push().shell(UNSOUND).config("receive.fsckObjects", "true").config("fsck.missingEmail", "ignore").create("refs/heads/bad", "bad");
    an_object_on_the_skip_list: push().shell(UNSOUND).shell("git -C client.git rev-parse bad >server.git/skip").config("receive.fsckObjects", "true").config("receive.fsck.skipList", "skip").create("refs/heads/bad", "bad");
    a_skip_list_that_is_not_there: push().config("receive.fsckObjects", "true").config("receive.fsck.skipList", "nowhere").update("refs/heads/main", "main", "next");
    a_finding_of_no_known_name: push().config("receive.fsckObjects", "true").config("receive.fsck.unheardOf", "warn").update("refs/heads/main", "main", "next");
    a_severity_of_no_known_name: push().config("receive.fsck.badDate", "grave").raw(b"0000");
    a_finding_that_cannot_be_lowered: push().config("receive.fsckObjects", "true").config("receive.fsck.nulInHeader", "warn").update("refs/heads/main", "main", "next");
    a_checked_pack_that_is_too_large: push().config("receive.fsckObjects", "true").config("receive.maxInputSize", "100").update("refs/heads/main", "main", "next");
    a_checked_pack_that_is_thin: push().thin().config("receive.fsckObjects", "true").config("receive.unpackLimit", "1").update("refs/heads/main", "main", "next");
    a_checked_pack_without_side_band: push().shell(UNSOUND).config("receive.fsckObjects", "true").capabilities("report-status").create("refs/heads/bad", "bad");
    a_checked_pack_that_is_damaged: push().config("receive.fsckObjects", "true").update("refs/heads/main", "main", "next").damaged(|pack| pack[20] ^= 1);
    a_checked_pack_of_sha256 [usual: "it names its format"]: push_to("sha256", "files").config("receive.fsckObjects", "true").update("refs/heads/main", "main", "next");
    what_hooks_see_of_a_checked_pack: push().config("receive.fsckObjects", "true").config("receive.unpackLimit", "1").recording(&["pre-receive"], "").update("refs/heads/main", "main", "next");
}
