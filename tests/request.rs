//! What the client asks for: malformed requests end as they do with the installed git, and well-formed ones leave the pack
//! on the stream, byte for byte.

pub mod support;

use std::io::{Cursor, Read, Write};

use balanced_receive_pack::{
    config::{Config, Settings},
    wire::request::Request,
};
use support::{gits, ours, push::pkt_line, scene::Scene};

const NULL: &str = "0000000000000000000000000000000000000000";
const ID: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

/// The pkt-lines of `lines`, without a flush.
fn lines(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| pkt_line(line.as_bytes())).collect()
}

fn flushed(texts: &[&str]) -> Vec<u8> {
    [lines(texts), b"0000".to_vec()].concat()
}

fn config(settings: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::new(Settings::default(), true).unwrap();
    settings(&mut config);
    config
}

fn read(bytes: &[u8], config: &Config) -> anyhow::Result<Request> {
    Request::read(&mut Cursor::new(bytes), gix::hash::Kind::Sha1, config)
}

#[test]
fn malformed_requests_end_in_gits_words() {
    let create = format!("{NULL} {ID} refs/heads/x");
    let with = |features: &str| flushed(&[&format!("{create}\0{features}")]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", b"".to_vec()),
        ("a flush", b"0000".to_vec()),
        ("a delimiter", b"0001".to_vec()),
        ("a response end", b"0002".to_vec()),
        ("a length of three", b"0003".to_vec()),
        ("an empty packet", b"0004".to_vec()),
        ("a cut length", b"00".to_vec()),
        ("a cut line", b"0050abc".to_vec()),
        ("no length", b"zzzz".to_vec()),
        ("a signed length", b"+00f".to_vec()),
        ("the largest length", [b"ffff".to_vec(), vec![b'x'; 65600]].concat()),
        ("just too large", [b"fff4".to_vec(), vec![b'x'; 65600]].concat()),
        ("no flush", lines(&[&create])),
        ("an error", lines(&["ERR out of\nluck\n"])),
        ("no object ids", flushed(&["what\0report-status"])),
        ("short ids", flushed(&["1234 5678 refs/heads/x"])),
        ("bad hex", flushed(&[&create.replace('e', "g")])),
        ("no name", flushed(&[&create[..81]])),
        ("a tab", flushed(&[&create.replace(' ', "\t")])),
        ("a bad root", flushed(&["shallow xyz\n"])),
        ("an empty root", flushed(&["shallow "])),
        ("roots alone", flushed(&[&format!("shallow {ID}")])),
        ("another hash", with(" report-status object-format=sha256 agent=x")),
        ("an unknown hash", with("object-format=md5\n")),
        ("no hash", with("object-format")),
        ("a certificate without a body", flushed(&["push-cert\0", "certificate version 0.1\n", "push-cert-end\n"])),
        ("a certificate of nothing", flushed(&["push-cert\0", "push-cert-end\n"])),
        ("a certificate cut off", lines(&["push-cert\0", "certificate version 0.1\n"])),
        ("a certificate with a delimiter", [lines(&["push-cert\0"]), b"0001".to_vec()].concat()),
    ];
    let scene = Scene::new("sha1", "files");
    for (name, request) in cases {
        let [ours, gits] = [ours().to_owned(), gits()].map(|program| {
            let mut command = scene.command(".", program);
            command.args(["--stateless-rpc", "server.git"]).stdin(std::process::Stdio::piped());
            let mut child =
                command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
            // It may be gone before it has read all.
            child.stdin.take().unwrap().write_all(&request).ok();
            let output = child.wait_with_output().unwrap();
            (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
        });
        assert_eq!(ours, gits, "{name}");
    }
}

#[test]
fn the_pack_stays_on_the_stream() {
    let bytes =
        [flushed(&[&format!("{NULL} {ID} refs/heads/x\0push-options"), &format!("shallow {ID}")]), flushed(&["a"])];
    let bytes = [bytes.concat(), b"PACK and so on".to_vec()].concat();
    let mut input = Cursor::new(bytes);
    let config = config(|config| config.advertise_push_options = true);
    let request = Request::read(&mut input, gix::hash::Kind::Sha1, &config).unwrap();
    assert!(request.has_pack());
    assert_eq!((request.shallow.len(), request.push_options), (1, Some(vec!["a".into()])));
    let mut rest = String::new();
    input.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "PACK and so on");
}

