//! Why a message was not confirmed.

use std::{error::Error, fmt};

use crate::error::BoxError;

/// Whether a message that was not confirmed may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// Not sent: the broker or its client refused it (too large, no such destination, no permission). Sending it again unchanged fails
    /// again.
    Refused,
    /// Unknown: no response in time, or the connection was lost. The message may or may not have arrived, and sending it again may
    /// duplicate it.
    Unconfirmed,
    /// Not sent: the publisher is closed.
    Closed,
}

/// Why a message was not confirmed: its kind, and the error of the client.
pub struct PublishError {
    kind: PublishErrorKind,
    error: BoxError,
}

impl PublishError {
    /// Creates an error of this kind, for connectors. The text names the problem, the place and the remedy.
    #[must_use]
    pub fn new(kind: PublishErrorKind, error: impl Into<BoxError>) -> Self {
        Self {
            kind,
            error: error.into(),
        }
    }

    /// Creates a [`Refused`](PublishErrorKind::Refused) error.
    #[must_use]
    pub fn refused(error: impl Into<BoxError>) -> Self {
        Self::new(PublishErrorKind::Refused, error)
    }

    /// Creates an [`Unconfirmed`](PublishErrorKind::Unconfirmed) error.
    #[must_use]
    pub fn unconfirmed(error: impl Into<BoxError>) -> Self {
        Self::new(PublishErrorKind::Unconfirmed, error)
    }

    /// Creates a [`Closed`](PublishErrorKind::Closed) error.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(PublishErrorKind::Closed, "it takes no more messages")
    }

    /// Creates the error of a message for which a publisher returned no result.
    pub(crate) fn no_result() -> Self {
        Self::unconfirmed("the publisher gave no result for this message: a defect of it")
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        self.kind
    }

    /// Returns whether sending the message again can help. It may then arrive twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind == PublishErrorKind::Unconfirmed
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            PublishErrorKind::Refused => "the message was refused",
            PublishErrorKind::Unconfirmed => "the message was not confirmed",
            PublishErrorKind::Closed => "the publisher is closed",
        };
        write!(f, "{what}: {}", self.error)
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.error.as_ref())
    }
}
