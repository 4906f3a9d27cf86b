//! The cost of the engine, compared with hand-written tokio programs.
//!
//! Every scenario runs its programs in turn, round after round, in this one process on two
//! worker threads, so that outside load affects all alike. The reliable figure is the median of CPU
//! time (user and system) per message, and only the ratio between two programs of one run is
//! meaningful; messages per second depend on the load of the machine.
//!
//! If several hand-written programs are plausible, all of them run, and the one with the lowest CPU
//! time is the reference. Programs marked "for scale" do not compete: they show the lower bound, or
//! the cost with messages in ready-made chunks.
//!
//! Memory is measured in a child process per program, started from the same binary, because the
//! peak of one program would otherwise hide the smaller peaks of later programs.
//!
//! ```console
//! $ cargo bench --bench by_hand                                  # a minute or two
//! $ cargo bench --bench by_hand -- --quick --scenario batcher_100
//! $ cargo bench --bench by_hand -- --json > figures.jsonl        # the table goes to stderr
//! ```

mod engine;
mod reference;
mod scenarios;
mod support;

use std::process::ExitCode;

/// Counts per thread, so that counting adds no contention. It also adds to the timed runs, equally
/// for all programs: about 5 ns for an allocation and its release, which is a tenth of `json_value`
/// (20 allocations a message) and negligible elsewhere.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();

fn main() -> ExitCode {
    support::bench::main("by_hand", scenarios::all)
}
