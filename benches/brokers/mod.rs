//! What the benchmarks that need a broker share: their command line, their clock, and what they print.

pub(crate) mod args;
pub(crate) mod clock;
pub(crate) mod report;

use super::BoxError;
