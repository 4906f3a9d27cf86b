//! The embedded queue beside a row per message in SQLite, and beside the bare stores below it.
//!
//! All programs write to the same disk, in folders of their own, with the same durability: confirmed messages are on the device. They run in
//! turn, round after round; figures are medians. Wall time counts, since `fsync` does.
//!
//! - `append_100`, `append_1k`: 16 tasks publish messages of 100 B and 1 KB, 250 in a call. The reference inserts rows into SQLite (WAL, `synchronous=FULL`),
//!   one transaction for each, as an outbox or a job table does.
//! - `fjall_100`, `rocksdb_100`: one task publishes 4,000 messages of 100 B in a call, with this storage. The reference writes a batch of 4,000 keys to the
//!   bare store. On request also `fjall_1k`, `rocksdb_1k`, and `segment_log_100` and `segment_log_1k`, beside a file that blocks are appended to.
//! - `read_100`: a pipeline reads messages of 100 B and acknowledges each. The reference iterates over as many keys in fjall.
//!
//! `ratio` is our rate over the reference's.
//!
//! ```console
//! $ cargo bench --features queue --bench queue
//! $ cargo bench --features queue --bench queue -- --json --scenario append_100
//! ```

mod ours;
mod peers;
mod report;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the benchmark `by_hand` needs more of it")]
mod support;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use peers::Peers;
use report::Line;
use support::{
    BoxError,
    args::{self, Action, Options, Output},
};
use tokio::runtime::Runtime;

/// Handles this number of messages of this number of bytes in an empty folder, and returns how long it took.
type Ours = fn(&Runtime, &Path, u64, usize) -> Result<Duration, BoxError>;

#[derive(Clone, Copy)]
enum Program {
    Here(Ours),
    Peer(&'static str),
}

struct Scenario {
    name: &'static str,
    messages: u64,
    bytes: usize,
    ours: Program,
    /// With how many messages.
    reference: (&'static str, u64),
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "append_100",
        messages: 1_000_000,
        bytes: 100,
        ours: Program::Here(ours::append_many),
        reference: ("sqlite_rows", 4_000),
    },
    Scenario {
        name: "append_1k",
        messages: 400_000,
        bytes: 1_000,
        ours: Program::Here(ours::append_many),
        reference: ("sqlite_rows", 4_000),
    },
    Scenario {
        name: "fjall_100",
        messages: 1_000_000,
        bytes: 100,
        ours: Program::Here(ours::append_batches),
        reference: ("bare_fjall", 1_000_000),
    },
    Scenario {
        name: "rocksdb_100",
        messages: 1_000_000,
        bytes: 100,
        ours: Program::Peer("queue_on_rocksdb"),
        reference: ("bare_rocksdb", 1_000_000),
    },
    Scenario {
        name: "read_100",
        messages: 3_000_000,
        bytes: 100,
        ours: Program::Here(ours::read),
        reference: ("bare_fjall_scan", 3_000_000),
    },
];

/// More of the same, on request: `--scenario` with its name.
const MORE: [Scenario; 4] = [
    Scenario {
        name: "fjall_1k",
        messages: 400_000,
        bytes: 1_000,
        ours: Program::Here(ours::append_batches),
        reference: ("bare_fjall", 400_000),
    },
    Scenario {
        name: "rocksdb_1k",
        messages: 400_000,
        bytes: 1_000,
        ours: Program::Peer("queue_on_rocksdb"),
        reference: ("bare_rocksdb", 400_000),
    },
    Scenario {
        name: "segment_log_100",
        messages: 1_000_000,
        bytes: 100,
        ours: Program::Here(ours::append_batches),
        reference: ("segment_log", 1_000_000),
    },
    Scenario {
        name: "segment_log_1k",
        messages: 400_000,
        bytes: 1_000,
        ours: Program::Here(ours::append_batches),
        reference: ("segment_log", 400_000),
    },
];

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("queue: built without optimisation, nothing measured; use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match args::parse("queue", std::env::args().skip(1)).and_then(act) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("queue: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<(), BoxError> {
    match action {
        Action::Compare(options) => compare(&options),
        Action::Help => {
            println!("{}", args::usage("queue"));
            Ok(())
        }
        Action::MeasureMemory(_) | Action::CountInstructions { .. } => {
            Err("it measures wall time, and neither memory nor instructions".into())
        }
    }
}

fn compare(options: &Options) -> Result<(), BoxError> {
    let runtime = support::measure::runtime()?;
    let wanted = options.scenario.as_deref();
    let named = |scenario: &&Scenario| wanted.is_none_or(|wanted| wanted == scenario.name);
    let more = MORE.iter().filter(|_| wanted.is_some());
    let chosen: Vec<_> = SCENARIOS.iter().chain(more).filter(named).collect();
    if chosen.is_empty() {
        let all = SCENARIOS.iter().chain(&MORE);
        let names: Vec<_> = all.map(|scenario| scenario.name).collect();
        return Err(format!("unknown scenario; choose one of {}", names.join(", ")).into());
    }
    let peers = Peers::build()?;
    for scenario in chosen {
        let line = measure(scenario, options, &runtime, &peers)?;
        eprintln!("{:<16} {line}", scenario.name);
        if options.output == Output::Json {
            println!("{}", line.json()?);
        }
    }
    Ok(())
}

fn measure(
    scenario: &Scenario,
    options: &Options,
    runtime: &Runtime,
    peers: &Peers,
) -> Result<Line, BoxError> {
    let divisor = if options.quick { 20 } else { 1 };
    let (reference, reference_messages) = scenario.reference;
    let (messages, reference_messages) =
        (scenario.messages / divisor, reference_messages / divisor);
    let rate = |program: Program, messages: u64| -> Result<f64, BoxError> {
        let parent = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(&parent)?;
        // Removed when it is dropped.
        let folder = tempfile::tempdir_in(parent)?;
        let took = match program {
            Program::Here(ours) => ours(runtime, folder.path(), messages, scenario.bytes)?,
            Program::Peer(name) => peers.run(name, folder.path(), messages, scenario.bytes)?,
        };
        Ok(messages as f64 / took.as_secs_f64())
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ours.push(rate(scenario.ours, messages)?);
        theirs.push(rate(Program::Peer(reference), reference_messages)?);
    }
    let (per_s, reference_per_s) = (report::median(ours), report::median(theirs));
    Ok(Line {
        bench: "queue",
        scenario: scenario.name,
        per_s,
        reference,
        reference_per_s,
        ratio: per_s / reference_per_s,
        messages,
        rounds: options.rounds,
    })
}
