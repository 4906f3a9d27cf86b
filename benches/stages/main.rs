//! The cost of stages, compared with hand-written tokio programs.
//!
//! Measures like `by_hand`: programs in turn, round after round, in one process on two worker threads; medians of CPU time (user
//! and system); every run checked by count and checksum. The meaning of "message" depends on the scenario:
//!
//! - `hop_500`: an event on one of two hops, producer to producer-consumer and producer-consumer to consumer. So half as many
//!   events as messages are sent, and figures are per event and hop. Each hop carries chunks of 500 events (`max_demand` 1,000,
//!   `min_demand` 500).
//! - `task_per_event`: an event that is handled in a task.
//! - `broadcast_4`: the delivery of an event to one of four consumers, which all receive every event. So a quarter as many events
//!   as messages are sent.
//! - `partition_4`: an event sent to one of four consumers by its key.
//!
//! ```console
//! $ cargo bench --bench stages
//! $ cargo bench --bench stages -- --quick --scenario hop_500
//! $ cargo bench --bench stages -- --json > figures.jsonl        # the table goes to stderr
//! ```

mod by_hand;
mod ours;
mod scenarios;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the benchmark `by_hand` needs more of it")]
mod support;

use std::process::ExitCode;

/// As in `by_hand`: it adds equally to all programs.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();

fn main() -> ExitCode {
    support::bench::main("stages", scenarios::all)
}
