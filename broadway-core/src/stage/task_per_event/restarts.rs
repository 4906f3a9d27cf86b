//! [`TooManyRestarts`]: why a stage that restarts its tasks fails.

use std::{error::Error, fmt};

use crate::{error::Reason, machine::restart::Intensity};

/// The stage failed because its tasks failed more often than its [intensity](super::TaskPerEventBuilder::restart_transient) allows.
#[derive(Clone)]
pub struct TooManyRestarts {
    intensity: Intensity,
    last: Reason,
}

impl TooManyRestarts {
    pub(super) const fn new(intensity: Intensity, last: Reason) -> Self {
        Self { intensity, last }
    }

    /// Returns how often tasks may be restarted.
    #[must_use]
    pub const fn intensity(&self) -> Intensity {
        self.intensity
    }

    /// Returns why the last task failed.
    #[must_use]
    pub const fn last(&self) -> &Reason {
        &self.last
    }
}

impl fmt::Display for TooManyRestarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Intensity {
            restarts_max,
            window,
        } = self.intensity;
        let last = &self.last;
        write!(
            f,
            "more than {restarts_max} restart(s) within {window:?}: {last}"
        )
    }
}

impl Error for TooManyRestarts {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.last.as_error().map(|error| error as _)
    }
}
