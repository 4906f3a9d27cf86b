//! A flow that several instances share through Kafka: the example `flow_instances`, one of whose processes is killed.
//!
//! Needs the broker of `scripts/brokers up kafka`, or the one that `BROADWAY_KAFKA` names. Without one the test is skipped with a message. If
//! `BROADWAY_REQUIRE_BROKERS` is set, it fails.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test with its line")]

mod instances;
#[path = "../program.rs"]
mod program;
mod shared;
