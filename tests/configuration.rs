//! Where settings come from, which one counts, and what is said about bad ones, beside git's program.

pub mod support;

use support::{
    alike::{Answer, Place},
    ours,
    scene::Scene,
};

fn scene() -> Scene {
    let scene = Scene::empty();
    scene.git(".", &["init", "-q", "--bare", "-b", "main", "--template=", "r.git"]);
    scene
}

/// What both programs do when `text` stands at the end of the repository's configuration.
fn configured(scene: &Scene, text: &str) -> Answer {
    let file = scene.path("r.git/config");
    let before = std::fs::read_to_string(&file).expect("a configuration");
    scene.write("r.git/config", &format!("{before}{text}"));
    let answer = Place::new(scene, ".").alike(text, &["r.git"]);
    scene.write("r.git/config", &before);
    answer
}

/// Which of the sources that set it decides `receive.advertisePushOptions`.
const SETTING: &str = "receive.advertisePushOptions";

#[test]
fn bad_values_are_named_when_the_program_starts() {
    let scene = scene();
    let booleans = "receive.denyDeletes receive.denyNonFastForwards receive.updateServerInfo receive.autogc \
                    receive.advertiseAtomic receive.advertisePushOptions receive.denyCurrentBranch \
                    receive.denyDeleteCurrent repack.useDeltaBaseOffset core.bare core.ignoreCase \
                    core.fsyncObjectFiles core.quotePath core.trustctime core.fileMode core.symlinks \
                    core.preferSymlinkRefs user.useConfigOnly";
    for key in booleans.split_whitespace() {
        for value in ["x", "", "TRUE", "yEs", "on", "oFf", "no", "0", "1", "-7", "0x1", "0x", "1k", "2147483648", "tru"]
        {
            configured(&scene, &assignment(key, Some(value)));
        }
        configured(&scene, &assignment(key, None));
    }
    for value in ["x", "0x"] {
        configured(&scene, &assignment("transfer.advertiseSID", Some(value)));
    }
    let numbers = "receive.unpackLimit transfer.unpackLimit receive.maxInputSize receive.keepAlive core.compression \
                   core.looseCompression pack.compression core.bigFileThreshold core.packedGitLimit \
                   core.maxTreeDepth pack.packSizeLimit";
    let values = [
        "x",
        "",
        "0",
        "9",
        "10",
        "-1",
        "-2",
        "+3",
        "1k",
        "2M",
        "3g",
        "4t",
        "1kk",
        "k",
        "0x10",
        "010",
        "08",
        "\" 5\"",
        "\"5 \"",
        "5x",
        "9223372036854775807",
        "9223372036854775808",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483647",
        "-9223372036854775808",
    ];
    for key in numbers.split_whitespace() {
        for value in values {
            configured(&scene, &assignment(key, Some(value)));
        }
        configured(&scene, &assignment(key, None));
    }
    let texts = "receive.hideRefs transfer.hideRefs receive.procReceiveRefs core.hooksPath core.fsync core.fsyncMethod core.logAllRefUpdates \
                 user.name user.email committer.name core.worktree core.attributesFile i18n.commitEncoding";
    for key in texts.split_whitespace() {
        for value in ["x", "", "~nobody-of-that-name/x", "always", "Always"] {
            if (key, value) != ("core.attributesFile", "~nobody-of-that-name/x") {
                configured(&scene, &assignment(key, Some(value)));
            }
        }
        configured(&scene, &assignment(key, None));
    }
    for value in ["none", "all,-pack", "a,,-b, -pack,none", "nonsense , reference", "fsync", "batch", "BATCH"] {
        configured(&scene, &assignment("core.fsync", Some(value)));
        configured(&scene, &assignment("core.fsyncMethod", Some(value)));
    }
    for value in ["refuse", "WARN", "ignore", "updateInstead", "false", "refused"] {
        configured(&scene, &assignment("receive.denyCurrentBranch", Some(value)));
        configured(&scene, &assignment("receive.denyDeleteCurrent", Some(value)));
    }
}

