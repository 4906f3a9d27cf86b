//! [`Fatal`]: an error after which a source is not opened again.

use std::{error::Error, fmt};

use crate::error::BoxError;

/// An error of a source that opening it again cannot or must not correct.
///
/// The pipeline opens a failed producer again by its [`RestartPolicy`](crate::RestartPolicy), unless
/// [`produce`](crate::SourceProducer::produce) or [`open`](crate::Source::open) returned a `Fatal`: then the topology drains, and ends
/// with [`RunError::Producer`](crate::RunError::Producer). Use it when another process has taken over the source's identity, for
/// instance; not for problems that an operator can solve while the pipeline waits.
///
/// ```
/// use broadway_core::{BoxError, Fatal};
///
/// fn fenced() -> BoxError {
///     Fatal::new("another consumer has taken over").into()
/// }
/// assert_eq!(fenced().to_string(), "another consumer has taken over");
/// assert!(fenced().is::<Fatal>());
/// ```
pub struct Fatal(BoxError);

impl Fatal {
    /// Wraps an error, so that the producer is not opened again.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// The error that was made fatal.
    pub(crate) fn inner(&self) -> &(dyn Error + 'static) {
        self.0.as_ref()
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Fatal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
