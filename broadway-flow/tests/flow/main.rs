//! Flows as users write them, one file per part.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod acked;
mod acked_failures;
mod batches;
mod counts;
mod departition;
mod emit_and_reduce;
mod ends;
mod failures;
mod feed;
mod fixed;
mod joins;
mod lateness;
mod lines;
mod mapping;
mod operators;
mod pairs;
mod partition;
mod periodic;
mod plan;
mod progress;
#[cfg(feature = "queue")]
mod queued;
mod reduce;
mod restored;
mod sessions;
mod shards;
mod snapshots;
mod sources;
mod take_sort;
mod through;
mod triggers;
mod uniq;
mod whole;
mod windows;
