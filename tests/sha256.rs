//! Pushes into SHA-256 repositories: the stories of tests/differential.rs in which the length or kind of hash matters.

pub mod support;

use gix::hash::Kind::Sha256;
use support::{
    packs::{BLOB, PackBuilder, delta},
    push::{Push, push_to},
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

fn push() -> Push {
    push_to("sha256", "files")
}

// Advertisement and request
cases! {
    advertising_alone: push().argument("--http-backend-info-refs").raw(b"");
    an_empty_repository: push().shell("rm -rf server.git/packed-refs server.git/refs/heads/*").create("refs/heads/main", "main");
    a_loose_ref_that_is_none: push().shell("echo garbage >server.git/refs/heads/broken").raw(b"0000");
    a_loose_ref_with_a_shorter_hash: push().shell("echo 1234567890123456789012345678901234567890 >server.git/refs/heads/broken").raw(b"0000");
    a_ref_whose_object_is_missing: push().shell("printf %064d 7 >server.git/refs/heads/broken").raw(b"0000");
    what_an_alternate_has: push().shell("echo ../../client.git/objects >server.git/objects/info/alternates").raw(b"0000");
    a_shallow_repository: push().shell("git -C server.git rev-parse main~1 >server.git/shallow").update("refs/heads/main", "main", "next");
    a_command_with_shorter_ids: push().line(format!("{0} {0} refs/heads/x", "1".repeat(40)).as_bytes());
    another_object_format: push().capabilities("report-status object-format=sha1").update("refs/heads/main", "main", "next");
}

// Taking in objects
cases! {
    few_objects_become_loose: push().update("refs/heads/main", "main", "next2");
    many_objects_become_a_pack: push().update("refs/heads/main", "main", "many");
    no_reverse_index: push().config("pack.writeReverseIndex", "false").update("refs/heads/main", "main", "many");
    an_empty_pack_for_objects_that_are_there: push().create("refs/heads/new", "topic");
    an_empty_pack_that_is_kept: push().config("receive.unpackLimit", "1").create("refs/heads/new", "topic");
    a_thin_pack_unpacked: push().thin().update("refs/heads/main", "main", "next");
    a_thin_pack_completed: push().config("receive.unpackLimit", "1").thin().update("refs/heads/main", "main", "next");
    a_thin_pack_of_many: push().thin().update("refs/heads/main", "main", "many");
    objects_that_are_there_already: push().objects(&["main", "main^{tree}", "main:a"]).update("refs/heads/topic", "topic", "main");
    every_blob_is_a_big_file: push().config("core.bigFileThreshold", "1").config("receive.unpackLimit", "1").update("refs/heads/main", "main", "next");
    an_alternate_has_the_objects: push().shell("echo ../../client.git/objects >server.git/objects/info/alternates").objects(&[]).update("refs/heads/main", "main", "next");
    a_pack_that_ends_before_its_trailer: push().update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(pack.len() - 32));
    a_trailer_of_the_length_of_sha1: push().update("refs/heads/main", "main", "next").damaged(|pack| pack.truncate(pack.len() - 12));
    a_bit_flipped_in_the_trailer: push().update("refs/heads/main", "main", "next").damaged(|pack| { let last = pack.len() - 1; pack[last] ^= 4; });
    a_bit_flipped_in_the_trailer_of_a_large_pack: push().update("refs/heads/main", "main", "many").damaged(|pack| { let last = pack.len() - 1; pack[last] ^= 4; });
    a_bit_flipped_in_an_entry_of_a_large_pack: push().update("refs/heads/main", "main", "many").damaged(|pack| { let middle = pack.len() / 2; pack[middle] ^= 4; });
    a_pack_sealed_with_sha1: push().update("refs/heads/main", "main", "next").pack(PackBuilder::new().entry(BLOB, b"four").finish()).own_words();
    a_delta_without_its_base: push().update("refs/heads/main", "main", "next").pack(PackBuilder::new().ref_delta(&[7; 32], &delta(4, 4, b"\x04four")).finish_with(Sha256)).own_words();
    a_delta_without_its_base_in_a_kept_pack: push().config("receive.unpackLimit", "1").update("refs/heads/main", "main", "next").pack(PackBuilder::new().ref_delta(&[7; 32], &delta(4, 4, b"\x04four")).finish_with(Sha256)).own_words();
    checked_objects: push().config("receive.fsckObjects", "true").update("refs/heads/main", "main", "next").create("refs/tags/v2", "v2");
    many_checked_objects: push().config("receive.fsckObjects", "true").update("refs/heads/main", "main", "many");
}

// Checks and hooks
cases! {
    a_missing_tree: push().objects(&["next"]).update("refs/heads/main", "main", "next");
    a_missing_blob: push().objects(&["next", "next^{tree}", "next:dir", "next:numbers"]).update("refs/heads/main", "main", "next");
    a_missing_parent: push().objects(&["next2", "next2^{tree}", "next2:new", "next2:new/deep", "next2:new/deep/file", "next^{tree}", "next:dir", "next:dir/b", "next:numbers"]).update("refs/heads/main", "main", "next2");
    a_missing_tag_target: push().objects(&["v2"]).create("refs/tags/v2", "v2");
    an_object_that_is_there_with_its_history: push().server(&["update-ref", "-d", "refs/heads/topic"]).objects(&[]).create("refs/heads/new", "topic");
    history_in_a_commit_graph: push().server(&["commit-graph", "write", "--reachable"]).config("receive.denyNonFastForwards", "true").update("refs/heads/main", "main", "many").update("refs/heads/old", "old", "topic").create("refs/heads/new", "topic~1");
    objects_in_a_pack_with_a_multi_pack_index: push().server(&["repack", "-ad", "--write-midx"]).thin().update("refs/heads/main", "main", "many").create("refs/heads/new", "topic~1");
    a_denied_forced_update: push().config("receive.denyNonFastForwards", "true").update("refs/heads/main", "main", "side").update("refs/heads/topic", "topic", "main").own_words();
    tags_of_other_things: push().create("refs/tags/tree", "next^{tree}").create("refs/tags/blob", "next:dir/b").create("refs/tags/v2", "v2");
    what_hooks_see: push().delete("refs/heads/topic", "topic").update("refs/heads/main", "main", "next").create("refs/tags/v2", "v2").recording(&["pre-receive", "update", "post-receive", "post-update"], "");
    server_info: push().config("receive.updateServerInfo", "true").update("refs/heads/main", "main", "many").create("refs/tags/v2", "v2");
    the_logs: push().config("core.logAllRefUpdates", "always").update("refs/heads/main", "main", "next").create("refs/tags/v2", "v2").delete("refs/heads/topic", "topic");
    packed_refs_with_a_tag: (0..120).fold(push().create("refs/tags/v2", "v2"), |push, number| push.create(&format!("refs/heads/many/{number}"), "side"));
    the_work_tree_is_updated: push().work_tree().config("receive.denyCurrentBranch", "updateInstead").update("refs/heads/main", "main", "next");
}
