//! The ledger run: ids go through a broker and a pipeline while processes are killed, networks fail and every hundredth
//! message is hostile; then every id must be accounted for.
//!
//! ```text
//! feeder ─▶ broker ─▶ [proxy] ─▶ workers: pipelines behind dead letters ─▶ book (a file: one line for each handling)
//!                        ▲              ▲      │                             │
//!            cuts, silence └── nemesis ──┘ kills └─▶ dead letters ─▶ box       ▼
//!                                                                   └──▶ checker ─▶ figures
//! ```
//!
//! `plan` derives every id's message from a seed; `hostile` lists the hostile messages; `feeder` sends; `worker`
//! handles; `book` and `dead` record the outcome; `checker` compares it with the plan; `nemesis` injects faults; `run`
//! connects them, `phases` are the three runs of each broker, and `report` prints the figures. One small file for each
//! broker describes it.
//!
//! - *hostile*: one worker, no faults. Lost 0, repeated 0, dead letters exact.
//! - *graceful*: workers join and leave, handlers take unevenly long. The same.
//! - *faults*: workers are killed, their network is cut and silent. Lost 0, dead letters exact but perhaps twice,
//!   repeats bounded.
//! - *failures*: the same, for several seeds, with handlers that fail good messages and batches for a while, and hang; both
//!   are retried, `in_flight`, on even seeds in order per key. What the handler cannot handle is poison, panics, or uses up
//!   its attempts.
//!
//! `BROADWAY_LEDGER_IDS` is the number of ids of a broker (by default few enough for `scripts/test`), `SEED` the seed,
//! which every run prints, and `BROADWAY_LEDGER_SEEDS` the number of seeds of *failures*, from `SEED` on, each with a tenth of
//! the ids. By default one. The same handlers in memory, with many more seeds: `broadway-core/tests/ledger`. `scripts/ledger` runs the full size. Brokers are found as in `tests/conformance`.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod book;
mod broker;
mod checker;
#[path = "../conformance/connectors/mod.rs"]
mod connectors;
mod dead;
mod feeder;
mod hostile;
mod kafka;
mod nemesis;
mod phases;
mod plan;
mod pubsub;
mod rabbitmq;
mod report;
mod run;
mod sqs;
mod worker;
