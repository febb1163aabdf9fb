//! How much memory hostile packs cost. The only test of its process, whose peak is what is looked at.

use std::io::Write;

use gix::zlib::{Compression, stream::deflate};
use support::{
    intake::Server,
    packs::{BLOB, OFS_DELTA, PackBuilder, delta, seal},
    scene::Scene,
};

pub mod support;

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") / 1024
}

/// `size` zeros, compressed a thousandfold.
fn zeros(size: usize) -> Vec<u8> {
    let mut out = deflate::Write::new(Vec::new(), Compression::BEST_SPEED);
    (0..size >> 20).for_each(|_| out.write_all(&[0; 1 << 20]).expect("in memory"));
    out.flush().expect("in memory");
    out.into_inner()
}

/// A pack whose one entry has this header and this zlib stream.
fn pack(entry: &[u8], stream: &[u8]) -> Vec<u8> {
    let mut pack = [b"PACK\0\0\0\x02\0\0\0\x01", entry, stream].concat();
    seal(&mut pack);
    pack
}

/// The header of an entry.
fn header(kind: u8, mut size: u64) -> Vec<u8> {
    let mut header = vec![kind << 4 | (size & 15) as u8];
    size >>= 4;
    while size > 0 {
        *header.last_mut().expect("not empty") |= 0x80;
        header.push((size & 0x7f) as u8);
        size >>= 7;
    }
    header
}

#[test]
fn bombs_and_false_promises_cost_no_memory() {
    let scene = Scene::new("sha1", "files");
    let mut server = Server::new(&scene.git_dir(), gix::hash::Kind::Sha1);
    let bomb = zeros(400 << 20);
    let known = scene.feed("server.git", &["hash-object", "-w", "--stdin"], b"known");
    let known = gix::ObjectId::from_hex(known.trim_ascii()).expect("an id");
    let packs = [
        ("a bomb that claims to be small", pack(&header(BLOB, 100), &bomb), false),
        ("a bomb that claims to be 4 GiB", pack(&header(BLOB, 4 << 30), &bomb), false),
        ("a delta that is a bomb", pack(&[&header(7, 400 << 20)[..], &[7; 20]].concat(), &bomb), false),
        (
            "a delta to something known that is a bomb",
            pack(&[&header(7, 400 << 20)[..], known.as_slice()].concat(), &bomb),
            false,
        ),
        ("a claim of 4 GiB", pack(&header(BLOB, 4 << 30), b"\x78\x01"), false),
        ("a claim of 4 billion objects", PackBuilder::new().entry(BLOB, b"x").finish_claiming(2, u32::MAX), false),
        (
            "a delta that promises 300 MB",
            PackBuilder::new().entry(BLOB, b"hello").ofs_delta(17, &delta(5, 300 << 20, b"\x90\x05")).finish(),
            false,
        ),
        (
            "a delta that claims to be 300 MB",
            PackBuilder::new().entry(BLOB, b"hello").entry_claiming(OFS_DELTA, 300 << 20, &[17], b"\x05\x05").finish(),
            false,
        ),
        ("a large blob", pack(&header(BLOB, 400 << 20), &bomb), true),
    ];
    drop(bomb);
    let before = server.everything();
    let start = peak();
    for limit in [0, u64::MAX] {
        server.config.unpack_limit = limit;
        for (what, pack, sound) in &packs {
            let taken = server.take(&mut &pack[..]);
            assert_eq!(taken.result.is_ok(), *sound, "{what}: {}", taken.told);
            drop(taken);
            assert!(peak() < start + 32, "{what} took {} MiB", peak() - start);
        }
    }
    assert!(server.everything() == before);
}
