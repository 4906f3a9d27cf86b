//! What the engine costs against the tokio program a user would write instead.
//!
//! Every scenario runs its programs in turn, round after round, in this one process on two
//! worker threads, so that load from outside falls on all of them alike. The figure to trust is
//! the median of CPU time (user and system) per message, and the claim is the ratio between two
//! programs of one run; messages per second depend on what else the machine does.
//!
//! Where several programs by hand are plausible all of them run, and the one that needs the least
//! CPU time is the reference. Programs marked "for scale" do not compete: they show the floor, or
//! what is left when messages are put into chunks by hand.
//!
//! Memory is measured in a child process per program, started from this same binary, because the
//! peak of one program would otherwise hide that of every smaller one after it.
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

/// Counts per thread, so that counting adds no contention. The timed runs pay for it too, every
/// program alike: some 5 ns for an allocation and its release, which is a tenth of `json_value`
/// (20 allocations a message) and lost in the noise elsewhere.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();

fn main() -> ExitCode {
    support::bench::main("by_hand", scenarios::all)
}
