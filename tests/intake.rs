//! Taking in packs that are what they should be: loose or packed, whole or thin, and how they leave quarantine.

use std::{fs, io::Read, os::unix::fs::PermissionsExt, path::Path};

use support::{
    intake::Server,
    packs::{BLOB, COMMIT, PackBuilder, TAG, TREE, delta},
    scene::Scene,
};

pub mod support;

/// The pack that a client with all branches sends to make `wanted` known, thin or not.
fn pack(scene: &Scene, wanted: &str, known: &str, thin: bool) -> Vec<u8> {
    let revisions = format!("{wanted}\n^{known}\n");
    let mut arguments = vec!["pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset"];
    if thin {
        arguments.push("--thin");
    }
    scene.feed("client.git", &arguments, revisions.as_bytes())
}

fn sha1_server(scene: &Scene) -> Server {
    Server::new(&scene.git_dir(), gix::hash::Kind::Sha1)
}

/// All that is reachable from `wanted` and not from `known` in the client.
fn objects(scene: &Scene, directory: &str, wanted: &str, known: &str) -> Vec<String> {
    let wanted = scene.git("client.git", &["rev-parse", wanted]);
    let known = scene.git("client.git", &["rev-parse", known]);
    let out = scene
        .git(directory, &["rev-list", "--objects", "--no-object-names", wanted.trim(), &format!("^{}", known.trim())]);
    out.lines().map(str::to_owned).collect()
}

#[test]
fn few_objects_become_loose_ones_and_many_one_pack() {
    for hash in [gix::hash::Kind::Sha1, gix::hash::Kind::Sha256] {
        for (limit, loose) in [(1000, true), (1, false)] {
            let scene = Scene::new(&hash.to_string(), "files");
            let mut server = Server::new(&scene.git_dir(), hash);
            server.config.unpack_limit = limit;
            let pack = pack(&scene, "many", "main", false);
            let taken = server.take(&mut &pack[..]);
            assert_eq!(taken.reason(), "ok", "{}", taken.told);
            let files = taken.files();
            assert_eq!(files.iter().all(|name| !name.starts_with("pack/")), loose, "{files:?}");
            assert_eq!(files.len(), if loose { 150 } else { 4 }, "{files:?}");
            taken.quarantine.migrate().expect("moved");

            assert_eq!(objects(&scene, "server.git", "many", "main"), objects(&scene, "client.git", "many", "main"));
            scene.git("server.git", &["fsck", "--full", "--strict"]);
            let left = fs::read_dir(scene.git_dir().join("objects")).expect("objects");
            let left = left.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>();
            assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("tmp_")), "{left:?}");
        }
    }
}

#[test]
fn a_pack_has_what_git_gives_it() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    server.config.unpack_limit = 1;
    let pack = pack(&scene, "many", "main", false);
    let taken = server.take(&mut &pack[..]);
    assert_eq!(taken.reason(), "ok", "{}", taken.told);

    let name = gix::ObjectId::from_bytes_or_panic(&pack[pack.len() - 20..]);
    let file = |extension| taken.quarantine.dir().expect("a directory").join(format!("pack/pack-{name}.{extension}"));
    assert_eq!(fs::read(file("pack")).expect("a pack"), pack);
    let keep = fs::read_to_string(file("keep")).expect("a keep file");
    let host = nix::unistd::gethostname().expect("a name").into_string().expect("text");
    assert_eq!(keep, format!("receive-pack {} on {host}\n", std::process::id()));

    let theirs = scene.path("theirs");
    fs::create_dir(&theirs).expect("a directory");
    fs::write(theirs.join("x.pack"), &pack).expect("written");
    scene.git("theirs", &["index-pack", "--rev-index", "x.pack"]);
    for extension in ["idx", "rev"] {
        let theirs = fs::read(theirs.join(format!("x.{extension}"))).expect("git's");
        assert_eq!(fs::read(file(extension)).expect("ours"), theirs, "{extension}");
    }
    for extension in ["pack", "idx", "rev", "keep"] {
        assert_eq!(fs::metadata(file(extension)).expect("there").permissions().mode() & 0o777, 0o444, "{extension}");
    }
}

