//! Shared by all benchmarks: arguments, clocks, memory, tables.

pub(crate) mod args;
pub(crate) mod bench;
pub(crate) mod measure;
pub(crate) mod memory;
pub(crate) mod report;
pub(crate) mod scenario;
pub(crate) mod workload;

/// An error to print.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
