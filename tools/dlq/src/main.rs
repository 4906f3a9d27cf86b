//! `broadway-dlq` lists, shows and replays dead letters: see `broadway-dlq --help`, and `docs/dead-letters.md`.
//!
//! It is a thin layer over `broadway::dead_letters`: `args` has the options, `brokers` opens sources and publishers, `commands` runs
//! them, `letter` and `progress` print.

mod args;
mod brokers;
mod commands;
mod filter;
mod letter;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use commands::Outcome;

/// All was done.
const OK: u8 = 0;
/// Some messages failed, a dead letter was not found, or a broker could not be reached.
const FAILED: u8 = 1;
/// The arguments make no sense. `clap` exits with the same code.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let code = match brokers::run(&args).await {
        Ok(Outcome::Done) => OK,
        Ok(Outcome::SomeFailed) => FAILED,
        Err(error) => {
            eprintln!("broadway-dlq: {error}");
            match error.is::<args::Usage>() {
                true => USAGE,
                false => FAILED,
            }
        }
    };
    ExitCode::from(code)
}
