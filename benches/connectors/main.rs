//! The cost of each connector, compared with a loop over its client, on a real broker or an emulator.
//!
//! A scenario either reads the messages of a queue, with a pipeline whose handler is empty, or publishes. The reference is the
//! best loop over the bare client that does the same work: every message is acknowledged or confirmed, with the same
//! prefetch, the same number of concurrent requests, and the same grouping. Both run in turn, round after round, in this one
//! process. Wall and CPU time (user and system, of this process only) run from the first message to the last.
//!
//! The broker shares the machine, so wall time depends on the broker: `ratio` is meaningful where the client is the limit. An
//! emulator is often slower than either program; then both wait for it, and `cpu_ratio` is the one to compare.
//!
//! ```console
//! $ scripts/brokers up
//! $ cargo bench --all-features --bench connectors -- --json
//! ```

#[path = "../brokers/mod.rs"]
mod brokers;
mod load;
mod publish_kafka;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "sqs")]
mod sqs;

use std::process::ExitCode;

use brokers::{
    args,
    clock::Cost,
    report::{Compared, Report},
};
use tokio::runtime::Runtime;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Prepares the broker for rounds of `messages` messages.
type Begin = fn(&Runtime, u64) -> Result<Box<dyn Contest>, BoxError>;

/// A comparison.
struct Scenario {
    name: &'static str,
    about: &'static str,
    reference: &'static str,
    /// Messages of a round, and of a round with `--quick`.
    messages: u64,
    quick: u64,
    begin: Begin,
}

/// The two programs of a scenario, with their queue.
trait Contest {
    /// The connector.
    fn ours(&mut self, runtime: &Runtime) -> Result<Cost, BoxError>;

    /// The loop over the bare client.
    fn reference(&mut self, runtime: &Runtime) -> Result<Cost, BoxError>;

    /// Deletes the queue or topic of the scenario.
    fn end(self: Box<Self>, runtime: &Runtime) -> Result<(), BoxError>;
}

const COMMAND: &str = "cargo bench --all-features --bench connectors";

const SCENARIOS: &[Scenario] = &[
    publish_kafka::CLIENT,
    publish_kafka::FUTURES,
    #[cfg(feature = "rabbitmq")]
    rabbitmq::READ,
    #[cfg(feature = "rabbitmq")]
    rabbitmq::PUBLISH,
    #[cfg(feature = "sqs")]
    sqs::READ,
    #[cfg(feature = "sqs")]
    sqs::PUBLISH,
    #[cfg(feature = "pubsub")]
    pubsub::READ,
    #[cfg(feature = "pubsub")]
    pubsub::PUBLISH,
];

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("connectors: built without optimisation, nothing measured; use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connectors: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), BoxError> {
    let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    let Some(options) = args::parse(COMMAND, &names, std::env::args().skip(1))? else {
        println!("{}", args::usage(COMMAND));
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = Report::begin("connectors", options.json, options.rounds)?;
    let chosen = |scenario: &&Scenario| options.wants(scenario.name);
    for scenario in SCENARIOS.iter().filter(chosen) {
        let messages = options.messages(scenario.messages, scenario.quick);
        let failed = |error: BoxError| format!("{}: {error}", scenario.name);
        let mut contest = (scenario.begin)(&runtime, messages).map_err(failed)?;
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push(contest.ours(&runtime).map_err(failed)?);
            reference.push(contest.reference(&runtime).map_err(failed)?);
        }
        contest.end(&runtime).map_err(failed)?;
        let compared = Compared {
            scenario: scenario.name,
            about: scenario.about,
            reference: scenario.reference,
            messages,
        };
        report.scenario(&compared, &ours, &reference)?;
    }
    Ok(())
}
