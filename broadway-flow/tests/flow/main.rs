//! Flows as users write them, one file per part.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod acked;
mod lines;
mod departition;
mod emit_and_reduce;
mod joins;
mod mapping;
mod shards;
mod plan;
mod progress;
mod sources;
mod take_sort;
mod through;
mod uniq;
mod windows;
