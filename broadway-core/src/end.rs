//! [`End`]: how a stage, and with it its subscriptions, came to its end.

use std::{error::Error, fmt, sync::Arc};

use crate::error::Reason;

/// How a stage ended, and so why it sends nothing any more.
///
/// Cheap to clone: everyone downstream hears of the same failure. What a consumer makes of the end of a producer is up to
/// its [`Cancel`](crate::stage::Cancel) mode.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum End {
    /// It had no more to do: its input ended, or it said so with [`Context::stop`](crate::stage::Context::stop).
    Normal,
    /// It was told to stop, or nobody could reach it any more.
    Shutdown,
    /// A callback returned an error or panicked, and the stage is not restarted, or was too often.
    Failed(Failure),
}

impl End {
    /// Whether the stage failed.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// The failure, if there was one.
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

    /// The name of the stage.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// The callback, and what it returned or how it panicked.
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
