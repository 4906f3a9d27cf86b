//! Errors of a broker's client, classified: [`ConnectorError`], and its kinds.

use std::{error::Error, fmt};

use crate::{causes::causes, error::BoxError};

/// Whether an operation that failed can succeed later, and whether an operator must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectorErrorKind {
    /// A later attempt may succeed without anyone acting: a lost connection, no answer in time, throttling, a broker that restarts.
    Transient,
    /// The broker rejects the credentials, or denies this client a permission. Usually an operator has to act; a broker that is
    /// starting up may answer the same, so retry slowly.
    Auth,
    /// The same request fails again until the configuration or the broker's setup changes: a missing queue, a name that is not
    /// valid, a TLS certificate for another host.
    Permanent,
}

/// An error of a connector: its [kind](ConnectorErrorKind), and a text that names the option, its value and what to do.
///
/// The connectors' sources and publishers return it (as a [`BoxError`]) where the broker or its client failed. Programs that decide by
/// kind find it with [`ConnectorError::find`]; errors of the configuration are a [`ConfigError`](crate::ConfigError) instead.
///
/// ```
/// use broadway_core::{BoxError, connector::{ConnectorError, ConnectorErrorKind}};
///
/// let error: BoxError = ConnectorError::auth("the broker rejects the user \"billing\": check the password").into();
/// let kind = ConnectorError::find(error.as_ref()).map(ConnectorError::kind);
/// assert_eq!(kind, Some(ConnectorErrorKind::Auth));
/// ```
pub struct ConnectorError {
    kind: ConnectorErrorKind,
    error: BoxError,
}

impl ConnectorError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: ConnectorErrorKind, error: impl Into<BoxError>) -> Self {
        Self {
            kind,
            error: error.into(),
        }
    }

    /// An error that a later attempt may not meet.
    #[must_use]
    pub fn transient(error: impl Into<BoxError>) -> Self {
        Self::new(ConnectorErrorKind::Transient, error)
    }

    /// Credentials or permissions that the broker rejects.
    #[must_use]
    pub fn auth(error: impl Into<BoxError>) -> Self {
        Self::new(ConnectorErrorKind::Auth, error)
    }

    /// An error that repeats until someone changes the configuration or the broker.
    #[must_use]
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::new(ConnectorErrorKind::Permanent, error)
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> ConnectorErrorKind {
        self.kind
    }

    /// Whether the error is [transient](ConnectorErrorKind::Transient).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == ConnectorErrorKind::Transient
    }

    /// The connector error that `error` is, or was caused by.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|error| error.downcast_ref())
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for ConnectorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The text of `error` and of its causes, from the outermost to the root, separated by `: `.
///
/// Client libraries hide the useful part in a cause. A cause whose text the error repeats already is left out, and so is a final full
/// stop.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    text.truncate(text.trim_end_matches('.').len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fatal::Fatal;

    #[derive(Debug)]
    struct Outer(BoxError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("dispatch failure")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self.0.as_ref())
        }
    }

    #[test]
    fn the_kind_is_found_through_wrapping_errors() {
        let outer = Outer(ConnectorError::permanent("no such queue").into());
        let found = ConnectorError::find(&outer).expect("it is the cause");
        assert_eq!(found.kind(), ConnectorErrorKind::Permanent);
        assert!(!found.is_transient());
        assert!(ConnectorError::find(&Outer("other".into())).is_none());
        let fatal = Fatal::new(ConnectorError::auth("fenced"));
        assert!(ConnectorError::find(&fatal).is_some());
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        let twice = Outer(Box::new(Outer("connection refused.".into())));
        assert_eq!(error_chain(&twice), "dispatch failure: connection refused");
    }
}
