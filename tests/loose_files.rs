//! What is in the files of loose objects: any git can read them, and they are compressed as the configuration says.

use std::{fs, path::PathBuf};

use gix::{ObjectId, objs::Kind};
use support::{
    intake::Server,
    packs::{BLOB, PackBuilder},
    scene::Scene,
};

pub mod support;

/// A block of a disk, in bytes.
const BLOCK: usize = 4096;

/// What a stored file has beside the content of a blob of four digits: the stream's own bytes, and `blob 1234`.
const AROUND: usize = 11 + 10;

/// Text of `size` bytes, that compresses well.
fn text(size: usize) -> Vec<u8> {
    b"once upon a time ".iter().copied().cycle().take(size).collect()
}

/// Push `blobs`: their ids, and the files that they are in.
fn push(scene: &Scene, server: &Server, blobs: &[Vec<u8>]) -> Vec<(ObjectId, PathBuf)> {
    let pack = blobs.iter().fold(PackBuilder::new(), |pack, blob| pack.entry(BLOB, blob));
    let taken = server.take(&mut &pack.finish_with(server.repository.hash)[..]);
    assert_eq!(taken.reason(), "ok", "{}", taken.told);
    drop(taken.quarantine.migrate().expect("moved"));
    let id = |blob: &Vec<u8>| gix::objs::compute_hash(server.repository.hash, Kind::Blob, blob).expect("hashed");
    let file = |id: ObjectId| {
        let hex = id.to_string();
        (id, scene.git_dir().join("objects").join(&hex[..2]).join(&hex[2..]))
    };
    blobs.iter().map(id).map(file).collect()
}

#[test]
fn of_every_size_around_a_block_they_are_read_by_git_and_gix() {
    for hash in [gix::hash::Kind::Sha1, gix::hash::Kind::Sha256] {
        let scene = Scene::new(&hash.to_string(), "files");
        let server = Server::new(&scene.git_dir(), hash);
        let sizes = [0, 1, 2, 9, 10, 99, 100, 999, 1000].into_iter().chain(BLOCK - 50..BLOCK + 50).chain([70_000]);
        let blobs: Vec<_> = sizes.map(text).collect();
        let files: Vec<_> = blobs.chunks(50).flat_map(|blobs| push(&scene, &server, blobs)).collect();
        let gix = gix::open(scene.git_dir()).expect("opened");
        for (blob, (id, file)) in blobs.iter().zip(files) {
            let size = fs::metadata(&file).expect("a file").len() as usize;
            let is_stored = size >= blob.len();
            assert!(size <= BLOCK && is_stored == (blob.len() <= BLOCK - AROUND), "{} bytes in {size}", blob.len());
            assert_eq!(gix.find_object(id).expect("found").data, *blob);
            let read = scene.git("server.git", &["cat-file", "blob", &id.to_string()]);
            assert!(read.as_bytes() == blob, "{} bytes", blob.len());
        }
        scene.git("server.git", &["fsck", "--full", "--strict"]);
        scene.git("server.git", &["-c", "core.looseCompression=9", "gc", "--quiet", "--prune=now"]);
    }
}

#[test]
fn what_is_stored_is_what_git_writes_without_compression() {
    let scene = Scene::new("sha1", "files");
    let blobs: Vec<_> = [0, 1, 500, BLOCK - AROUND].map(text).into();
    for (blob, (_, file)) in blobs.iter().zip(push(&scene, &sha1_server(&scene), &blobs)) {
        let ours = fs::read(&file).expect("read");
        fs::remove_file(&file).expect("removed");
        scene.feed("server.git", &["-c", "core.looseCompression=0", "hash-object", "-w", "--stdin"], blob);
        assert!(fs::read(&file).expect("written") == ours, "{} bytes", blob.len());
    }
}

#[test]
fn a_configured_level_is_honoured() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    for (number, (level, is_stored)) in
        [(None, true), (Some(0), true), (Some(1), false), (Some(6), false), (Some(9), false)].into_iter().enumerate()
    {
        server.config.loose_compression = level;
        let blob = text(1000 + number);
        for (_, file) in push(&scene, &server, &[blob]) {
            let size = fs::metadata(file).expect("a file").len();
            assert_eq!(size > 1000, is_stored, "{size} bytes at level {level:?}");
        }
    }
}

#[test]
fn what_one_thread_cannot_write_takes_back_what_the_other_has_written() {
    let scene = Scene::new("sha1", "files");
    let server = sha1_server(&scene);
    let blobs: Vec<_> = (0..90).map(|number| text(2000 + number)).collect();
    let pack = blobs.iter().fold(PackBuilder::new(), |pack, blob| pack.entry(BLOB, blob)).finish();
    let id = |blob: &Vec<u8>| gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, blob).expect("hashed");
    let fan_out = |id: ObjectId| scene.git_dir().join("objects").join(&id.to_string()[..2]);
    let mut missing: Vec<_> = blobs.iter().map(id).map(fan_out).filter(|directory| !directory.exists()).collect();
    missing.sort();
    // Among the first to be written, and among the last.
    for in_the_way in [&missing[0], &missing[missing.len() - 1]] {
        fs::write(in_the_way, "in the way").expect("written");
        let before = server.everything();
        let mut taken = server.take(&mut &pack[..]);
        taken.quarantine.stage().expect("written to the quarantine");
        assert!(taken.quarantine.is_made());
        drop(taken);
        assert!(server.everything() == before);
        fs::remove_file(in_the_way).expect("removed");
    }
    let mut taken = server.take(&mut &pack[..]);
    taken.quarantine.stage().expect("written");
    assert!(!taken.quarantine.is_made());
}

fn sha1_server(scene: &Scene) -> Server {
    Server::new(&scene.git_dir(), gix::hash::Kind::Sha1)
}
