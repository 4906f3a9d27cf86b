//! The Kafka connector against a real broker: `scripts/brokers up kafka`. One program, because each one is linked on its own.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod appearing;
mod common;
mod creating;
mod failures;
mod faults;
mod forced_end;
mod instance;
mod lag;
mod limits;
mod memory;
mod pipeline;
mod progress;
mod publishing;
mod publishing_bridge;
mod publishing_faults;
mod publishing_limits;
mod read_ahead;
mod reading;
mod rebalance;
mod refused;
mod retention;
mod uneven;
mod ways_out;
