//! Why a message was not confirmed.

use std::{error::Error, fmt};

use crate::error::BoxError;

/// What is known of a message that was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// The broker or its client said no, and it was not sent: too large, no such destination, no permission. Sending it again
    /// unchanged does not help.
    Refused,
    /// No answer in time, or the connection was lost: it may have arrived or not. Sending it again may send it twice.
    Unconfirmed,
    /// The publisher is closed: it was not sent.
    Closed,
}

/// Why a message was not confirmed: what is known of it, and what the client said.
pub struct PublishError {
    kind: PublishErrorKind,
    error: BoxError,
}

impl PublishError {
    /// For connectors: an error of this kind, with a text that says what, where, and what to do.
    #[must_use]
    pub fn new(kind: PublishErrorKind, error: impl Into<BoxError>) -> Self {
        Self {
            kind,
            error: error.into(),
        }
    }

    /// Not sent, and sending it again unchanged does not help.
    #[must_use]
    pub fn refused(error: impl Into<BoxError>) -> Self {
        Self::new(PublishErrorKind::Refused, error)
    }

    /// It may have arrived or not.
    #[must_use]
    pub fn unconfirmed(error: impl Into<BoxError>) -> Self {
        Self::new(PublishErrorKind::Unconfirmed, error)
    }

    /// Not sent, since the publisher is closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(PublishErrorKind::Closed, "it takes no more messages")
    }

    /// A publisher owes a result for each message.
    pub(super) fn no_result() -> Self {
        Self::unconfirmed("the publisher gave no result for this message: a defect of it")
    }

    /// What is known of the message.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        self.kind
    }

    /// Whether sending it again can help. It may then arrive twice.
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
