//! Kafka end to end: pipelines in a consumer group on a real broker, with members that join, leave, and are killed.
//!
//! Needs the broker of `scripts/brokers up kafka`, or the one that `BROADWAY_KAFKA` names. Without one the tests are
//! skipped with a message. If `BROADWAY_REQUIRE_BROKERS` is set, they fail.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test with its line")]

mod broker;
mod examples;
mod killed;
mod ledger;
mod member;
#[path = "../program.rs"]
mod program;
mod rebalanced;
