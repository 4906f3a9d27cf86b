//! The guarantees of a pipeline, one file per topic, through the public API only.
//!
//! Time is paused where it matters, and no test sleeps to wait: tests wait for events, receipts and the ledger of a manual
//! source.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as tests do"
)]

mod acks;
mod batch_processors;
mod batchers;
mod boxed;
mod caps;
mod common;
mod contract;
mod demand;
mod drain;
mod drops;
mod empty_answers;
mod failures;
mod feedback;
mod handle;
mod handle_done;
mod in_flight;
mod inside;
mod layers;
mod lent;
mod limits;
mod live;
#[cfg(feature = "tracing")]
mod logs;
mod numbers;
mod order;
mod outcomes;
mod parking;
mod processors;
mod producers;
mod progress;
mod publishing;
mod queue;
mod random;
mod rate;
mod release;
mod resize;
mod retry;
mod retry_batches;
mod runtime;
mod settle_done;
mod several_sources;
mod shared_handler;
mod slow_sinks;
mod small_batches;
mod sources;
mod split;
mod stale;
mod start;
mod telemetry;
mod test_kit;
mod turns;
mod unkeyed;
mod watchdog;
