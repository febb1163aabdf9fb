//! argv in, exit status out.

use std::process::ExitCode;

use anyhow::Result;
use balanced_receive_pack::{cli::Cli, refs::snapshot::Snapshot, repository::Repository, wire::advertise::advertise};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fatal: {error:#}");
            ExitCode::from(128)
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let (repository, config) = Repository::enter(cli.git_dir())?;
    let snapshot = Snapshot::read(&repository)?;
    advertise(&repository, &config, &snapshot, &[], "", &mut std::io::stdout().lock())
}