fn assignment(key: &str, value: Option<&str>) -> String {
    let (section, name) = key.split_once('.').expect("a dot");
    match value {
        Some(value) => format!("[{section}]\n\t{name} = {value}\n"),
        None => format!("[{section}]\n\t{name}\n"),
    }
}

#[test]
fn settings_that_git_reads_late_are_judged_before_anything_changes() {
    let scene = scene();
    let cases = [
        (
            "core.filesRefLockTimeout",
            "x",
            "bad numeric config value 'x' for 'core.filesreflocktimeout' in file config: invalid unit",
        ),
        (
            "core.packedRefsTimeout",
            "1y",
            "bad numeric config value '1y' for 'core.packedrefstimeout' in file config: invalid unit",
        ),
        ("core.sharedRepository", "x", "bad boolean config value 'x' for 'core.sharedrepository'"),
        (
            "core.sharedRepository",
            "0400",
            "problem with core.sharedRepository filemode value (0400).\n\
          The owner of files must always have read and write permissions.",
        ),
        ("pack.threads", "-1", "invalid number of threads specified (-1)"),
        ("gc.auto", "x", "bad numeric config value 'x' for 'gc.auto' in file config: invalid unit"),
        ("maintenance.auto", "x", "bad boolean config value 'x' for 'maintenance.auto'"),
        ("receive.balancedAtomic", "x", "bad boolean config value 'x' for 'receive.balancedatomic'"),
        (
            "receive.balancedTimeout",
            "x",
            "bad numeric config value 'x' for 'receive.balancedtimeout' in file config: invalid unit",
        ),
    ];
    for (key, value, message) in cases {
        let parameters = format!("'{key}'='{value}'");
        let answer = Place::new(&scene, ".").env("GIT_CONFIG_PARAMETERS", &parameters).answer(ours(), &["r.git"]);
        let message = message.replace(" in file config", "");
        assert_eq!((answer.status, answer.stderr), (Some(128), format!("fatal: {message}\n")), "{key}");
    }
}

#[test]
fn files_are_read_as_git_reads_them() {
    let scene = scene();
    let cases = [
        "[receive\n",
        "[receive]\nfoo = \"x\n",
        "[receive]\nfoo # x\n",
        "[receive]\nfoo = x \\\n  y\\\n",
        "[receive]\nunpackLimit = \\\nx\n",
        "[receive]\nunpackLimit = \"4\"\"2\" # comment\n",
        "[receive]\nunpackLimit = 4 2 ; comment\n",
        "[receive]\nunpackLimit = a\tb   c\t \n",
        "[receive]\nunpackLimit = \"a  #b ;\" c\"\" \n",
        "[receive]\nunpackLimit = \\t\\n\\b\\\\\\\"x\n",
        "[receive]\nunpackLimit = \\x\n",
        "[receive]\r\nunpackLimit = x\r\n",
        "[receive]\nunpackLimit = x\ry\n",
        "[receive] unpackLimit = x\n",
        "[ReCeIvE]UNPACKLIMIT=x",
        "[receive]\nunpackLimit",
        "[receive]\n  ; comment [\n # other\n unpackLimit = x",
        "[receive \"\"]\nautogc = x\n",
        "[receive.sub]\nautogc = x\n",
        "[receive \"Sub\\\"\\\\x\"]\nautogc = x\n",
        "[receive \"sub\" ]\n",
        "[receive  \"sub\"]\n",
        "[receive\t\"sub\"]\n",
        "[receive \"a\\\nb\"]\n",
        "[receive sub]\n",
        "[receive_sub]\n",
        "[]\n",
        "[ receive]\n",
        "[ \"receive\"]\nautogc = x\n",
        "[receive\r\"sub\"]\nautogc = x\n",
        "[receive\x0c\"sub\"]\n",
        "[receive]\nunpackLimit = \x0bx \x0c\n",
        "[receive]\n\x0cunpackLimit = x\n",
        "[receive]\n1a = b\n",
        "[receive]\na_b = c\n",
        "[receive]\na-b = c\n",
        "[receive]\n = c\n",
        "[receive]\na : c\n",
        "[core]\nbare = true\n]\n",
        "\u{feff}[receive]\nautogc = x\n",
    ];
    for text in cases {
        configured(&scene, text);
    }
    let config = std::fs::read_to_string(scene.path("r.git/config")).expect("a configuration");
    scene.write("r.git/config", &format!("\u{feff}{config}[receive]\nautogc = x\n"));
    Place::new(&scene, ".").alike("a byte order mark", &["r.git"]);
    scene.write("r.git/config", &format!("stray = x\n{config}stray = y\n"));
    Place::new(&scene, ".").alike("a setting above any section", &["r.git"]);
}

