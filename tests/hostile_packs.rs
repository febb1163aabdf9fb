//! Packs that are not what they claim to be: refused with a reason, in little memory, and nothing is left of them.
//! The installed git judges the same bytes, and the verdicts are compared.

use support::{
    intake::{Server, git_takes},
    packs::{BLOB, COMMIT, PackBuilder, REF_DELTA, TREE, delta, seal, stored},
    scene::Scene,
};

pub mod support;

/// The repository that hostile packs are pushed to, and one for git to try them on.
struct Trial {
    scene: Scene,
    server: Server,
}

impl Trial {
    fn new() -> Trial {
        let scene = Scene::new("sha1", "files");
        let server = Server::new(&scene.git_dir(), gix::hash::Kind::Sha1);
        scene.save();
        Trial { scene, server }
    }

    /// What our program says about `pack`, kept as a pack and as loose objects; the repository stays as it was.
    fn verdicts(&mut self, pack: &[u8]) -> Vec<(bool, String)> {
        let before = self.server.everything();
        let mut verdicts = Vec::new();
        for (limit, reason) in [(0, "index-pack abnormal exit"), (u64::MAX, "unpack-objects abnormal exit")] {
            self.server.config.unpack_limit = limit;
            let taken = self.server.take(&mut &pack[..]);
            if taken.result.is_err() && pack.len() >= 12 && pack.starts_with(b"PACK\0\0\0\x02") {
                assert_eq!(taken.reason(), reason);
                assert!(taken.told.contains("fatal: ") && taken.told.ends_with('\n'), "{:?}", taken.told);
            }
            verdicts.push((taken.result.is_ok(), taken.told.clone()));
            drop(taken);
        }
        assert!(self.server.everything() == before, "something was left behind");
        verdicts
    }

    /// Whether git takes it, by both of its programs.
    fn git_verdicts(&self, pack: &[u8]) -> Vec<bool> {
        let verdicts = [&["index-pack", "--stdin", "--fix-thin"][..], &["unpack-objects", "-q"]]
            .map(|arguments| git_takes(&self.scene.git_dir(), arguments, pack));
        if verdicts.contains(&true) {
            self.scene.restore();
        }
        verdicts.to_vec()
    }

    fn refused(&mut self, what: &str, pack: &[u8]) {
        for (taken, told) in self.verdicts(pack) {
            assert!(!taken, "{what} was taken in: {told}");
        }
    }

    /// Refused by ours, and by git.
    fn refused_by_both(&mut self, what: &str, pack: &[u8]) {
        self.refused(what, pack);
        assert_eq!(self.git_verdicts(pack), [false, false], "git about {what}");
    }

    fn as_git_does(&mut self, what: &str, pack: &[u8]) {
        let ours = self.verdicts(pack);
        let git = self.git_verdicts(pack);
        let verdicts = ours.iter().map(|(taken, _)| *taken).collect::<Vec<_>>();
        assert_eq!(verdicts, git, "{what}: {ours:?}");
    }
}

/// A small pack with an entry of every kind.
fn sound_pack() -> Vec<u8> {
    let base = b"hello world, hello world, hello world";
    let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, base).unwrap();
    let made = delta(base.len() as u64, 12, b"\x90\x05\x07, there");
    let tree = [b"100644 a\0".as_slice(), id.as_slice()].concat();
    PackBuilder::new()
        .entry(BLOB, base)
        .ofs_delta(base.len() as u64 + 13, &made)
        .ref_delta(id.as_slice(), &made)
        .entry(TREE, &tree)
        .finish()
}

#[test]
fn a_sound_pack_is_taken_in() {
    let mut trial = Trial::new();
    let verdicts = trial.verdicts(&sound_pack());
    assert!(verdicts.iter().all(|(taken, _)| *taken), "{verdicts:?}");
    assert_eq!(trial.git_verdicts(&sound_pack()), [true, true]);
}