#[test]
fn capabilities_count_only_where_advertised() {
    let all = "report-status report-status-v2 side-band-64k quiet atomic push-options agent=git/2 session-id=s object-format=sha1";
    let bytes = [flushed(&[&format!("{ID} {NULL} refs/heads/x\0 {all}\n")]), b"0000".to_vec()].concat();
    let agreed = read(&bytes, &config(|config| config.advertise_push_options = true)).unwrap().capabilities;
    assert!(agreed.report_status && agreed.report_status_v2 && agreed.side_band && agreed.quiet);
    assert!(agreed.atomic && agreed.push_options);
    assert_eq!((agreed.agent.unwrap(), agreed.session_id.unwrap()), ("git/2".into(), "s".into()));
    let other = read(&bytes, &config(|config| config.advertise_atomic = false)).unwrap();
    assert!(!other.capabilities.atomic && !other.capabilities.push_options && other.push_options.is_none());
    assert!(!other.has_pack());
}

#[test]
fn a_capability_is_a_whole_word() {
    let bytes = flushed(&[&format!("{ID} {NULL} refs/heads/x\0xreport-status report-status-v quiet=1 side-band-64kk")]);
    let found = read(&bytes, &config(|_| ())).unwrap().capabilities;
    assert!(!found.report_status && !found.report_status_v2 && !found.side_band);
    assert!(found.quiet);
}

#[test]
fn the_updates_of_a_certificate_are_those_before_its_signature() {
    let delete = format!("{ID} {NULL} refs/heads/x\n");
    let signature = "-----BEGIN PGP SIGNATURE-----\nof some kind\n-----END PGP SIGNATURE-----\n";
    let texts =
        ["push-cert\0report-status\n", "certificate version 0.1\n", "\n", &delete, signature, "push-cert-end\n"];
    let request = read(&flushed(&texts), &config(|_| ())).unwrap();
    assert_eq!(request.commands.len(), 1);
    assert_eq!(request.commands[0].name(), "refs/heads/x");
    assert_eq!(request.certificate.unwrap().signature(), signature);
    let both = [lines(&[delete.trim_end()]), flushed(&texts)].concat();
    assert!(read(&both, &config(|_| ())).unwrap_err().to_string().starts_with("protocol error: updates both in"));
}

#[test]
fn a_line_of_a_certificate_ends_at_a_nul() {
    let delete = format!("{ID} {NULL} refs/heads/x\0hidden\n");
    let texts = ["push-cert\0", "x\0y\n", "\n", "\n", &delete, "push-cert-end\n\0"];
    let request = read(&flushed(&texts), &config(|_| ())).unwrap();
    assert_eq!(request.certificate.unwrap().text(), &*format!("x\n\n{ID} {NULL} refs/heads/x"));
    assert_eq!(request.commands[0].name(), "refs/heads/x");
}

#[test]
fn a_request_without_end_is_refused_before_it_fills_the_memory() {
    let line = pkt_line(format!("{NULL} {ID} refs/heads/{}", "x".repeat(60_000)).as_bytes());
    let error = Request::read(&mut Endless { line, at: 0 }, gix::hash::Kind::Sha1, &config(|_| ())).unwrap_err();
    assert!(error.to_string().starts_with("protocol error: the request is longer than"));

    // Empty push options: each becomes two variables for each hook, whatever little it is.
    let start = flushed(&[&format!("{NULL} {ID} refs/heads/x\0push-options")]);
    let mut input = start.as_slice().chain(Endless { line: b"0004".to_vec(), at: 0 }.take(4 * 300_000));
    let with_options = config(|config| config.advertise_push_options = true);
    let error = Request::read(&mut input, gix::hash::Kind::Sha1, &with_options).unwrap_err();
    assert!(error.to_string().starts_with("protocol error: the request is longer than"), "{error}");
}

/// One line again and again.
struct Endless {
    line: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = (&self.line[self.at..]).read(buffer)?;
        self.at = (self.at + count) % self.line.len();
        Ok(count)
    }
}
