//! A push written by hand: any commands, capabilities and pack, right or wrong, and the repository that it goes to.

use std::ffi::OsString;

use super::{packs::PackBuilder, scene::Scene};

/// What follows the commands.
enum Pack {
    /// What the new values need and the server's refs do not reach.
    Needed,
    /// The same, deltas against what the server has included.
    Thin,
    /// Exactly these objects, named as `git rev-parse` in the client understands.
    Objects(Vec<&'static str>),
    /// Any bytes.
    Bytes(Vec<u8>),
}

/// A push in the making. Methods that set it up in `server.git` work at once; commands are put together by [`bytes`](Self::bytes).
///
/// Object names are given as revisions of `client.git`, as full hex, or as `0` (the null id).
pub struct Push {
    /// The repositories.
    pub scene: Scene,
    /// Arguments before the directory.
    pub arguments: Vec<OsString>,
    /// The directory as given on the command line.
    pub directory: &'static str,
    /// More environment.
    pub environment: Vec<(String, OsString)>,
    /// True if what is said on band 2 and stderr is free to be worded otherwise; that something is said is not.
    pub own_words: bool,
    hash: &'static str,
    lines: Vec<Vec<u8>>,
    capabilities: String,
    options: Option<Vec<&'static str>>,
    pack: Pack,
    raw: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
}

/// `bytes` as one pkt-line.
pub fn pkt_line(bytes: &[u8]) -> Vec<u8> {
    let mut line = format!("{:04x}", bytes.len() + 4).into_bytes();
    line.extend_from_slice(bytes);
    line
}

/// A push to a repository of the usual formats, that commands nothing yet.
pub fn push() -> Push {
    push_to("sha1", "files")
}

/// A push to a repository with object names of `hash` and refs kept as `refs` says.
pub fn push_to(hash: &'static str, refs: &str) -> Push {
    Push {
        scene: Scene::new(hash, refs),
        arguments: Vec::new(),
        directory: "server.git",
        environment: Vec::new(),
        own_words: false,
        hash,
        lines: Vec::new(),
        capabilities: format!("report-status-v2 side-band-64k quiet object-format={hash} agent=tests"),
        options: None,
        pack: Pack::Needed,
        raw: None,
        certificate: None,
    }
}

impl Push {
    // What the server is like.

    /// Set (or add to) the server's configuration.
    pub fn config(self, key: &str, value: &str) -> Self {
        self.server(&["config", "--add", key, value])
    }

    /// Run git in the server's repository.
    pub fn server(self, arguments: &[&str]) -> Self {
        self.scene.git("server.git", arguments);
        self
    }

    /// Run git in the client's repository.
    pub fn client(self, arguments: &[&str]) -> Self {
        self.scene.git("client.git", arguments);
        self
    }

    /// Run a shell script in the directory that holds the repositories, to set up what git has no command for.
    pub fn shell(self, script: &str) -> Self {
        let status = self.scene.command(".", "sh").args(["-ec", script]).status().expect("sh runs");
        assert!(status.success(), "{script}");
        self
    }

    /// Install a hook.
    pub fn hook(self, name: &str, script: &str) -> Self {
        self.scene.hook(name, script);
        self
    }

    /// Install hooks that write down all they see (in `seen`), and then do as `script` says.
    pub fn recording(mut self, names: &[&str], script: &str) -> Self {
        for name in names {
            let seen = self.scene.path("seen").display().to_string();
            let record = format!(
                "{{ echo \"== $0 in $(pwd)\"; for argument; do echo \"argument $argument\"; done; \
                 env | grep -E '^(GIT_|PATH=)' | sort; {}; }} >>'{seen}'\n{script}",
                if matches!(*name, "pre-receive" | "post-receive" | "reference-transaction") {
                    "cat"
                } else {
                    "cat | sed 's/^/stdin /'"
                }
            );
            self = self.hook(name, &record);
        }
        self
    }

    /// Give the server a work tree with `main` checked out.
    pub fn work_tree(self) -> Self {
        self.scene.add_work_tree();
        self
    }

    /// Set a variable for the program; `SCENE` in it becomes the directory that holds the repositories.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let value = value.replace("SCENE", &self.scene.root().display().to_string());
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Add an argument before the directory.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Name another directory.
    pub fn directory(mut self, directory: &'static str) -> Self {
        self.directory = directory;
        self
    }

    // What the client says.

    /// A command that makes `name`, which must not exist, `new`.
    pub fn create(self, name: &str, new: &str) -> Self {
        self.update(name, "0", new)
    }

    /// A command that changes `name` from `old` to `new`.
    pub fn update(self, name: &str, old: &str, new: &str) -> Self {
        let line = format!("{} {} {name}", self.id(old), self.id(new));
        self.line(line.as_bytes())
    }

    /// A command that deletes `name`, whose value is `old`.
    pub fn delete(self, name: &str, old: &str) -> Self {
        self.update(name, old, "0")
    }

    /// A line among the commands; the first that is no `shallow` gets the capabilities.
    pub fn line(mut self, line: &[u8]) -> Self {
        self.lines.push(line.to_vec());
        self
    }

    /// Take these capabilities (`HASH` in them becomes the repository's) instead of `report-status-v2 side-band-64k quiet object-format=… agent=tests`.
    pub fn capabilities(mut self, capabilities: &str) -> Self {
        self.capabilities = capabilities.replace("HASH", self.hash);
        self
    }

    /// Take this capability as well.
    pub fn also(mut self, capability: &str) -> Self {
        self.capabilities = format!("{} {capability}", self.capabilities);
        self
    }

    /// Ask for an atomic push.
    pub fn atomic(self) -> Self {
        self.also("atomic")
    }

