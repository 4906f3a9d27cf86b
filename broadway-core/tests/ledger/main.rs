//! The ledger of failures, in memory: a hundred thousand ids go through pipelines whose handlers fail, panic and hang, whose dead-letter
//! broker is cut off, refuses and loses responses, and which are killed and drained; then every id must be accounted for.
//!
//! ```text
//! Queue ─▶ tap ─▶ DeadLetters( worker ) ─▶ sink
//!          │           │        │           │       each writes to one ledger, in order
//!          ▼           ▼        ▼           ▼
//!        ledger ◀── letters ◀─ fates ◀──────┘  ──▶ audit
//! ```
//!
//! `plan` derives from a seed the options of the pipeline and the fate of every id. `worker` is the handler, which does what the fates say;
//! `letters` is the dead-letter broker; `tap` stands between the queue and the pipeline; `ledger` is what all of them saw, in order;
//! `audit` reads it from the beginning and says what is wrong, and `figures` counts. `run` kills one topology after the other over the same queue, which delivers
//! again what was not settled, as a broker does.
//!
//! What the audit proves for each run:
//!
//! - Each id is in the sink or among the dead letters. An id that can never succeed is not in the sink; one that must succeed is, unless
//!   others of its batch took it with them.
//! - A message is settled once, and as done only after it was written or after its dead letter was *confirmed*.
//! - Attempts and the pauses between them follow the policy, for messages and for batches, and a dead letter comes when they are used up.
//! - The handlers of a key do not overlap, and with one producer its writes are in order.
//! - `handle_done` saw what was done, and only that, before it was settled.
//!
//! Time is paused. A failure names its seed: `SEED=17 cargo test -p broadway-core --test ledger` runs that one alone, and `RUNS=2000`
//! sets the number of runs. The same at real brokers, with processes that are killed: `tests/reliability`.

mod audit;
mod figures;
mod ledger;
mod letters;
mod plan;
mod run;
mod tap;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};

use figures::Figures;

/// With this many runs, 104,000 ids.
const RUNS: u64 = 200;

#[test]
fn every_id_ends_in_the_sink_or_among_the_dead_letters() {
    let number = |name| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RUNS").unwrap_or(RUNS),
    };
    let is_whole = seeds.end - seeds.start >= RUNS;
    let mut all = Figures::default();
    for seed in seeds {
        let figures = catch_unwind(AssertUnwindSafe(|| run::run(seed)));
        all.add(&figures.unwrap_or_else(|_| panic!("the run of SEED={seed} failed")));
    }
    println!("{all:?}");
    if is_whole {
        all.assert_much_happened();
    }
}
