//! Git's own programs, started for what is left to them, and heard by the person who pushes.

use std::{
    io::{self, ErrorKind, Read},
    iter,
    os::fd::AsFd,
    process::{Command, ExitStatus, Stdio},
};

use crate::{trace, wire::sideband::Sideband};

/// Which of a program's streams the person who pushes hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// What it has to say beside its result, which goes nowhere.
    Stderr,
    /// All it says.
    Both,
}

/// Run `command` to its end, passing on what it says as it comes.
pub fn run(mut command: Command, heard: Heard, sideband: &Sideband) -> io::Result<ExitStatus> {
    command.envs(trace::for_children().into_iter().flatten());
    let traced = trace::child(None, iter::once(command.get_program()).chain(command.get_args()));
    let (output, input) = if sideband.is_multiplexed() {
        let (output, input) = io::pipe()?;
        (Some(output), input.into())
    } else {
        (None, io::stderr().as_fd().try_clone_to_owned()?)
    };
    command.stdout(match heard {
        Heard::Stderr => Stdio::null(),
        Heard::Both => input.try_clone()?.into(),
    });
    let mut child = command.stderr(input).spawn()?;
    // It holds the writing end, and the end of the output would never come.
    drop(command);
    if let Some(mut output) = output {
        let mut buffer = [0; 4096];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => sideband.tell(&buffer[..len]),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }
    let status = child.wait()?;
    if let Some(traced) = traced {
        traced.ended(child.id(), status);
    }
    Ok(status)
}
