//! argv in, exit status out.

use std::{ffi::OsString, process::ExitCode};

use balanced_receive_pack::{
    cli::Cli,
    serve::{recover, serve},
    system_error, trace,
};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    trace::start(&arguments);
    let status = Cli::read(&arguments).map_or_else(|status| status, |cli| run(&cli));
    trace::exit(status);
    ExitCode::from(status)
}

/// Do what the command line asks for, or say why that cannot be.
fn run(cli: &Cli) -> u8 {
    let done = if cli.recover { recover(cli) } else { serve(cli).map(|()| true) };
    match done {
        Ok(all) => u8::from(!all),
        Err(error) => {
            // What a client names shows up in messages, and must not steer the terminal that they are read on.
            let shown =
                system_error::chain(&error).replace(|c: char| c.is_ascii_control() && c != '\n' && c != '\t', "?");
            eprintln!("fatal: {shown}");
            trace::error(&shown);
            128
        }
    }
}
