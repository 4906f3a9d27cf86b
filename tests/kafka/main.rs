//! Kafka, the whole way: pipelines in a consumer group on a real broker, with members that come, leave, and are killed.
//!
//! Needs the broker of `scripts/brokers up kafka`, or the one that `BROADWAY_KAFKA` names. Without one the tests say that
//! they were left out, unless `BROADWAY_REQUIRE_BROKERS` is set: then they fail.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod broker;
mod examples;
mod killed;
mod ledger;
mod member;
mod rebalanced;
