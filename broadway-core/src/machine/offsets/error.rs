//! Errors of deliveries and settlements that contradict earlier ones.

use std::fmt;

/// Why a delivery was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliverError {
    /// The offset, or one above it, was delivered before in this assignment.
    NotAscending {
        /// The first offset of the run.
        offset: i64,
    },
    /// The run begins below 0 or ends above `i64::MAX - 1`.
    OutOfRange {
        /// The first offset of the run.
        offset: i64,
        /// The length of the run.
        n: usize,
    },
}

impl fmt::Display for DeliverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAscending { offset } => write!(
                f,
                "offset {offset} is not above those delivered before: after a seek, begin a new epoch"
            ),
            Self::OutOfRange { offset, n } => {
                write!(
                    f,
                    "{n} offsets from {offset} on are not within 0 and 2^63 - 2"
                )
            }
        }
    }
}

impl std::error::Error for DeliverError {}

/// Why a settlement was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleError {
    /// The offset was not delivered in this assignment.
    NotDelivered {
        /// The offset; in a run, the first such one.
        offset: i64,
    },
    /// The offset is settled, or lies below the commit, where gaps and messages cannot be distinguished.
    AlreadySettled {
        /// The offset; in a run, the first such one.
        offset: i64,
    },
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDelivered { offset } => {
                write!(f, "offset {offset} was settled but never delivered")
            }
            Self::AlreadySettled { offset } => write!(f, "offset {offset} was settled twice"),
        }
    }
}

impl std::error::Error for SettleError {}
