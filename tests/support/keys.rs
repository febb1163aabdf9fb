//! Keys to sign with, made for one test by gpg, gpgsm and ssh-keygen, and gone with it.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{optional_program, scene::Scene};

/// A home for keys, GnuPG's and others. No path is long: sockets lie in it.
pub struct Keys {
    home: TempDir,
}

/// What made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// OpenPGP
    Gpg,
    /// X.509
    Gpgsm,
    /// SSH
    SshKeygen,
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 3] = [Tool::Gpg, Tool::Gpgsm, Tool::SshKeygen];

    /// `gpg.format` of a client that signs with it.
    pub fn format(self) -> &'static str {
        match self {
            Tool::Gpg => "openpgp",
            Tool::Gpgsm => "x509",
            Tool::SshKeygen => "ssh",
        }
    }
}

/// A key that can be signed with.
pub struct Key {
    tool: Tool,
    /// What hooks should see in `GIT_PUSH_CERT_KEY`.
    pub id: String,
    /// And in `GIT_PUSH_CERT_SIGNER`.
    pub signer: String,
    /// By which its tool knows it: a fingerprint, or the file of a private key.
    name: String,
    /// What the tool is called with whenever the key is used.
    options: Vec<String>,
}

impl Keys {
    /// An empty home; `None`, and a word on how to get it, where one of the programs is missing.
    pub fn new() -> Option<Keys> {
        optional_program("gpg", "gpg")?;
        optional_program("gpg-agent", "gpg-agent")?;
        optional_program("gpgsm", "gpgsm")?;
        optional_program("ssh-keygen", "openssh-client")?;
        let home = tempfile::Builder::new().prefix("k").tempdir_in("/tmp").expect("a home");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
        // Nobody on a network is to be asked.
        fs::write(home.path().join("gpgsm.conf"), "disable-crl-checks\ndisable-policy-checks\n").expect("a file");
        Some(Keys { home })
    }

    /// A file in the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Run a program on the home; it must succeed. What it printed, its last newline cut.
    pub fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> String {
        let mut command = Command::new(program);
        if program.starts_with("gpg") {
            command.arg("--homedir").arg(self.home.path());
        }
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("text").trim_end_matches('\n').to_owned()
    }

    /// A new key for `tool`, its owner called `name`, which is in no other name of this home.
    pub fn make(&self, tool: Tool, name: &str) -> Key {
        match tool {
            Tool::Gpg => self.openpgp(name, "never", &[]),
            Tool::Gpgsm => self.x509(name),
            Tool::SshKeygen => self.ssh(name),
        }
    }

    /// A new OpenPGP key that is good for as long as `expires` says, made with `options`, which it is used with too.
    pub fn openpgp(&self, name: &str, expires: &str, options: &[&str]) -> Key {
        let signer = format!("{name} <{name}@example.org>");
        let make =
            ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", &signer, "ed25519", "sign", expires];
        self.run("gpg", &[options, &make].concat(), b"");
        let listed = self.run("gpg", &["--batch", "--with-colons", "--list-keys", &signer], b"");
        let name = fingerprint(&listed);
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Key { tool: Tool::Gpg, id: name[24..].to_owned(), signer, name, options }
    }

    /// A new X.509 certificate, signed by itself and trusted.
    fn x509(&self, name: &str) -> Key {
        let parameters = format!(
            "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\nSerial: random\nName-DN: CN={name},O=Tests\n\
             Name-Email: {name}@example.org\nNot-After: 2099-01-01 00:00:00\n"
        );
        let file = self.path("parameters").display().to_string();
        fs::write(&file, parameters).expect("a file");
        let unlocked = ["--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0"];
        let certificate = self.run("gpgsm", &[&unlocked[..], &["--armor", "--gen-key", &file]].concat(), b"");
        self.run("gpgsm", &["--batch", "--import"], certificate.as_bytes());
        let subject = format!("CN={name}");
        let name = fingerprint(&self.run("gpgsm", &["--batch", "--with-colons", "--list-keys", &subject], b""));
        let mut trusted = fs::read_to_string(self.path("trustlist.txt")).unwrap_or_default();
        trusted += &format!("{name} S relax\n");
        fs::write(self.path("trustlist.txt"), trusted).expect("a file");
        // The agent has read the list, perhaps.
        self.end_agents();
        Key { tool: Tool::Gpgsm, id: name.clone(), signer: format!("/{subject}/O=Tests"), name, options: Vec::new() }
    }

