//! The clock of the benchmarks with brokers, under the name by which the programs over the bare client find it.

#[path = "../../brokers/clock.rs"]
pub(crate) mod clock;
