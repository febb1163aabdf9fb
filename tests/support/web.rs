//! A real web server, nginx with fcgiwrap, on a loopback port: `git http-backend` serves the repositories of one scene.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getuid},
};

use super::{in_front::gits_own, optional_program, scene::Scene};

/// The server; it ends with this value.
pub struct WebServer {
    port: u16,
    directory: PathBuf,
    processes: Vec<Child>,
}

/// What came back to a request.
pub struct Response {
    /// Status line and headers.
    pub head: String,
    /// The body, its chunks put together.
    pub body: Vec<u8>,
}

impl WebServer {
    /// Serve the scene, `settings` added to nginx's for what it passes on to `git http-backend`. `None`, and a word on how
    /// to get it, where something is missing.
    pub fn start(scene: &Scene, settings: &str) -> Option<WebServer> {
        let nginx = optional_program("nginx", "nginx-light")?;
        let fcgiwrap = optional_program("fcgiwrap", "fcgiwrap")?;
        let directory = scene.path("web");
        fs::create_dir(&directory).expect("a directory");
        // Both take their listening sockets from here, so that no port is guessed and nothing waited for.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let number = port.local_addr().expect("an address").port();
        let gateway = UnixListener::bind(directory.join("gateway")).expect("a socket");
        fs::write(directory.join("nginx.conf"), configuration(scene, number, settings)).expect("a configuration");

        let mut server = WebServer { port: number, directory, processes: Vec::new() };
        let mut command = scene.command(".", fcgiwrap);
        // A web server has no such identity; `git http-backend` makes one of who logged in.
        command.env_remove("GIT_COMMITTER_NAME").env_remove("GIT_COMMITTER_EMAIL");
        server.start_process(command, gateway.into());
        let mut command = scene.command(".", nginx);
        command.arg("-p").arg(&server.directory).args(["-c", "nginx.conf", "-e", "stderr"]);
        // As when an nginx hands its sockets to a newer one: the descriptors that are already listening.
        command.env("NGINX", "0;");
        server.start_process(command, port.into());
        Some(server)
    }

    /// Where `server.git` is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/server.git", self.port)
    }

    fn start_process(&mut self, mut command: Command, socket: OwnedFd) {
        let log = File::options().create(true).append(true).open(self.directory.join("log")).expect("a log");
        let process = command.stdin(socket).stdout(Stdio::null()).stderr(log).spawn();
        self.processes.push(process.expect("the server starts"));
    }

    /// `git -c <settings> push` to `server.git`, the `arguments` behind it; true if it succeeded, and what it and the server said. The file `packets` in the scene
    /// gets what git reads and writes, `headers` what goes over the wire.
    pub fn push(&self, scene: &Scene, settings: &[&str], arguments: &[&str]) -> (bool, String) {
        let mut command = scene.command("client.git", "git");
        command.args(settings.iter().flat_map(|setting| ["-c", setting])).arg("push");
        command.arg(self.url()).args(arguments).stdin(Stdio::null());
        command.env("GIT_TRACE_PACKET", scene.path("packets")).env("GIT_TRACE_CURL", scene.path("headers"));
        command.env("GIT_TRACE_CURL_NO_DATA", "1").env("no_proxy", "*");
        let output = command.output().expect("git runs");
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        said += &fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        (output.status.success(), said)
    }

    /// What the server advertises to one who sends `headers`, each with its CR LF.
    pub fn advertisement(&self, headers: &str) -> Response {
        self.ask(&format!("GET /server.git/info/refs?service=git-receive-pack HTTP/1.1\r\n{headers}"), b"")
    }

    /// What the server answers to `body` in one piece.
    pub fn post(&self, headers: &str, body: &[u8]) -> Response {
        let length = body.len();
        self.ask(
            &format!(
                "POST /server.git/git-receive-pack HTTP/1.1\r\nContent-Type: application/x-git-receive-pack-request\r\n\
                 Content-Length: {length}\r\n{headers}"
            ),
            body,
        )
    }

    fn ask(&self, head: &str, body: &[u8]) -> Response {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a connection");
        stream.write_all(format!("{head}Host: localhost\r\nConnection: close\r\n\r\n").as_bytes()).expect("it listens");
        stream.write_all(body).expect("it reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it answers");
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("headers");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let body = bytes.split_off(end + 4);
        let body = if head.contains("Transfer-Encoding: chunked") { without_chunks(&body) } else { body };
        Response { head, body }
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // Not killed: nginx takes its worker along.
            kill(Pid::from_raw(process.id() as i32), Signal::SIGTERM).ok();
            process.wait().ok();
        }
    }
}

fn configuration(scene: &Scene, port: u16, settings: &str) -> String {
    let here = scene.path("web").display().to_string();
    let backend = gits_own(scene, "git-http-backend").display().to_string();
    let root = scene.root().display().to_string();
    // Started by root it would do its work as somebody else, who may not read the scene.
    let user = if getuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off;\n{user}\nworker_processes 1;\npid nginx.pid;\nevents {{}}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path body; fastcgi_temp_path fastcgi; proxy_temp_path proxy; scgi_temp_path scgi; uwsgi_temp_path uwsgi;\n\
           client_max_body_size 0;\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location / {{\n\
               fastcgi_pass unix:{here}/gateway;\n\
               fastcgi_param SCRIPT_FILENAME {backend};\n\
               fastcgi_param PATH_INFO $uri;\n\
               fastcgi_param QUERY_STRING $query_string;\n\
               fastcgi_param REQUEST_METHOD $request_method;\n\
               fastcgi_param CONTENT_TYPE $content_type;\n\
               fastcgi_param CONTENT_LENGTH $content_length;\n\
               fastcgi_param REMOTE_ADDR $remote_addr;\n\
               fastcgi_param GIT_PROJECT_ROOT {root};\n\
               fastcgi_param GIT_HTTP_EXPORT_ALL 1;\n\
               {settings}\n\
             }}\n\
           }}\n\
         }}\n"
    )
}

/// A body whose chunks each come after their length in hex.
fn without_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").expect("a chunk");
        let length = std::str::from_utf8(&body[..end]).expect("text");
        let length = usize::from_str_radix(length, 16).expect("a length");
        if length == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}
