//! argv in, exit status out.

use std::{ffi::OsString, process::ExitCode};

use balanced_receive_pack::{
    balanced::settle::{recover, recover_beside},
    cli::Cli,
    serve::serve,
    stderr, system_error, trace,
    wire::advertise::HungUp,
};
use signal_hook::{consts::SIGPIPE, low_level::emulate_default_handler};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    trace::start(&arguments);
    let status = Cli::read(&arguments).map_or_else(|status| status, |cli| run(&cli));
    trace::exit(status);
    ExitCode::from(status)
}

/// Do what the command line asks for, or say why that cannot be.
fn run(cli: &Cli) -> u8 {
    let done = match (cli.recover, cli.recover_beside) {
        (true, _) => recover(cli.git_dir()),
        (_, true) => recover_beside(cli.git_dir()),
        _ => serve(cli).map(|()| true),
    };
    match done {
        Ok(all) => u8::from(!all),
        Err(error) if error.is::<HungUp>() => {
            // Nothing is wrong here, and nobody is there to be told. git dies of it, so that whoever started it knows.
            emulate_default_handler(SIGPIPE).ok();
            128
        }
        Err(error) => {
            let shown = system_error::chain(&error);
            stderr::line(format_args!("fatal: {shown}"));
            trace::error(&stderr::printable(&shown));
            128
        }
    }
}
