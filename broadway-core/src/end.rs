//! [`End`]: how a stage and its subscriptions ended.

use std::{error::Error, fmt, sync::Arc};

use crate::error::Reason;

/// How a stage ended.
///
/// Cheap to clone: all consumers receive the same failure. A consumer's [`Cancel`](crate::stage::Cancel) mode decides how it reacts to
/// the end of a producer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum End {
    /// It completed: its input ended, or it called [`Context::stop`](crate::stage::Context::stop).
    Normal,
    /// It was stopped, or all its handles were dropped.
    Shutdown,
    /// A callback returned an error or panicked, and the stage is not restarted, or its restarts are exhausted.
    Failed(Failure),
}

impl End {
    /// Returns whether the stage failed.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Returns the failure, if it failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Normal | Self::Shutdown => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended"),
            Self::Shutdown => f.write_str("shut down"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

/// Which stage failed, and why.
#[derive(Clone)]
pub struct Failure {
    stage: Arc<str>,
    reason: Reason,
}

impl Failure {
    pub(crate) fn new(stage: &Arc<str>, reason: Reason) -> Self {
        Self {
            stage: Arc::clone(stage),
            reason,
        }
    }

    /// Returns the name of the stage.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Returns the callback, and its error or panic.
    #[must_use]
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {}: {}", self.stage, self.reason)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_error().map(|error| error as _)
    }
}
