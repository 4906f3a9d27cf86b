//! Shared by the benchmarks with brokers: command line, clock and output.

pub(crate) mod args;
pub(crate) mod clock;
pub(crate) mod report;

use super::BoxError;