    /// A new SSH key, whose owner is an allowed signer.
    fn ssh(&self, name: &str) -> Key {
        let file = self.path(name).display().to_string();
        self.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &file], b"");
        let public = fs::read_to_string(format!("{file}.pub")).expect("a key");
        let mut allowed = fs::read_to_string(self.allowed_signers()).unwrap_or_default();
        allowed += &format!("{name}@example.org {public}");
        fs::write(self.allowed_signers(), allowed).expect("a file");
        let shown = self.run("ssh-keygen", &["-l", "-f", &file], b"");
        let id = shown.split(' ').nth(1).expect("a fingerprint").to_owned();
        Key { tool: Tool::SshKeygen, id, signer: format!("{name}@example.org"), name: file, options: Vec::new() }
    }

    /// The file of those whose SSH keys are known.
    pub fn allowed_signers(&self) -> PathBuf {
        self.path("allowed_signers")
    }

    /// Sign `text` with `key`: the signature in its armour, as git puts it behind what it signs.
    pub fn sign(&self, key: &Key, text: &[u8]) -> String {
        let options: Vec<&str> = key.options.iter().map(String::as_str).collect();
        let signature = match key.tool {
            Tool::Gpg => self.run("gpg", &[&options[..], &["--batch", "-bsau", &key.name]].concat(), text),
            Tool::Gpgsm => self.run("gpgsm", &["--batch", "-bsau", &key.name], text),
            Tool::SshKeygen => self.run("ssh-keygen", &["-q", "-Y", "sign", "-n", "git", "-f", &key.name], text),
        };
        signature + "\n"
    }

    /// Revoke an OpenPGP key.
    pub fn revoke(&self, key: &Key) {
        let made = fs::read_to_string(self.path(&format!("openpgp-revocs.d/{}.rev", key.name))).expect("it was made");
        // A colon keeps it from being used by mistake.
        self.run("gpg", &["--batch", "--import"], made.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    }

    /// Have the server check signatures against this home.
    pub fn trusted_by_server(&self, scene: &Scene) {
        self.configure(scene, "server.git");
        let allowed = self.allowed_signers().display().to_string();
        scene.git("server.git", &["config", "gpg.ssh.allowedSignersFile", &allowed]);
    }

    /// Have the client sign with `key`.
    pub fn used_by_client(&self, scene: &Scene, key: &Key) {
        self.configure(scene, "client.git");
        scene.git("client.git", &["config", "gpg.format", key.tool.format()]);
        scene.git("client.git", &["config", "user.signingKey", &key.name]);
    }

    fn configure(&self, scene: &Scene, repository: &str) {
        for (program, setting) in [("gpg", "gpg.program"), ("gpgsm", "gpg.x509.program")] {
            let script = self.path(&format!("run-{program}"));
            fs::write(&script, format!("#!/bin/sh\nexec {program} --homedir {} \"$@\"\n", self.home.path().display()))
                .expect("a script");
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
            scene.git(repository, &["config", setting, &script.display().to_string()]);
        }
    }

    fn end_agents(&self) {
        Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).status().ok();
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.end_agents();
    }
}

/// The first fingerprint in a listing for programs.
fn fingerprint(listing: &str) -> String {
    let line = listing.lines().find(|line| line.starts_with("fpr:")).expect("a fingerprint");
    line.split(':').nth(9).expect("a field").to_owned()
}
