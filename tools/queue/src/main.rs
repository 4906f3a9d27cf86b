//! `broadway-queue` looks into the folder of an embedded queue, checks it, and moves its records: see `broadway-queue --help`.
//!
//! It is a thin layer over `broadway::queue::QueueAdmin`: `args` has the options, `commands` runs them, `line` is a record as a line of
//! JSON, `brokers` opens the destinations of `move`, `text` and `progress` print.

mod args;
mod brokers;
mod commands;
mod line;
mod progress;
mod text;

use std::{io, process::ExitCode};

use broadway::BoxError;
use clap::Parser;

use args::Args;
use commands::Outcome;

/// All was done.
const OK: u8 = 0;
/// Something was found or failed, as the command defines it.
const FAILED: u8 = 1;
/// The arguments make no sense. `clap` exits with the same code.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let code = match commands::run(args.command) {
        Ok(Outcome::Done) => OK,
        Ok(Outcome::Failed) => FAILED,
        Err(error) => {
            if !is_closed_pipe(&error) {
                eprintln!("broadway-queue: {error}");
            }
            match error.is::<args::Usage>() {
                true => USAGE,
                false => FAILED,
            }
        }
    };
    ExitCode::from(code)
}

/// The reader of the output has ended, as `head` does.
fn is_closed_pipe(error: &BoxError) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
