//! Pure state machines: they decide, and never wait, lock, log or read a clock.
//!
//! Time comes in as an `Instant`, randomness as a number; what to do comes out as a value. So each
//! of them is tested without a runtime, against a simple model.

pub mod batcher;
pub mod chunk_size;
pub mod credit;
pub mod offsets;
pub mod partitions;
pub mod rate;
pub mod restart;
