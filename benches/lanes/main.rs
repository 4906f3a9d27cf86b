//! Order per key while handlers wait: what it costs beside no order at all, and whether one key holds back another.
//!
//! Wall time counts here, since handlers sleep. Programs run in turn, round after round, in one process on two worker threads; figures are
//! medians. tokio rounds sleeps up to whole milliseconds, so both sides sleep the same times in the same run.
//!
//! - `keys_1000`: 10,000 messages of 0 to 5 ms over 1,000 keys, 100 in flight. The reference handles the same messages without order, with
//!   `for_each_concurrent(100)`.
//! - `keys_20`: the same over 20 keys. The reference handles the messages of the slowest key, one after the other.
//! - `one_key_asleep`: messages come at a steady pace over 1,000 keys, and one key sleeps for 10 s. The figure is the 99th percentile of
//!   the time from arrival to the end of the handler for all other keys; the reference is the same without the sleeper.
//! - `idle_keys_1m`: 1,000,000 messages of as many keys. The figure is the resident memory when all are handled and the
//!   pipeline is idle; the reference is the same with one key.
//!
//! `ratio` is the reference's figure over ours.
//!
//! ```console
//! $ cargo bench --bench lanes
//! $ cargo bench --bench lanes -- --json --scenario keys_1000
//! ```

mod asleep;
mod idle;
mod keys;
mod line;
mod messages;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the benchmark `by_hand` needs more of it")]
mod support;

use std::process::ExitCode;

use support::{
    BoxError,
    args::{self, Action, Options, Output},
    measure,
};

/// Measures the figures of a scenario in `rounds` rounds, with a tenth of the messages if `quick`.
type Measure =
    fn(&tokio::runtime::Runtime, rounds: usize, quick: bool) -> Result<line::Line, BoxError>;

const SCENARIOS: [(&str, Measure); 4] = [
    ("keys_1000", keys::over_1000),
    ("keys_20", keys::over_20),
    ("one_key_asleep", asleep::measure),
    ("idle_keys_1m", idle::measure),
];

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("lanes: built without optimisation, nothing measured; use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match args::parse("lanes", std::env::args().skip(1)).and_then(act) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lanes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<(), BoxError> {
    match action {
        Action::Compare(options) => compare(&options),
        Action::Help => {
            println!("{}", args::usage("lanes"));
            Ok(())
        }
        // The hidden request of this program to itself.
        Action::MeasureMemory(request) => idle::answer(&request.program, request.messages),
        Action::CountInstructions { .. } => Err("it measures wall time, not instructions".into()),
    }
}

fn compare(options: &Options) -> Result<(), BoxError> {
    let runtime = measure::runtime()?;
    let wanted = options.scenario.as_deref();
    let chosen: Vec<_> = SCENARIOS
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        return Err(format!("unknown scenario; choose one of {}", names.join(", ")).into());
    }
    for (name, measure) in chosen {
        let line = measure(&runtime, options.rounds, options.quick)?;
        eprintln!("{name:<16} {line}");
        if options.output == Output::Json {
            println!("{}", line.json(name)?);
        }
    }
    Ok(())
}
