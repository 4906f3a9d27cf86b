//! The Pub/Sub connector against a real broker: `scripts/brokers up pubsub`. One program, because each one is linked on its own.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod acks;
mod batches;
mod blocked;
mod common;
mod faults;
mod hostile;
mod lag;
mod opening;
mod pipeline;
mod publishing;
mod reading;
mod refused;
mod unlimited;