#[test]
fn a_thin_pack_is_completed_unless_it_must_not_be() {
    let scene = Scene::new("sha1", "files");
    // A long file that changes a little makes deltas that the client sends without their base.
    let long = (0..2000).map(|line| format!("line {line}\n")).collect::<String>();
    let base = scene.feed("server.git", &["hash-object", "-w", "--stdin", "-t", "blob"], long.as_bytes());
    let base = gix::ObjectId::from_hex(base.trim_ascii()).expect("an id");
    let changed = [&long.as_bytes()[..5000], b"changed"].concat();
    let delta = delta(long.len() as u64, changed.len() as u64, b"\xb0\x88\x13\x07changed");
    let pack = PackBuilder::new().ref_delta(base.as_slice(), &delta).entry(BLOB, b"other").finish();
    let id = scene.feed("client.git", &["hash-object", "--stdin"], &changed);
    let id = String::from_utf8(id).expect("hex");

    for (limit, reason) in [(100, "unpack-objects abnormal exit"), (1, "index-pack abnormal exit")] {
        let mut server = sha1_server(&scene);
        server.config.unpack_limit = limit;
        server.reject_thin = true;
        let taken = server.take(&mut &pack[..]);
        assert_eq!(taken.reason(), reason);
        assert!(taken.told.contains("unresolved delta"), "{}", taken.told);
        drop(taken);

        server.reject_thin = false;
        let taken = server.take(&mut &pack[..]);
        assert_eq!(taken.result, Ok(false), "{}", taken.told);
        if limit == 1 {
            let progress = "Resolving deltas:   0% (0/1)\rResolving deltas: 100% (1/1)\r\
                            Resolving deltas: 100% (1/1), completed with 1 local object.\n";
            assert_eq!(taken.told, progress);
        }
        drop(taken.quarantine.migrate().expect("moved"));
        assert_eq!(scene.feed("server.git", &["cat-file", "blob", id.trim()], b""), changed);
        scene.git("server.git", &["fsck", "--full", "--no-dangling"]);
    }
    let packs = fs::read_dir(scene.git_dir().join("objects/pack")).expect("packs");
    let pack = packs.map(|entry| entry.expect("an entry").path()).find(|path| path.extension().unwrap() == "pack");
    scene.git(".", &["verify-pack", pack.expect("a pack").to_str().expect("text")]);
}

#[test]
fn a_pack_is_closed_if_all_that_its_objects_name_came_with_it() {
    use gix::objs::Kind;
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    server.config.unpack_limit = 0;
    let id = |kind, content: &[u8]| gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, content).expect("an id");
    let entry = |mode: &str, id: gix::ObjectId| [format!("{mode} name\0").as_bytes(), id.as_slice()].concat();
    let blob = b"a blob".to_vec();
    let blob_id = id(Kind::Blob, &blob);
    let inner = [entry("100644", blob_id), entry("160000", gix::ObjectId::null(gix::hash::Kind::Sha1))].concat();
    let inner_id = id(Kind::Tree, &inner);
    let root = entry("40000", inner_id);
    let commit = |parents: &[gix::ObjectId]| {
        let parents = parents.iter().map(|id| format!("parent {id}\n")).collect::<String>();
        let who = "A <a@example.org> 1700000000 +0000";
        let tree = id(Kind::Tree, &root);
        format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\ntext\n").into_bytes()
    };
    let first = commit(&[]);
    let second = commit(&[id(Kind::Commit, &first)]);
    let tag = |kind: &str, id: gix::ObjectId| format!("object {id}\ntype {kind}\ntag v1\n\ntext\n").into_bytes();
    let second_id = id(Kind::Commit, &second);
    let whole = vec![
        (TAG, tag("commit", second_id)),
        (COMMIT, second),
        (COMMIT, first),
        (TREE, root),
        (TREE, inner.clone()),
        (BLOB, blob.clone()),
    ];
    let pack = |objects: &[(u8, Vec<u8>)]| {
        objects.iter().fold(PackBuilder::new(), |pack, (kind, content)| pack.entry(*kind, content))
    };
    let is_closed = |pack: Vec<u8>| server.take(&mut &pack[..]).result.expect("taken in");
    assert!(is_closed(pack(&whole).finish()));
    // What nothing names may be absent.
    assert!(is_closed(pack(&whole[1..]).finish()));
    for left_out in 1..whole.len() {
        let rest = [&whole[..left_out], &whole[left_out + 1..]].concat();
        assert!(!is_closed(pack(&rest).finish()), "without object {left_out}");
    }
    for (what, kind, content) in [
        ("a tree that calls a blob a tree", TREE, entry("40000", blob_id)),
        ("a tree that calls a tree a blob", TREE, entry("100644", inner_id)),
        ("a tag that calls a commit a tree", TAG, tag("tree", second_id)),
        ("a tag of nothing", TAG, b"object".to_vec()),
        ("a commit of nothing", COMMIT, b"tree 1234\n".to_vec()),
        ("a tree that breaks off", TREE, b"100644 name".to_vec()),
        ("a tree too large to be looked at", TREE, entry("100644", blob_id).repeat(20_000)),
    ] {
        assert!(!is_closed(pack(&[&whole[..], &[(kind, content)]].concat()).finish()), "{what}");
    }

    // Deltas count as what they become.
    for (named, closed) in [(blob_id, true), (gix::ObjectId::null(gix::hash::Kind::Sha1), false)] {
        let changed = entry("100644", named);
        let insert = [&[changed.len() as u8], &changed[..]].concat();
        let delta = delta(inner.len() as u64, changed.len() as u64, &insert);
        assert_eq!(is_closed(pack(&whole).ref_delta(inner_id.as_slice(), &delta).finish()), closed);
    }
}

