//! Pure state machines.
pub mod batcher;
