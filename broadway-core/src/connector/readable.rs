//! [`readable`]: errors that a `main` prints as sentences.

use std::{error::Error, fmt};

use crate::{config_error::ConfigError, error::BoxError};

/// Makes the `Debug` of an error equal to its `Display`.
///
/// A `main` that returns an error prints its `Debug`; for an error made of a string that is the string in quotes, with escapes. A
/// [`ConfigError`] is returned unchanged. Use it for errors that a connector returns to users directly, such as the error of a
/// publisher that cannot open.
///
/// ```
/// use broadway_core::{BoxError, connector::readable};
///
/// let error: BoxError = "no broker at `brokers` = \"kafka-1:9092\"".into();
/// assert_eq!(format!("{:?}", readable(error)), "no broker at `brokers` = \"kafka-1:9092\"");
/// ```
#[must_use]
pub fn readable(error: BoxError) -> BoxError {
    match error.is::<ConfigError>() {
        true => error,
        false => Box::new(Readable(error)),
    }
}

struct Readable(BoxError);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Readable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
