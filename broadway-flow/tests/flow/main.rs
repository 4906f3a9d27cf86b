//! Flows as users write them, one file per part.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod acked;
mod lines;
mod mapping;
mod shards;
mod sources;
mod windows;
