//! [`Fatal`]: an error after which a source is not opened again.

use std::{error::Error, fmt};

use crate::error::BoxError;

/// An error of a source that opening it again would not cure, or must not try to.
///
/// The engine opens a producer that failed again, by the pipeline's
/// [`RestartPolicy`](crate::RestartPolicy). A source whose [`produce`](crate::SourceProducer::produce) or
/// [`open`](crate::Source::open) returns a `Fatal` is not opened again: the topology drains, and ends with
/// [`RunError::Producer`](crate::RunError::Producer). For a right that another process has taken over, for instance, and not
/// for what an operator can mend while the pipeline waits.
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
    /// An error that ends the producer for good.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
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
