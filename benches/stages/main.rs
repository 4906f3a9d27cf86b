//! What stages cost, each scenario beside the tokio program a user would write instead.
//!
//! It measures as `by_hand` does: programs in turn, round after round, in one process on two worker threads; medians of CPU
//! time (user and system); every run checked by count and checksum. What counts as a message is said with each scenario:
//!
//! - `hop_500`: an event that goes over one of two hops, producer to producer-consumer and producer-consumer to consumer. So
//!   half as many events as messages are sent, and a figure per message is one per event and hop. Each hop carries chunks of
//!   500 events (`max_demand` 1,000, `min_demand` 500).
//! - `task_per_event`: an event that is handled in a task.
//! - `broadcast_4`: the delivery of an event to one of four consumers that all get all; so a fourth as many events are sent.
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

/// As in `by_hand`: every program pays for it alike.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();

fn main() -> ExitCode {
    support::bench::main("stages", scenarios::all)
}