#[test]
fn a_pack_cut_off_at_any_byte_is_refused() {
    let mut trial = Trial::new();
    let pack = sound_pack();
    for end in 0..pack.len() {
        trial.refused(&format!("{end} bytes"), &pack[..end]);
    }
    trial.server.config.unpack_limit = 0;
    assert_eq!(trial.server.take(&mut &pack[..11]).reason(), "eof before pack header was fully read");
    let taken = trial.server.take(&mut &pack[..50]);
    assert_eq!(taken.told, "fatal: early EOF\n");
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let mut trial = Trial::new();
    let pack = sound_pack();
    for at in 0..pack.len() {
        let mut flipped = pack.clone();
        flipped[at] ^= 1 << (at % 8);
        trial.refused(&format!("a bit flipped at {at}"), &flipped);
    }
    let flipped = [&pack[..pack.len() - 1], &[pack[pack.len() - 1] ^ 1]].concat();
    trial.server.config.unpack_limit = 0;
    assert_eq!(trial.server.take(&mut &flipped[..]).told, "fatal: pack is corrupted (SHA1 mismatch)\n");
}

#[test]
fn a_flipped_bit_under_a_right_trailer_is_judged_as_by_git() {
    let mut trial = Trial::new();
    let pack = sound_pack();
    let body = pack.len() - 20;
    for at in 0..body {
        let mut flipped = pack[..body].to_vec();
        flipped[at] ^= 1 << (at % 8);
        seal(&mut flipped);
        // git's index-pack is told that the header was looked at, which receive-pack does before it starts it.
        if at >= 12 {
            trial.as_git_does(&format!("a bit flipped at {at}"), &flipped);
        }
    }
}

#[test]
fn the_header_is_looked_at_first() {
    let trial = Trial::new();
    let say = |bytes: &[u8]| trial.server.take(&mut &bytes[..]).reason();
    assert_eq!(say(b""), "eof before pack header was fully read");
    assert_eq!(say(b"KCAP\0\0\0\x02\0\0\0\0"), "protocol error (pack signature mismatch detected)");
    assert_eq!(say(b"PACK\0\0\0\x04\0\0\0\0"), "protocol error (pack version unsupported)");
    assert_eq!(say(&PackBuilder::new().finish_claiming(3, 0)), "ok");
}

#[test]
fn a_wrong_count_is_refused() {
    let mut trial = Trial::new();
    for claimed in [0, 1, 3, 150, u32::MAX] {
        let pack = PackBuilder::new().entry(BLOB, b"one").entry(BLOB, b"two").finish_claiming(2, claimed);
        trial.refused_by_both(&format!("two entries that claim to be {claimed}"), &pack);
    }
}

#[test]
fn what_follows_the_trailer_is_refused_when_it_is_seen() {
    let mut trial = Trial::new();
    let pack = [&sound_pack()[..], b"more"].concat();
    for (taken, told) in trial.verdicts(&pack) {
        assert_eq!((taken, told.ends_with("fatal: pack has junk at the end\n")), (false, true), "{told}");
    }
}

#[test]
fn deltas_without_a_base_are_refused() {
    let mut trial = Trial::new();
    let nowhere = [7; 20];
    let made = delta(5, 5, b"\x90\x05");
    trial.refused_by_both("a base that is nowhere", &PackBuilder::new().ref_delta(&nowhere, &made).finish());
    let more = PackBuilder::new().entry(BLOB, b"hello");
    trial.refused_by_both("a base between two entries", &more.ofs_delta(11, &made).finish());
    for distance in [0, 1, 12, 13, 1 << 20, 1 << 40] {
        let pack = PackBuilder::new().ofs_delta(distance, &made).finish();
        trial.refused_by_both(&format!("a base {distance} bytes before the first entry"), &pack);
    }
}