#[test]
fn the_first_bad_value_is_the_one_named() {
    let scene = scene();
    configured(&scene, "[receive]\nautogc = x\nunpackLimit = y\n[core]\nbare = z\n");
    configured(&scene, "[user]\nname\n[receive]\nunpackLimit = y\n");
    scene.write("home/.gitconfig", "[receive]\nunpackLimit = global\n");
    configured(&scene, "[receive]\nunpackLimit = local\n");
    configured(&scene, "[receive\n");
    scene.write("home/.gitconfig", "[core]\nbare = global\n");
    configured(&scene, "");
    scene.write("home/.gitconfig", "[receive\n");
    configured(&scene, "[receive]\nunpackLimit = local\n");
}

#[test]
fn later_sources_win_over_earlier_ones() {
    let scene = scene();
    // Each is on where the one before is off.
    let file = |value: bool| format!("[receive]\nadvertisePushOptions = {value}\n");
    let mut place = Place::new(&scene, ".").env("GIT_CONFIG_SYSTEM", "SCENE/system").env("GIT_CONFIG_NOSYSTEM", "0");
    let expect = |place: &Place<'_>, on: bool, what: &str| {
        assert_eq!(place.alike(what, &["r.git"]).advertises("push-options"), on, "{what}");
    };
    scene.write("system", &file(true));
    expect(&place, true, "system");
    scene.write("home/.config/git/config", &file(false));
    expect(&place, false, "XDG's default place");
    scene.write("home/.gitconfig", &file(true));
    expect(&place, true, "the home directory");
    scene.git("r.git", &["config", SETTING, "false"]);
    expect(&place, false, "the repository");
    scene.git("r.git", &["config", "extensions.worktreeConfig", "true"]);
    scene.write("r.git/config.worktree", &file(true));
    expect(&place, true, "the worktree");
    place = place.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", SETTING).env("GIT_CONFIG_VALUE_0", "false");
    expect(&place, false, "GIT_CONFIG_COUNT");
    place = place.env("GIT_CONFIG_PARAMETERS", &format!("'{SETTING}'='true'"));
    expect(&place, true, "GIT_CONFIG_PARAMETERS");
}

