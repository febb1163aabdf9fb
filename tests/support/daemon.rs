//! A real `git daemon` on a loopback port, for one scene.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, ChildStderr, Stdio},
};

use super::{
    in_front::{exec_path, gits_own},
    push::pkt_line,
    scene::Scene,
};

/// The daemon, with our program in front of git's; it ends with this value.
pub struct Daemon {
    process: Child,
    /// Kept open: the daemon writes its log there.
    _log: BufReader<ChildStderr>,
    port: u16,
}

impl Daemon {
    /// Serve the scene.
    pub fn start(scene: &Scene) -> Daemon {
        let path = format!("{}:{}", exec_path(scene).display(), std::env::var("PATH").expect("a PATH"));
        loop {
            // It takes no socket that listens already, and somebody may be faster to take the port that was free.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let mut command = scene.command(".", gits_own(scene, "git-daemon"));
            command.env("PATH", &path).env_remove("GIT_COMMITTER_NAME").arg(format!("--port={port}"));
            command.args(["--listen=127.0.0.1", "--reuseaddr", "--verbose", "--export-all", "--enable=receive-pack"]);
            command.arg(format!("--base-path={}", scene.root().display()));
            let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("git daemon starts");
            let mut log = BufReader::new(process.stderr.take().expect("piped"));
            let mut line = String::new();
            while log.read_line(&mut line).expect("its log") > 0 {
                if line.contains("Ready to rumble") {
                    return Daemon { process, _log: log, port };
                }
            }
            let ended = process.wait().expect("it ended");
            assert!(line.contains("unable to allocate any listen sockets"), "{ended}: {line}");
        }
    }

    /// Where `server.git` is.
    pub fn url(&self) -> String {
        format!("git://127.0.0.1:{}/server.git", self.port)
    }

    /// All that the daemon sends to a client that asks for `version` of the protocol and has nothing to push.
    pub fn advertisement(&self, version: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a connection");
        let request = format!("git-receive-pack /server.git\0host=localhost\0\0version={version}\0");
        stream.write_all(&[pkt_line(request.as_bytes()), b"0000".to_vec()].concat()).expect("it reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it answers");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