#[test]
fn a_client_that_keeps_its_end_open_is_not_waited_for() {
    struct Open<'a>(&'a [u8]);
    impl Read for Open<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            assert!(!self.0.is_empty(), "read behind the trailer");
            // In small pieces, such that the trailer is not alone in the last one.
            let len = self.0.len().min(buffer.len()).min(33);
            self.0.read(&mut buffer[..len])
        }
    }
    let scene = Scene::new("sha1", "files");
    for limit in [1, 1000] {
        let mut server = sha1_server(&scene);
        server.config.unpack_limit = limit;
        let pack = pack(&scene, "many", "main", false);
        let taken = server.take(&mut Open(&pack));
        assert_eq!(taken.reason(), "ok", "{}", taken.told);
    }
}

#[test]
fn a_pack_of_nothing_is_taken_in() {
    let scene = Scene::new("sha1", "files");
    for limit in [0, 100] {
        let mut server = sha1_server(&scene);
        server.config.unpack_limit = limit;
        let taken = server.take(&mut &PackBuilder::new().finish()[..]);
        assert_eq!((taken.reason().as_str(), taken.told.as_str()), ("ok", ""));
        drop(taken.quarantine.migrate().expect("moved"));
        scene.git("server.git", &["fsck", "--full"]);
    }
}

#[test]
fn deltas_are_resolved_in_any_order_and_over_duplicates() {
    let base: Vec<u8> = (0..4000u32).flat_map(u32::to_le_bytes).collect();
    let blob = |content: &[u8]| gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, content).unwrap();
    // Each version replaces the first bytes of the one before.
    let mut versions = vec![base];
    let mut deltas = Vec::new();
    for number in 0..60u8 {
        let last = versions.last().unwrap();
        let next = [&[number; 16][..], &last[16..]].concat();
        let len = next.len() - 16;
        let instructions = [&[16][..], &[number; 16], &[0xb1, 16, len as u8, (len >> 8) as u8]].concat();
        deltas.push((blob(last), delta(last.len() as u64, next.len() as u64, &instructions)));
        versions.push(next);
    }
    // The last first.
    let pack = |times: usize| {
        let mut pack = PackBuilder::new();
        for (base, delta) in deltas.iter().rev().cycle().take(times * deltas.len()) {
            pack = pack.ref_delta(base.as_slice(), delta);
        }
        (0..times).fold(pack, |pack, _| pack.entry(BLOB, &versions[0])).finish()
    };
    for (limit, times) in [(1, 1), (1, 2), (1000, 1), (1000, 2)] {
        let scene = Scene::new("sha1", "files");
        let mut server = sha1_server(&scene);
        server.config.unpack_limit = limit;
        let taken = server.take(&mut &pack(times)[..]);
        if (limit, times) == (1, 2) {
            // One who reads such a pack could go in circles.
            assert!(taken.told.contains("in the pack twice"), "{}", taken.told);
            continue;
        }
        assert_eq!(taken.reason(), "ok", "{}", taken.told);
        drop(taken.quarantine.migrate().expect("moved"));
        for version in &versions {
            let found = scene.feed("server.git", &["cat-file", "blob", &blob(version).to_string()], b"");
            assert!(found == *version);
        }
    }
}

