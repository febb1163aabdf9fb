//! The flags (git-receive-pack, "Options"), and what git says where they are misused.
//!
//! `clap` reads them; git's own wording, exit statuses and `--no-…` forms are put over it, since scripts know those.

use std::{
    ffi::{OsStr, OsString},
    io::Write,
};

use clap::{
    ArgAction, CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

const USAGE: &str = "git receive-pack [-q] <git-dir>";
const LAYOUT: &str = "usage: {usage}\n\n{options}\n\n";

/// What the command line asks for.
#[derive(Debug, Default, Parser)]
#[command(
    override_usage = USAGE,
    help_template = LAYOUT,
    infer_long_args = true,
    args_override_self = true,
    disable_help_flag = true
)]
pub struct Cli {
    /// Tell nothing of the progress.
    #[arg(short, long, overrides_with = "no_quiet")]
    pub quiet: bool,

    /// Take one request without advertising first, and answer it.
    #[arg(long, overrides_with = "no_stateless_rpc")]
    pub stateless_rpc: bool,

    /// Advertise, and stop.
    #[arg(long, alias = "advertise-refs", overrides_with = "no_http_backend_info_refs")]
    pub http_backend_info_refs: bool,

    /// Settle what pushes left that died in balanced-atomic mode, tell what was done, and stop.
    #[arg(long, conflicts_with = "http_backend_info_refs")]
    pub recover: bool,

    /// What a push starts to settle what it does not wait for.
    #[arg(long, hide = true, conflicts_with = "recover")]
    pub recover_beside: bool,

    /// Do not look whether all that the new values need is there.
    #[arg(long, hide_short_help = true, overrides_with = "no_skip_connectivity_check")]
    pub skip_connectivity_check: bool,

    /// Refuse packs that leave out what their deltas are based on.
    #[arg(long, hide_short_help = true, overrides_with = "no_reject_thin_pack_for_testing")]
    pub reject_thin_pack_for_testing: bool,

    /// The repository, of which the command line must name exactly one.
    #[arg(hide = true)]
    git_dirs: Vec<OsString>,

    #[arg(short = 'h', hide = true, action = ArgAction::HelpShort)]
    help: (),

    #[arg(long, alias = "help", hide = true, action = ArgAction::HelpLong)]
    help_all: (),

    #[arg(long, hide = true, overrides_with = "quiet")]
    no_quiet: bool,

    #[arg(long, hide = true, overrides_with = "stateless_rpc")]
    no_stateless_rpc: bool,

    #[arg(long, alias = "no-advertise-refs", hide = true, overrides_with = "http_backend_info_refs")]
    no_http_backend_info_refs: bool,

    #[arg(long, hide = true, overrides_with = "skip_connectivity_check")]
    no_skip_connectivity_check: bool,

    #[arg(long, hide = true, overrides_with = "reject_thin_pack_for_testing")]
    no_reject_thin_pack_for_testing: bool,
}

impl Cli {
    /// Read `arguments`, the program's name first. What is to be said instead of a push was said when this fails, and the
    /// exit status is left to return.
    pub fn read(arguments: &[OsString]) -> Result<Self, u8> {
        // So git and sshd start it, and to set up a parser would take longer than to read the configuration.
        if let [_, git_dir] = arguments
            && !git_dir.as_encoded_bytes().starts_with(b"-")
        {
            return Ok(Cli { git_dirs: vec![git_dir.clone()], ..Cli::default() });
        }
        let arguments: Vec<&OsStr> = with_end_of_options(arguments).collect();
        let cli = Cli::try_parse_from(&arguments).map_err(|error| explain(&error, &arguments))?;
        match cli.git_dirs.len() {
            1 => Ok(cli),
            0 => Err(misused("fatal: you must specify a directory\n\n", true)),
            _ => Err(misused("fatal: too many arguments\n\n", true)),
        }
    }

    /// The repository, as the client named it.
    pub fn git_dir(&self) -> &OsStr {
        self.git_dirs.first().map_or(OsStr::new(""), OsString::as_os_str)
    }
}

/// `--end-of-options` is another `--`.
fn with_end_of_options(arguments: &[OsString]) -> impl Iterator<Item = &OsStr> {
    let mut ended = false;
    arguments.iter().map(move |argument| {
        let ends = !ended && (argument == "--" || argument == "--end-of-options");
        ended |= ends;
        if ends { OsStr::new("--") } else { argument }
    })
}

/// Say what `error` in `arguments` is about, as git does.
fn explain(error: &clap::Error, arguments: &[&OsStr]) -> u8 {
    if error.kind() == ErrorKind::DisplayHelp {
        // Nobody is left to hear of a failure.
        write!(std::io::stdout(), "{}", error.render()).ok();
        return 0;
    }
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    let Some(option) = argument.strip_prefix("--") else {
        return misused(&format!("error: unknown switch `{}'\n", argument.trim_start_matches('-')), true);
    };
    let option = option.split([' ', '=']).next().unwrap_or(option);
    if error.kind() != ErrorKind::UnknownArgument {
        return misused(&format!("error: option `{option}' takes no value\n"), false);
    }
    let names = Cli::command();
    let mut names = names.get_arguments().filter_map(|argument| argument.get_long()).filter(|n| n.starts_with(option));
    match (names.next(), names.next()) {
        (Some(one), Some(other)) => {
            misused(&format!("error: ambiguous option: {option} (could be --{one} or --{other})\n"), true)
        }
        _ => {
            // As it stands there: with the value that it was given.
            let given = arguments.iter().filter_map(|given| given.to_str()).find(|given| given.starts_with(argument));
            let option = given.unwrap_or(argument).trim_start_matches("--");
            misused(&format!("error: unknown option `{option}'\n"), true)
        }
    }
}

fn misused(complaint: &str, wants_usage: bool) -> u8 {
    let mut words = complaint.to_owned();
    if wants_usage {
        words += &Cli::command().render_help().to_string();
    }
    std::io::stderr().write_all(words.as_bytes()).ok();
    129
}
