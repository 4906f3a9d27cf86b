//! [`readable`]: errors that a `main` prints as sentences.

use std::{error::Error, fmt};

use super::ConnectorError;
use crate::{config_error::ConfigError, error::BoxError};

/// Makes the `Debug` of an error equal to its `Display`.
///
/// A `main` that returns an error prints its `Debug`; for an error made of a string that is the string in quotes, with escapes. A
/// [`ConfigError`] and a [`ConnectorError`] are readable already and are returned unchanged, so that [`ConnectorError::find`] finds the
/// latter. Use it for errors that a connector returns to users directly, such as the error of a
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
    match error.is::<ConfigError>() || error.is::<ConnectorError>() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_connector_error_is_still_found() {
        let error = readable(ConnectorError::auth("wrong password").into());
        assert!(ConnectorError::find(error.as_ref()).is_some());
        assert_eq!(format!("{error:?}"), "wrong password");
    }
}