#[test]
fn large_objects_pass_through_both_ways() {
    let mut large = Vec::new();
    (0..700_000u32).for_each(|number| large.extend(number.wrapping_mul(2_654_435_761).to_le_bytes()));
    let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, &large).unwrap();
    let pack = PackBuilder::new().entry(BLOB, b"before").entry(BLOB, &large).entry(BLOB, b"").entry(BLOB, b"behind");
    let pack = pack.finish();
    for limit in [1, 1000] {
        let scene = Scene::new("sha1", "files");
        let mut server = sha1_server(&scene);
        server.config.unpack_limit = limit;
        // The second time all of it is there already.
        for _ in 0..2 {
            let taken = server.take(&mut &pack[..]);
            assert_eq!(taken.reason(), "ok", "{}", taken.told);
            drop(taken.quarantine.migrate().expect("moved"));
        }
        assert!(scene.feed("server.git", &["cat-file", "blob", &id.to_string()], b"") == large);
        scene.git("server.git", &["fsck", "--full", "--no-dangling"]);
    }
}

#[test]
fn the_size_of_the_input_is_bounded_to_the_byte() {
    let scene = Scene::new("sha1", "files");
    let pack = pack(&scene, "many", "main", false);
    let size = pack.len() as u64;
    for (limit, reason, words) in [
        (1, "index-pack abnormal exit", "fatal: pack exceeds maximum allowed size ("),
        (1000, "unpack-objects abnormal exit", "fatal: pack exceeds maximum allowed size\n"),
    ] {
        let mut server = sha1_server(&scene);
        server.config.unpack_limit = limit;
        server.config.max_input_size = Some(size);
        assert_eq!(server.take(&mut &pack[..]).reason(), "ok");
        server.config.max_input_size = Some(size - 1);
        let taken = server.take(&mut &pack[..]);
        assert_eq!(taken.reason(), reason);
        assert!(taken.told.starts_with(words), "{}", taken.told);
    }
}

#[test]
fn an_object_with_the_name_of_another_one_is_refused() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    server.config.unpack_limit = 1;
    // A file of another object under this one's name stands in for a collision of SHA-1.
    let other = scene.feed("server.git", &["hash-object", "-w", "--stdin"], b"other");
    let other = gix::ObjectId::from_hex(other.trim_ascii()).unwrap().to_string();
    for content in [b"hello".to_vec(), vec![7; 1 << 20]] {
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, &content).unwrap().to_string();
        let loose = |id: &str| scene.git_dir().join("objects").join(&id[..2]).join(&id[2..]);
        fs::create_dir_all(loose(&id).parent().unwrap()).unwrap();
        fs::copy(loose(&other), loose(&id)).unwrap();
        let taken = server.take(&mut &PackBuilder::new().entry(BLOB, &content).finish()[..]);
        assert_eq!(taken.reason(), "index-pack abnormal exit");
        assert_eq!(taken.told, format!("fatal: SHA1 COLLISION FOUND WITH {id} !\n"));
    }
}

#[test]
fn what_is_there_already_stays_and_counts_as_new() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    let pack = pack(&scene, "many", "main", false);
    for limit in [1, 1000] {
        server.config.unpack_limit = limit;
        let taken = server.take(&mut &pack[..]);
        drop(taken.quarantine.migrate().expect("moved"));
        let before = server.everything();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let ours = |path: &Path| path.to_string_lossy().contains("/objects/") && !path.is_dir();
        for (path, ..) in before.iter().filter(|(path, ..)| ours(path)) {
            let file = fs::File::open(path).unwrap();
            file.set_times(fs::FileTimes::new().set_modified(long_ago)).unwrap();
        }
        let taken = server.take(&mut &pack[..]);
        drop(taken.quarantine.migrate().expect("moved"));
        assert!(server.everything() == before);
        let fresh = before.iter().filter(|(path, ..)| ours(path));
        let fresh = fresh.filter(|(path, ..)| fs::metadata(path).unwrap().modified().unwrap() != long_ago).count();
        assert!(fresh >= 1, "limit {limit}: {fresh} files were freshened");
    }
}

#[test]
fn a_keep_file_of_somebody_else_stays_and_hurts_nobody() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    server.config.unpack_limit = 1;
    let pack = pack(&scene, "many", "main", false);
    let taken = server.take(&mut &pack[..]);
    let kept = taken.quarantine.migrate().expect("moved");
    let keep = |server: &Server| {
        server.everything().into_iter().find(|(path, ..)| path.extension().is_some_and(|e| e == "keep"))
    };
    let (path, ..) = keep(&server).expect("kept until the refs are there");
    drop(kept);
    assert!(keep(&server).is_none());

    fs::write(&path, "mine").expect("a keep file");
    let taken = server.take(&mut &pack[..]);
    drop(taken.quarantine.migrate().expect("moved"));
    assert_eq!(fs::read(&path).expect("still there"), b"mine");
}

