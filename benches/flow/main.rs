//! Flows: their throughput beside programs by hand, queries of NEXMark, and the cost of short slides.
//!
//! The programs of a scenario run in turn, round after round, in this one process on two worker threads; figures are medians. Every run
//! compares its result with the expected one, and the benchmark fails if they differ.
//!
//! - `word_count`: 200 MB of text, 27 million words of which 100,000 are distinct, beside two threads by hand. `ratio` is our throughput
//!   over theirs.
//! - `nexmark_q5`, `nexmark_q7`, `nexmark_q8`: hot items in sliding windows, the highest bids, and new sellers. Query 5 beside one thread
//!   by hand.
//! - `sliding_10x`: windows of 60 s over 1,000 keys. `ratio` is the time with a slide of 100 ms over the time with 1 s.
//! - On request: `sliding_10x_sparse`, with as many windows as events, and `bounds`, the memory of 1,000,000 live keys.
//!
//! ```console
//! $ cargo bench --features flow --bench flow
//! $ cargo bench --features flow --bench flow -- --json --scenario word_count
//! $ cargo bench --features flow --bench flow -- --json --scenario bounds
//! ```

mod auctions;
mod bounds;
mod cost;
#[expect(dead_code, unused_imports, reason = "its tests run in `flow_inputs`")]
mod nexmark;
#[expect(dead_code, reason = "its tests run in `flow_inputs`")]
mod random;
mod report;
mod sliding;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the benchmark `by_hand` needs more of it")]
mod support;
#[expect(dead_code, unused_imports, reason = "its tests run in `flow_inputs`")]
mod text;
mod word_count;
#[expect(dead_code, unused_imports, reason = "its tests run in `flow_inputs`")]
mod word_count_by_hand;

use std::process::ExitCode;

use report::Line;
use support::{
    BoxError,
    args::{self, Action, Options, Output},
};
use tokio::runtime::Runtime;

/// The work of a scenario: its size, the rounds, and where it runs.
type Measure = fn(u64, usize, &Runtime) -> Result<Line, BoxError>;

struct Scenario {
    name: &'static str,
    /// Bytes or events of a run; `--quick` takes a tenth.
    full: u64,
    measure: Measure,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "word_count",
        full: 200_000_000,
        measure: word_count::measure,
    },
    Scenario {
        name: "nexmark_q5",
        full: 5_000_000,
        measure: auctions::hot_items_query,
    },
    Scenario {
        name: "nexmark_q7",
        full: 5_000_000,
        measure: auctions::highest_bids_query,
    },
    Scenario {
        name: "nexmark_q8",
        full: 5_000_000,
        measure: auctions::new_sellers_query,
    },
    Scenario {
        name: "sliding_10x",
        full: 20_000_000,
        // Ten events of a key in each short slide.
        measure: |n, rounds, runtime| sliding::measure("sliding_10x", (n, 100), rounds, runtime),
    },
];

/// On request: `--scenario` with its name.
const MORE: [Scenario; 2] = [
    Scenario {
        name: "sliding_10x_sparse",
        full: 4_000_000,
        // One event of a key in each short slide.
        measure: |n, rounds, runtime| {
            sliding::measure("sliding_10x_sparse", (n, 10), rounds, runtime)
        },
    },
    Scenario {
        name: "bounds",
        full: 50_000_000,
        measure: |n, _rounds, runtime| bounds::measure(n, runtime),
    },
];

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("flow: built without optimisation, nothing measured; use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match args::parse("flow", std::env::args().skip(1)).and_then(act) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flow: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<(), BoxError> {
    match action {
        Action::Compare(options) => compare(&options),
        Action::Help => {
            println!("{}", args::usage("flow"));
            Ok(())
        }
        Action::MeasureMemory(_) | Action::CountInstructions { .. } => {
            Err("it measures time; the scenario `bounds` measures memory".into())
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
    for scenario in chosen {
        let full = if options.quick {
            scenario.full / 10
        } else {
            scenario.full
        };
        let n = options.messages.unwrap_or(full);
        let line = (scenario.measure)(n, options.rounds, &runtime)?;
        eprintln!("{:<18} {line}", line.scenario);
        if options.output == Output::Json {
            println!("{}", line.json()?);
        }
    }
    Ok(())
}
