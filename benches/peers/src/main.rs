//! Compares the Kafka pipeline with other Rust frameworks and with the bare client, on a real broker.
//!
//! Every program reads the same topic from its beginning to its end with an empty handler and commits its offsets. It runs in a process of
//! its own, round after round in turn with the others. Time and CPU run from the first message to the last commit, which is read back from
//! the broker. README.md describes each program and its limits.
//!
//! ```console
//! $ scripts/brokers up kafka
//! $ cargo run --release --manifest-path benches/peers/Cargo.toml -- --json
//! ```

mod args;
// Its stream consumer is not used: it commits when it is dropped, and this comparison measures the commit.
#[allow(dead_code)]
#[path = "../../bare/kafka.rs"]
mod bare;
mod brokers;
mod child;
mod commits;
mod keys;
mod programs;
mod report;
mod run;
mod scenarios;
#[path = "../../kafka/topic.rs"]
mod topic;

use std::process::ExitCode;

use args::{Action, Options};
use child::Sample;
use report::{Report, Row};
use scenarios::{SCENARIOS, Scenario};
use topic::Topic;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match begin() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn begin() -> Result<(), BoxError> {
    match args::parse(std::env::args().skip(1))? {
        Action::Help => println!("{}", args::usage()),
        Action::Child(request) => child::measure(&request)?,
        Action::Compare(options) => compare(&options)?,
    }
    Ok(())
}

fn compare(options: &Options) -> Result<(), BoxError> {
    if cfg!(debug_assertions) {
        return Err("built without optimization, so the figures would be meaningless: use `cargo run --release`".into());
    }
    let report = Report::begin(options)?;
    for scenario in SCENARIOS.iter().filter(|scenario| options.wants(scenario)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let messages = options.messages(scenario);
        let topic = runtime.block_on(scenario.load(messages))?;
        let measured = rounds(options, scenario, &topic);
        runtime.block_on(topic.delete())?;
        report.scenario(scenario, messages, &measured?)?;
    }
    Ok(())
}

/// Runs the programs in turn, so that outside load affects all alike.
fn rounds<'a>(
    options: &Options,
    scenario: &'a Scenario,
    topic: &Topic,
) -> Result<Vec<Row<'a>>, BoxError> {
    let programs = scenario
        .programs
        .iter()
        .filter(|program| options.wants_program(program.name));
    let mut rows: Vec<Row<'a>> = programs
        .map(|program| Row {
            program,
            samples: Vec::new(),
        })
        .collect();
    for _ in 0..options.rounds {
        for row in &mut rows {
            let sample: Sample = child::ask(scenario, row.program, topic)?;
            row.samples.push(sample);
        }
    }
    Ok(rows)
}
