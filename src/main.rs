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
            eprintln!("fatal: {error:#}");
            ExitCode::from(128)
        }
    }
}
