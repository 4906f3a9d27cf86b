//! The SQS connector against a real broker: `scripts/brokers up sqs`. One program, because each one is linked on its own.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod blocked;
mod common;
mod deliveries;
mod faults;
mod fifo;
mod hostile;
mod lag;
mod publishing;
mod reading;
mod recovery;
mod refused;
mod tls;
mod unlimited;
