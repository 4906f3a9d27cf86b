//! Compares the Kafka pipeline with the bare client, on a real broker.
//!
//! Every scenario reads one topic of 100-byte messages from its beginning to its end, once with the pipeline (commits on,
//! offsets tracked per message) and once with a loop over the bare client, in alternating rounds in this process. Time and
//! CPU (user and system, of this process only) run from the first message to the last, so joining the group does not count.
//! The broker shares the machine, so only the ratio of the wall times within one run is meaningful.
//!
//! ```console
//! $ scripts/brokers up kafka
//! $ cargo bench --features kafka --bench kafka -- --json
//! ```

#[path = "../bare/kafka.rs"]
mod baseline;
#[path = "../brokers/mod.rs"]
mod brokers;
mod ours;
mod topic;

use std::process::ExitCode;

use brokers::{
    args,
    clock::Cost,
    report::{Compared, Report},
};
use topic::Topic;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A program that reads a topic once.
type Program = fn(&Topic, &tokio::runtime::Runtime) -> Result<Cost, BoxError>;

/// A pipeline and the program that it is compared with.
struct Scenario {
    name: &'static str,
    about: &'static str,
    partitions: i32,
    ours: Program,
    reference: (&'static str, Program),
}

const COMMAND: &str = "cargo bench --features kafka --bench kafka";

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "one_partition",
        about: "2 processors, 1 partition, commits on; against partition queues read in batches of 1,000",
        partitions: 1,
        ours: |topic, runtime| ours::tracked(topic, runtime, 2),
        reference: ("bare_batch_loop", baseline::batch_loop),
    },
    Scenario {
        name: "four_partitions",
        about: "the same with 4 partitions",
        partitions: 4,
        ours: |topic, runtime| ours::tracked(topic, runtime, 2),
        reference: ("bare_batch_loop", baseline::batch_loop),
    },
    Scenario {
        name: "eight_processors",
        about: "8 processors, 4 partitions, commits on",
        partitions: 4,
        ours: |topic, runtime| ours::tracked(topic, runtime, 8),
        reference: ("bare_batch_loop", baseline::batch_loop),
    },
    Scenario {
        name: "no_acks",
        about: "2 processors, 4 partitions, nothing acknowledged: compare with four_partitions for the cost of tracking and commits",
        partitions: 4,
        ours: |topic, runtime| ours::untracked(topic, runtime, 2),
        reference: ("bare_batch_loop", baseline::batch_loop),
    },
    Scenario {
        name: "stream_consumer",
        about: "2 processors, 4 partitions, commits on; against the StreamConsumer loop of rust-rdkafka's users",
        partitions: 4,
        ours: |topic, runtime| ours::tracked(topic, runtime, 2),
        reference: ("stream_consumer", baseline::stream_consumer),
    },
];

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("kafka: built without optimisation, nothing measured; use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kafka: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), BoxError> {
    let names = SCENARIOS.each_ref().map(|scenario| scenario.name);
    let Some(options) = args::parse(COMMAND, &names, std::env::args().skip(1))? else {
        println!("{}", args::usage(COMMAND));
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = Report::begin("kafka", options.json, options.rounds)?;
    let messages = options.messages(2_000_000, 200_000);
    let chosen = |scenario: &&Scenario| options.wants(scenario.name);
    let mut topics: Vec<Topic> = Vec::new();
    for scenario in SCENARIOS.iter().filter(chosen) {
        if !topics
            .iter()
            .any(|topic| topic.partitions == scenario.partitions)
        {
            topics.push(runtime.block_on(Topic::load(scenario.partitions, messages))?);
        }
        let topic = topics
            .iter()
            .find(|topic| topic.partitions == scenario.partitions);
        let topic = topic.expect("loaded above");
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push((scenario.ours)(topic, &runtime)?);
            reference.push((scenario.reference.1)(topic, &runtime)?);
        }
        let compared = Compared {
            scenario: scenario.name,
            about: scenario.about,
            reference: scenario.reference.0,
            messages: topic.messages,
        };
        report.scenario(&compared, &ours, &reference)?;
    }
    for topic in &topics {
        runtime.block_on(topic.delete())?;
    }
    Ok(())
}
