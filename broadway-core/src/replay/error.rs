//! [`ReplayError`]: why a replay did not run to its end.

use std::{error::Error, fmt};

use crate::error::{RunError, StartError};

/// Why a replay, or a list, did not run to its end.
///
/// Dead letters that fail are not an error: [`ReplayReport`](super::ReplayReport) counts them.
#[non_exhaustive]
pub enum ReplayError {
    /// It did not start: options are invalid, or the source could not be opened. Nothing was read.
    Start(StartError),
    /// It ended early. Dead letters that were not settled are delivered again.
    Run(RunError),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "cannot read dead letters: {error}"),
            Self::Run(error) => write!(f, "reading dead letters ended early: {error}"),
        }
    }
}

impl Error for ReplayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Run(error) => Some(error),
        }
    }
}
