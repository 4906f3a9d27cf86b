//! The programs a user would write with tokio instead, one file per shape.
//!
//! They are generous to themselves: no message can fail, nothing catches a panic, nothing drains
//! or is observed, and settling is two additions per chunk or batch. What they do not do is what
//! the engine's remaining time buys.

pub(crate) mod batcher;
pub(crate) mod decode;
pub(crate) mod keys;
pub(crate) mod partition;
pub(crate) mod processors;

/// Messages a channel between two stages holds.
const CAPACITY: usize = 1_000;

/// How long an open batch waits for more.
const BATCH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