#[test]
fn files_of_the_user_and_the_system_can_be_named_or_switched_off() {
    let scene = scene();
    let on = "[receive]\nadvertisePushOptions\n";
    for file in ["system", "global", "xdg/git/config", "home/.gitconfig", "home/.config/git/config"] {
        scene.write(file, on);
        let mut seen = Vec::new();
        for (name, value) in [
            ("GIT_CONFIG_GLOBAL", "SCENE/global"),
            ("GIT_CONFIG_GLOBAL", "SCENE/nowhere"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("XDG_CONFIG_HOME", "SCENE/xdg"),
            ("XDG_CONFIG_HOME", ""),
            ("HOME", "SCENE/nowhere"),
            ("GIT_CONFIG_SYSTEM", "SCENE/system"),
        ] {
            let system = Place::new(&scene, ".").env("GIT_CONFIG_NOSYSTEM", "false").env(name, value);
            let none = Place::new(&scene, ".").env("GIT_CONFIG_NOSYSTEM", "yes").env(name, value);
            for place in [system, none] {
                seen.push(place.alike(&format!("{file} {name}={value}"), &["r.git"]).advertises("push-options"));
            }
        }
        assert!(seen.contains(&true) && seen.contains(&false), "{file}");
        std::fs::remove_file(scene.path(file)).expect("removed");
    }
}

#[test]
fn what_git_puts_into_the_environment_is_understood() {
    let scene = scene();
    let lists = [
        "'receive.autogc'='x'",
        "'receive.autogc=x'",
        "'receive.autogc'",
        "'receive.unpackLimit'",
        "'receive.unpackLimit'=",
        "'receive.unpackLimit'=''",
        "'receive.unpackLimit'='' ",
        "'receive.unpackLimit='",
        "receive.x",
        "'receive.autogc'='x",
        "'receive.autogc'x",
        "'a'='b'",
        "'receive.hideRefs'=",
        "'receive.hideRefs'=   'receive.autogc'='f'",
        "'receive.autogc'='fa'\\''x'",
        "'receive.autogc'='fa'\\!'x'",
        "'receive.autogc'='fa'\\x'x'",
        "'=x'",
        "'='='x'",
        "'a.b'='x''c.d=e'",
        "''",
        "''=''",
        "'a.b' = 'x'",
        "'a.b'='x' z",
        "",
        " ",
        " 'receive.autogc=x' ",
        "'Receive.AutoGC = x'",
        "' receive.autogc = x'",
        "'receive.autogc'\\''=x'",
        "'a.b=c.d'",
        "'a.b=c=d.e'='f'",
        "'a.b\nc.d'='e'",
        "'include.path'='nowhere'",
        "'include.path'='/nowhere'",
        "'include.path'=",
        "'includeIf.gitdir:./.path'='/nowhere'",
        "'receive.hideRefs'='a' 'receive.unpackLimit'='3' 'receive.keepAlive'='x'",
    ];
    for list in lists {
        Place::new(&scene, ".").env("GIT_CONFIG_PARAMETERS", list).alike(list, &["r.git"]);
    }
    for count in ["0", "", "1", "x", "-1", "1x", " 1", "+1", "2", "2147483648", "99999999999999999999999999"] {
        for key in
            ["receive.autogc", "a", "a.b.", ".a", "a.b c", "1a.b", "", "a.1b", "a.B.c", "a_b.c", "..", "a..b", "."]
        {
            let place = Place::new(&scene, ".").env("GIT_CONFIG_COUNT", count).env("GIT_CONFIG_KEY_0", key);
            place.alike(&format!("{count} {key}"), &["r.git"]);
            place.env("GIT_CONFIG_VALUE_0", "x").alike(&format!("{count} {key}=x"), &["r.git"]);
        }
    }
}

#[test]
fn included_files_stand_where_they_are_included() {
    let scene = scene();
    let on = "[receive]\nadvertisePushOptions = true\n";
    let off = "[receive]\nadvertisePushOptions = false\n";
    scene.write("on", on);
    scene.write("off", off);
    scene.write("dir/inner", "[include]\npath = ../on\n");
    scene.write("home/on", on);
    let include = |path: &str| format!("[include]\npath = {path}\n");
    let cases = [
        (include("../on"), true),
        (include("../dir/inner"), true),
        (include("~/on"), true),
        (include(&scene.path("on").display().to_string()), true),
        (include("../nowhere"), false),
        (include("../nowhere/on"), false),
        (include("../on") + off, false),
        (off.to_owned() + &include("../on"), true),
        ("[include]\npath = ../on\npath = ../off\n".into(), false),
        ("[include]\npath = ../off\npath = ../on\n".into(), true),
        ("[INCLUDE]\nPATH = ../on\n".into(), true),
        ("[include \"x\"]\npath = ../on\n".into(), false),
    ];
    for (text, is_on) in cases {
        assert_eq!(configured(&scene, &text).advertises("push-options"), is_on, "{text}");
    }
    scene.write("bad", "[foo]\n[receive]\n unpackLimit = z\n");
    scene.write("valueless", "[receive]\n hideRefs\n");
    scene.write("broken", "[receive\n hideRefs\n");
    scene.write("circle", "[include]\npath = circle\n");
    for text in [
        include("../bad"),
        include(&scene.path("bad").display().to_string()),
        include("../valueless"),
        include("../broken"),
        include("../circle"),
        include("~nobody-of-that-name/x"),
        "[include]\npath\n".into(),
    ] {
        assert_eq!(configured(&scene, &text).status, Some(128), "{text}");
    }
}

#[test]
fn conditions_of_includes_are_heeded() {
    let scene = scene();
    scene.write("on", "[receive]\nadvertisePushOptions = true\n");
    std::os::unix::fs::symlink("r.git", scene.path("link.git")).expect("a link");
    scene.git("r.git", &["symbolic-ref", "HEAD", "refs/heads/team/main"]);
    let root = scene.root().canonicalize().expect("a path").display().to_string();
    let conditions = [
        (format!("gitdir:{root}/r.git"), true),
        (format!("gitdir:{root}/r.git/"), true),
        (format!("gitdir:{root}/r.git/*/*"), false),
        (format!("gitdir:{root}/"), true),
        (format!("gitdir:{root}"), false),
        (format!("gitdir:{root}/*"), true),
        (format!("gitdir:{root}/R.git"), false),
        (format!("gitdir/i:{root}/R.git"), true),
        ("gitdir:r.git".into(), true),
        ("gitdir:scene/".into(), true),
        ("gitdir:cene/".into(), false),
        ("gitdir:**/scene/**".into(), true),
        ("gitdir:~/../r.git".into(), false),
        ("gitdir:./".into(), false),
        ("gitdir:".into(), true),
        ("onbranch:team/main".into(), true),
        ("onbranch:team/".into(), true),
        ("onbranch:team/*".into(), true),
        ("onbranch:*".into(), false),
        ("onbranch:**".into(), true),
        ("onbranch:main".into(), false),
        ("hasconfig:remote.*.url:https://example.org/**".into(), true),
        ("hasconfig:remote.*.url:https://example.org/*".into(), false),
        ("hasconfig:remote.*.url:https://example.com/**".into(), false),
        ("hasconfig:other.*.url:https://example.org/**".into(), false),
        ("unheard-of:x".into(), false),
        ("".into(), false),
    ];
    for (condition, holds) in conditions {
        for section in ["includeIf", "INCLUDEIF"] {
            let text = format!(
                "[{section} \"{condition}\"]\npath = ../on\n[remote \"later\"]\nurl = https://example.org/a/b.git\n"
            );
            assert_eq!(configured(&scene, &text).advertises("push-options"), holds, "{text}");
        }
    }
    // From the file at hand, and through a link.
    scene.write("home/.gitconfig", "[includeIf \"gitdir:./\"]\npath = on\n");
    scene.write("home/on", "[receive]\nadvertisePushOptions = true\n");
    assert!(!Place::new(&scene, ".").alike("elsewhere", &["r.git"]).advertises("push-options"));
    scene.git(".", &["init", "-q", "--bare", "home/below.git"]);
    assert!(Place::new(&scene, ".").alike("beside the file", &["home/below.git"]).advertises("push-options"));
    scene.write("home/.gitconfig", &format!("[includeIf \"gitdir:{root}/link.git\"]\npath = on\n"));
    Place::new(&scene, ".").alike("through a link", &["link.git"]);

    // HEAD may be kept in another format, or name what is no branch.
    scene.git(".", &["init", "-q", "--bare", "-b", "main", "--ref-format=reftable", "table.git"]);
    for (head, pattern, holds) in [
        (None, "main", true),
        (None, ".invalid", false),
        (Some("ref: refs/heads/"), "**", false),
        (Some("ref: refs/heads/a\n\nb"), "**", false),
    ] {
        scene.write("home/.gitconfig", &format!("[includeIf \"onbranch:{pattern}\"]\npath = on\n"));
        let directory = head.map_or("table.git", |head| {
            scene.write("r.git/HEAD", &format!("{head}\n"));
            "r.git"
        });
        let answer = Place::new(&scene, ".").alike(pattern, &[directory]);
        assert_eq!(answer.advertises("push-options"), holds, "{head:?} {pattern}");
    }

    scene
        .write("home/.gitconfig", "[includeIf \"hasconfig:remote.*.url:*\"]\npath = remote\n[remote \"a\"]\nurl = u\n");
    scene.write("home/remote", "[remote \"b\"]\nurl = v\n");
    let answer = Place::new(&scene, ".").alike("a URL that depends on URLs", &["r.git"]);
    assert_eq!(answer.status, Some(128));
}