#[test]
fn another_pack_of_the_same_name_is_never_replaced() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    server.config.unpack_limit = 1;
    let pack = pack(&scene, "many", "main", false);
    let name = gix::ObjectId::from_bytes_or_panic(&pack[pack.len() - 20..]);
    let path = scene.git_dir().join(format!("objects/pack/pack-{name}.pack"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "something else").expect("a file in the way");
    let before = server.everything();
    let taken = server.take(&mut &pack[..]);
    let ours = taken.quarantine.dir().expect("a directory").join(format!("pack/pack-{name}.pack"));
    let err = taken.quarantine.migrate().expect_err("refused");
    let expected = format!("files '{}' and '{}' differ in contents", ours.display(), path.display());
    assert_eq!(format!("{err:#}"), expected);
    assert!(server.everything() == before);
}

#[test]
fn shared_repositories_get_shared_files() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    server.config.shared_repository = balanced_receive_pack::config::SharedRepository::Exact(0o660);
    for limit in [1, 1000] {
        server.config.unpack_limit = limit;
        let before = server.everything();
        let taken = server.take(&mut &pack(&scene, "many", "main", false)[..]);
        let _kept = taken.quarantine.migrate().expect("moved");
        for (path, mode, _) in server.everything() {
            if !before.iter().any(|(old, ..)| *old == path) {
                assert_eq!(mode & 0o777, 0o440, "{}", path.display());
                let dir = fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
                assert!(
                    dir & 0o7777 == 0o2770 || path.parent().unwrap().ends_with("pack"),
                    "{dir:o} {}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn a_quarantine_leaves_nothing_when_it_is_dropped() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    let before = server.everything();
    for limit in [1, 1000] {
        server.config.unpack_limit = limit;
        let taken = server.take(&mut &pack(&scene, "many", "main", false)[..]);
        assert_eq!(taken.reason(), "ok");
        drop(taken);
        assert!(server.everything() == before);
    }
}

#[test]
fn loose_objects_that_outgrow_memory_are_all_moved_in() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    server.config.unpack_limit = 1000;
    // Pack and objects outgrow it at about the same time, in two threads.
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    for size in [10, 9_000, 24_000] {
        let blobs: Vec<Vec<u8>> = (0..90).map(|_| (0..size).map(|_| noise()).collect()).collect();
        let pack = blobs.iter().fold(PackBuilder::new(), |pack, blob| pack.entry(BLOB, blob));
        let taken = server.take(&mut &pack.finish()[..]);
        assert_eq!(taken.reason(), "ok");
        drop(taken.quarantine.migrate().expect("moved"));
        for blob in blobs {
            let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, &blob).unwrap();
            let file = scene.path("server.git/objects").join(&id.to_string()[..2]).join(&id.to_string()[2..]);
            assert!(file.is_file(), "{id} of {size} bytes");
        }
    }
    let objects = server.everything();
    assert!(!objects.iter().any(|(path, ..)| path.to_string_lossy().contains("tmp_")), "{objects:?}");
}

#[test]
fn hooks_see_the_quarantine_beside_the_repository() {
    let scene = Scene::new("sha1", "files");
    let mut server = sha1_server(&scene);
    let environment = |server: &Server| {
        let taken = server.take(&mut &PackBuilder::new().entry(BLOB, b"new").finish()[..]);
        let environment = taken.quarantine.environment().expect("a directory");
        let mut git = scene.command("server.git", "git");
        git.args(["cat-file", "-p", "3e5126c4"]).envs(environment.iter().map(|(name, value)| (*name, value)));
        assert!(git.output().expect("git runs").status.code().is_some());
        let new = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, b"new").unwrap().to_string();
        let mut git = scene.command("server.git", "git");
        git.args(["cat-file", "-p", &new]).envs(environment.iter().map(|(name, value)| (*name, value)));
        assert_eq!(git.output().expect("git runs").stdout, b"new");
        let name = taken.quarantine.dir().expect("a directory").file_name().unwrap().to_str().unwrap().to_owned();
        let text = |at: usize| environment[at].1.to_str().unwrap().replace(&name, "<name>");
        assert!(name.starts_with("tmp_objdir-incoming-") && name.len() == 26, "{name}");
        [text(0), text(1), text(2)]
    };
    let objects = format!("{}/./objects", server.repository.git_dir.display());
    let own = format!("{objects}/<name>");
    assert_eq!(environment(&server), [own.clone(), objects.clone(), own.clone()]);
    server.repository.inherited_alternates = Some("/some:where".into());
    assert_eq!(environment(&server), [own.clone(), format!("/some:where:{objects}"), own]);
}