    /// Send push options (and take that capability).
    pub fn options(self, options: &[&'static str]) -> Self {
        let mut this = self.also("push-options");
        this.options = Some(options.to_vec());
        this
    }

    /// Put the commands so far into a certificate: behind these lines of headers, and before what `sign` makes of all that.
    pub fn certified(self, headers: &str, sign: impl FnOnce(&[u8]) -> String) -> Self {
        let mut text = format!("{headers}\n").into_bytes();
        for line in &self.lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        let signature = sign(&text);
        text.extend_from_slice(signature.as_bytes());
        self.certificate(&text)
    }

    /// Send this text for a certificate, and nothing of the commands but what they need.
    pub fn certificate(mut self, text: &[u8]) -> Self {
        self.certificate = Some(text.to_vec());
        self
    }

    /// Send a thin pack.
    pub fn thin(mut self) -> Self {
        self.pack = Pack::Thin;
        self
    }

    /// Send just these objects.
    pub fn objects(mut self, names: &[&'static str]) -> Self {
        self.pack = Pack::Objects(names.to_vec());
        self
    }

    /// Send these bytes for a pack.
    pub fn pack(mut self, bytes: Vec<u8>) -> Self {
        self.pack = Pack::Bytes(bytes);
        self
    }

    /// Send this pack, sealed with the repository's hash.
    pub fn built(self, pack: PackBuilder) -> Self {
        let bytes = pack.finish_with(self.kind());
        self.pack(bytes)
    }

    /// Send the pack that would be sent, changed.
    pub fn damaged(mut self, damage: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = self.pack_bytes();
        damage(&mut bytes);
        self.pack = Pack::Bytes(bytes);
        self.own_words()
    }

    /// Send these bytes for the whole request.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.raw = Some(bytes.to_vec());
        self
    }

    /// Leave both programs their own words on band 2 and stderr.
    pub fn own_words(mut self) -> Self {
        self.own_words = true;
        self
    }

    /// The whole request.
    pub fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut bytes = match &self.certificate {
            Some(text) => self.certificate_lines(text),
            None => self.command_lines(),
        };
        bytes.extend_from_slice(b"0000");
        if let Some(options) = &self.options {
            bytes.extend(options.iter().flat_map(|option| pkt_line(option.as_bytes())));
            bytes.extend_from_slice(b"0000");
        }
        bytes.extend(self.pack_bytes());
        bytes
    }

    fn command_lines(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut capabilities = Some(&self.capabilities);
        for line in &self.lines {
            let mut line = line.clone();
            if !line.starts_with(b"shallow ")
                && let Some(capabilities) = capabilities.take()
            {
                line.push(0);
                line.extend_from_slice(capabilities.as_bytes());
            }
            bytes.extend(pkt_line(&line));
        }
        bytes
    }

    fn certificate_lines(&self, text: &[u8]) -> Vec<u8> {
        let mut bytes = pkt_line(format!("push-cert\0{}", self.capabilities).as_bytes());
        bytes.extend(text.split_inclusive(|byte| *byte == b'\n').flat_map(pkt_line));
        bytes.extend(pkt_line(b"push-cert-end\n"));
        bytes
    }

    /// The full id of an object, in hex.
    pub fn id(&self, name: &str) -> String {
        let width = if self.hash == "sha1" { 40 } else { 64 };
        match name {
            "0" => "0".repeat(width),
            hex if hex.len() == width && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => hex.to_owned(),
            revision => self.scene.git("client.git", &["rev-parse", "--verify", revision]),
        }
    }

    /// The id of an object that no repository needs to have.
    pub fn object_id(&self, kind: &str, content: &[u8]) -> String {
        let mut hasher = gix::hash::hasher(self.kind());
        hasher.update(format!("{kind} {}\0", content.len()).as_bytes());
        hasher.update(content);
        hasher.try_finalize().expect("no collision").to_string()
    }

    fn kind(&self) -> gix::hash::Kind {
        if self.hash == "sha1" { gix::hash::Kind::Sha1 } else { gix::hash::Kind::Sha256 }
    }

    /// The bytes of the pack alone; empty if all commands are deletions.
    pub fn pack_bytes(&self) -> Vec<u8> {
        let null = self.id("0");
        let is_id = |id: &String| id.len() == null.len() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let new = |line: &Vec<u8>| Some(String::from_utf8_lossy(line).split(' ').nth(1)?.to_owned());
        let commands = self.lines.iter().filter(|line| !line.starts_with(b"shallow "));
        let wanted: Vec<String> = commands.filter_map(new).filter(|id| is_id(id) && *id != null).collect();
        let pack_objects = ["pack-objects", "--stdout", "-q", "--delta-base-offset", "--threads=1"];
        match &self.pack {
            Pack::Bytes(bytes) => bytes.clone(),
            Pack::Objects(names) => {
                let ids: String = names.iter().map(|name| self.id(name) + "\n").collect();
                self.scene.feed("client.git", &pack_objects, ids.as_bytes())
            }
            Pack::Needed | Pack::Thin if wanted.is_empty() => Vec::new(),
            Pack::Needed | Pack::Thin => {
                let has = "old main topic v1".split(' ').map(|name| format!("^{}\n", self.id(name)));
                let revisions: String = wanted.iter().map(|id| format!("{id}\n")).chain(has).collect();
                let thin = matches!(self.pack, Pack::Thin).then_some("--thin");
                let arguments: Vec<&str> = pack_objects.into_iter().chain(["--revs"]).chain(thin).collect();
                self.scene.feed("client.git", &arguments, revisions.as_bytes())
            }
        }
    }
}
