//! The cost of stages, compared with hand-written tokio programs.
//!
//! It measures as `by_hand` does: programs in turn, round after round, in one process on two worker threads; medians of CPU
//! time (user and system); every run checked by count and checksum. Each scenario defines what it counts as a message:
//!
//! - `hop_500`: an event on one of two hops, producer to producer-consumer and producer-consumer to consumer. So
//!   half as many events as messages are sent, and a figure per message is one per event and hop. Each hop carries chunks of
//!   500 events (`max_demand` 1,000, `min_demand` 500).
//! - `task_per_event`: an event that is handled in a task.
//! - `broadcast_4`: the delivery of an event to one of four consumers, each of which gets all events. So a quarter as many events as
//!   messages are sent.
//! - `partition_4`: an event that goes to one of four consumers, by its key.
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