#[test]
fn deltas_in_a_circle_are_refused() {
    let mut trial = Trial::new();
    let id = |content: &[u8]| {
        gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, content).unwrap().as_slice().to_vec()
    };
    let (a, b) = (id(b"hello"), id(b"world"));
    let to_b = delta(5, 5, b"\x05world");
    let to_a = delta(5, 5, b"\x05hello");
    trial.refused_by_both(
        "two that need each other",
        &PackBuilder::new().ref_delta(&a, &to_b).ref_delta(&b, &to_a).finish(),
    );
    trial.refused_by_both("one that needs itself", &PackBuilder::new().ref_delta(&a, &to_a).finish());
    // With the same object beside it each can be made; but one who looks a base up by its id can go in circles.
    let whole = |content: &[u8]| PackBuilder::new().entry(BLOB, content);
    trial.as_git_does("one beside itself", &whole(b"hello").ref_delta(&a, &to_a).finish());
    trial.as_git_does("two beside one of them", &whole(b"hello").ref_delta(&a, &to_b).ref_delta(&b, &to_a).finish());
    trial.as_git_does("a base twice", &whole(b"hello").entry(BLOB, b"hello").ref_delta(&a, &to_b).finish());
    trial.as_git_does("a result twice", &whole(b"hello").ref_delta(&a, &to_b).ref_delta(&a, &to_b).finish());
    trial.scene.feed("server.git", &["hash-object", "-w", "--stdin"], b"hello");
    trial.scene.save();
    trial.as_git_does("one that is there", &PackBuilder::new().ref_delta(&a, &to_a).finish());
    trial.as_git_does("two, one is there", &PackBuilder::new().ref_delta(&a, &to_b).ref_delta(&b, &to_a).finish());
}

#[test]
fn bad_deltas_are_refused() {
    let mut trial = Trial::new();
    for (what, bad) in [
        ("another base size", delta(6, 5, b"\x90\x05")),
        ("a result that is too short", delta(5, 6, b"\x90\x05")),
        ("a result that is too long", delta(5, 4, b"\x90\x05")),
        ("a promise of 300 MB", delta(5, 300 << 20, b"\x90\x05")),
        ("a promise of 2^62 bytes", delta(5, 1 << 62, b"\x90\x05")),
        ("a copy from behind the base", delta(5, 5, b"\x91\x01\x05")),
        ("an instruction cut off", delta(5, 5, b"\x90")),
        ("an insertion cut off", delta(5, 5, b"\x05hell")),
        ("the reserved instruction", delta(5, 5, b"\x00\x90\x05")),
        ("nothing at all", Vec::new()),
        ("sizes alone", delta(5, 0, b"")),
        ("sizes without end", vec![0xff; 30]),
    ] {
        let pack = PackBuilder::new().entry(BLOB, b"hello").ofs_delta(5 + 12, &bad).finish();
        trial.refused_by_both(what, &pack);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let mut trial = Trial::new();
    for claimed in [0, 4, 6, 1 << 20, 4 << 30, u64::MAX] {
        for kind in [COMMIT, BLOB] {
            let pack = PackBuilder::new().entry_claiming(kind, claimed, &[], b"hello").finish();
            trial.refused_by_both(&format!("5 bytes that claim to be {claimed}"), &pack);
        }
        let made = delta(5, 5, b"\x90\x05");
        let pack = PackBuilder::new().entry_claiming(REF_DELTA, claimed, &[7; 20], &made).finish();
        trial.refused_by_both(&format!("a delta of {} bytes that claims to be {claimed}", made.len()), &pack);
    }
    // More bits than a size has.
    let pack = PackBuilder::new().bytes(&[&[0xbf; 12][..], &[0x7f], &stored(b"hello")].concat()).finish();
    trial.refused("a size of more than 64 bits", &pack);
}

#[test]
fn entries_of_no_kind_are_refused() {
    let mut trial = Trial::new();
    for kind in [0, 5] {
        trial.refused_by_both(&format!("kind {kind}"), &PackBuilder::new().entry(kind, b"hello").finish());
    }
    trial.refused_by_both("no zlib stream", &PackBuilder::new().bytes(b"\x35hello").finish());
}

#[test]
fn duplicates_are_no_harm() {
    let mut trial = Trial::new();
    trial.as_git_does("twice the same", &PackBuilder::new().entry(BLOB, b"hello").entry(BLOB, b"hello").finish());
}
