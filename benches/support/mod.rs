//! Shared by the benchmarks of the engine: arguments, clocks, memory, instructions, tables.

pub(crate) mod args;
pub(crate) mod bench;
pub(crate) mod instructions;
pub(crate) mod limits;
pub(crate) mod measure;
pub(crate) mod memory;
pub(crate) mod report;
pub(crate) mod scenario;
pub(crate) mod workload;

/// An error to print.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
