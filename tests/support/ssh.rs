//! A real OpenSSH server on a loopback port, with its own host key and configuration, for one scene.

use std::{
    fs::{self, File},
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use super::{optional_program, scene::Scene};

/// The server; it serves until the test process ends.
pub struct SshServer {
    directory: PathBuf,
    url: String,
}

impl SshServer {
    /// Serve the scene, commands found along `path` (a `PATH`). `None`, and a word on how to get it, without an sshd.
    pub fn start(scene: &Scene, path: &str) -> Option<SshServer> {
        let sshd = optional_program("sshd", "openssh-server")?;
        optional_program("ssh", "openssh-client")?;
        let directory = scene.path("ssh");
        fs::create_dir(&directory).expect("a directory");
        for key in ["host", "user"] {
            let key = directory.join(key).display().to_string();
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status();
            assert!(made.expect("ssh-keygen runs").success());
        }
        fs::copy(directory.join("user.pub"), directory.join("authorized")).expect("a copy");
        let me = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("users").expect("this user").name;
        if me == "root" {
            // sshd insists on it when root starts it, and only a boot or the service makes it.
            fs::create_dir_all("/run/sshd").expect("/run/sshd");
        }
        let here = directory.display();
        let config = format!(
            "HostKey {here}/host\nAuthorizedKeysFile {here}/authorized\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nAllowUsers {me}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv PATH={path} GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null\n"
        );
        fs::write(directory.join("sshd_config"), config).expect("a configuration");

        // The listener is ours and sshd serves one connection (-i), so that no port is guessed and nothing waited for.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let host_key = fs::read_to_string(directory.join("host.pub")).expect("a key");
        let client = format!(
            "IdentityFile {here}/user\nIdentitiesOnly yes\nUserKnownHostsFile {here}/known\nGlobalKnownHostsFile none\n\
             StrictHostKeyChecking yes\nBatchMode yes\nLogLevel ERROR\n"
        );
        fs::write(directory.join("known"), format!("[127.0.0.1]:{port} {host_key}")).expect("known hosts");
        fs::write(directory.join("ssh_config"), client).expect("a configuration");
        let (config, log) = (directory.join("sshd_config"), directory.join("log"));
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                serve(&sshd, &config, &log, connection.into());
            }
        });
        let url = format!("ssh://{me}@127.0.0.1:{port}{}", scene.path("server.git").display());
        Some(SshServer { directory, url })
    }

    /// Where `server.git` is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Have each command of the client replaced by this one (`command=` in authorized_keys).
    pub fn force(&self, command: &str) {
        let key = fs::read_to_string(self.directory.join("user.pub")).expect("a key");
        fs::write(self.directory.join("authorized"), format!("restrict,command=\"{command}\" {key}"))
            .expect("a key file");
    }

    /// `git push` to the server; true if it succeeded, and what it and sshd said. The file `packets` in the scene gets
    /// what went over the wire.
    pub fn push(&self, scene: &Scene, options: &[&str], refs: &[&str]) -> (bool, String) {
        let mut command = scene.command("client.git", "git");
        command.env("GIT_SSH_COMMAND", format!("ssh -F {}/ssh_config", self.directory.display()));
        command.env("GIT_SSH_VARIANT", "ssh").arg("push").args(options).arg(&self.url).args(refs).stdin(Stdio::null());
        let output = command.env("GIT_TRACE_PACKET", scene.path("packets")).output().expect("git runs");
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        said += &fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        (output.status.success(), said)
    }
}

fn serve(sshd: &Path, config: &Path, log: &Path, connection: OwnedFd) {
    let log = File::options().create(true).append(true).open(log);
    let (Ok(mut log), Ok(answer)) = (log, connection.try_clone()) else { return };
    let Ok(complaints) = log.try_clone() else { return };
    let mut command = Command::new(sshd);
    command.arg("-i").arg("-e").arg("-f").arg(config).stdin(connection).stdout(answer).stderr(complaints);
    match command.spawn() {
        // Reaped by a thread of its own: the next connection does not wait.
        Ok(mut child) => drop(thread::spawn(move || child.wait())),
        Err(error) => drop(writeln!(log, "cannot start {}: {error}", sshd.display())),
    }
}
