//! argv in, exit status out.

use std::process::ExitCode;

use balanced_receive_pack::{cli::Cli, serve::serve};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match serve(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What a client names shows up in messages, and must not steer the terminal that they are read on.
            let shown = format!("{error:#}").replace(|c: char| c.is_ascii_control() && c != '\n' && c != '\t', "?");
            eprintln!("fatal: {shown}");
            ExitCode::from(128)
        }
    }
}
