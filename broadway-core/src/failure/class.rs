//! The class of an error: [`ErrorClass`], the functions that set it, and [`ClassifiedError`] for all of its options.

use std::{error::Error, fmt, time::Duration};

use super::FailureAction;
use crate::{
    causes::causes,
    connector::{ConnectorError, ConnectorErrorKind},
    error::{BoxError, Reason},
    publish_error::PublishError,
};

/// Whether it helps to handle a message again.
///
/// A handler sets the class of an error with [`transient`], [`permanent`] or [`poison`], or with the methods of [`Classify`]. Other
/// errors are transient, except that a [`ConnectorError`] and a [`PublishError`] have the class of their kind. A panic is permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorClass {
    /// It may succeed later: a timeout, a lost connection, a lock. Retried, if the [policy](super::FailurePolicy) retries.
    Transient,
    /// It will fail again: a missing permission, a violated constraint, a defect. Not retried.
    Permanent,
    /// The message itself cannot be handled by anyone: it cannot be decoded, or violates its schema. Not retried.
    Poison,
}

impl ErrorClass {
    /// Returns the name in logs, metrics and the headers of dead letters, such as `transient`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Poison => "poison",
        }
    }

    /// Returns the class with this [name](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Transient, Self::Permanent, Self::Poison];
        all.into_iter().find(|class| class.name() == name)
    }

    /// Returns the class of an error: the one that was set on it or on one of its sources, or the default of its type.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let known = causes(error).find_map(known_class);
        known.unwrap_or(Self::Transient)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn known_class(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    if let Some(classified) = error.downcast_ref::<ClassifiedError>() {
        return Some(classified.class);
    }
    if let Some(error) = error.downcast_ref::<PublishError>() {
        return Some(match error.is_retryable() {
            true => ErrorClass::Transient,
            false => ErrorClass::Permanent,
        });
    }
    let error = error.downcast_ref::<ConnectorError>()?;
    Some(match error.kind() {
        ConnectorErrorKind::Permanent => ErrorClass::Permanent,
        // Logins are rotated while programs run.
        _ => ErrorClass::Transient,
    })
}

/// An error with its class, and with what else the handler decides about the failure.
///
/// Prints as the error that it was made of, whose type is found again by [`Reason::as_error`](crate::Reason::as_error).
///
/// ```
/// use broadway_core::{BoxError, ClassifiedError, FailureAction};
/// use std::time::Duration;
///
/// fn busy(wait: Duration) -> BoxError {
///     ClassifiedError::transient("the service is busy").retry_after(wait).into()
/// }
///
/// fn forged() -> BoxError {
///     ClassifiedError::poison("the signature is forged").then(FailureAction::Halt).into()
/// }
/// # let _ = (busy(Duration::ZERO), forged());
/// ```
#[derive(Debug)]
pub struct ClassifiedError {
    class: ErrorClass,
    retry_after: Option<Duration>,
    action: Option<FailureAction>,
    is_postponed: bool,
    error: BoxError,
}

impl ClassifiedError {
    /// Creates an error of `class`.
    #[must_use]
    pub fn new(class: ErrorClass, error: impl Into<BoxError>) -> Self {
        Self {
            class,
            retry_after: None,
            action: None,
            is_postponed: false,
            error: error.into(),
        }
    }

    /// Creates a [transient](ErrorClass::Transient) error.
    #[must_use]
    pub fn transient(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorClass::Transient, error)
    }

    /// Creates a [permanent](ErrorClass::Permanent) error.
    #[must_use]
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorClass::Permanent, error)
    }

    /// Creates a [poison](ErrorClass::Poison) error.
    #[must_use]
    pub fn poison(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorClass::Poison, error)
    }

    /// Sets the pause before the next attempt, for instance from a `Retry-After` header. Replaces the pause of the
    /// [policy](super::Retry), whose limits still apply.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// Sets what happens to the message when it is not retried, or not any more. Replaces the action of the policy.
    #[must_use]
    pub fn then(mut self, action: FailureAction) -> Self {
        self.action = Some(action);
        self
    }

    /// Returns the class.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Returns the error that this was made of.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.error.as_ref()
    }

    /// Finds the classified error in the chain of an error.
    pub(crate) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|error| error.downcast_ref())
    }

    pub(crate) fn pause(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn action(&self) -> Option<FailureAction> {
        self.action
    }

    pub(crate) fn is_postponed(&self) -> bool {
        self.is_postponed
    }
}

impl fmt::Display for ClassifiedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for ClassifiedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl Reason {
    /// Returns the class of the failure. A panic is [permanent](ErrorClass::Permanent).
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.boxed()
            .map_or(ErrorClass::Permanent, |error| ErrorClass::of(error))
    }

    /// Returns the error of user code, for a `downcast_ref`, without the class that [`transient`] and others set. `None` after a
    /// panic.
    #[must_use]
    pub fn as_error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        let error = self.boxed()?;
        let classified = error.downcast_ref::<ClassifiedError>();
        Some(classified.map_or(error, ClassifiedError::get_ref))
    }
}

/// Marks an error as [transient](ErrorClass::Transient): `Err(transient(error))`.
#[must_use]
pub fn transient(error: impl Into<BoxError>) -> BoxError {
    ClassifiedError::transient(error).into()
}

/// Marks an error as [permanent](ErrorClass::Permanent): `Err(permanent(error))`.
#[must_use]
pub fn permanent(error: impl Into<BoxError>) -> BoxError {
    ClassifiedError::permanent(error).into()
}

/// Marks an error as [poison](ErrorClass::Poison): `Err(poison(error))`.
#[must_use]
pub fn poison(error: impl Into<BoxError>) -> BoxError {
    ClassifiedError::poison(error).into()
}

/// Asks for the message again after `delay`, without counting as a failure or as an attempt: `Err(postpone(delay))`.
///
/// The message keeps its place in the order of its key. It waits as a message that is retried does, under the same limits, also in a
/// pipeline that retries nothing. Not for `handle_batch`, where it counts as a transient failure. With
/// [`Retry::park_after`](crate::Retry::park_after) it may wait at its source instead, and then loses its place.
#[must_use]
pub fn postpone(delay: Duration) -> BoxError {
    let error = ClassifiedError::transient("postponed by its handler").retry_after(delay);
    ClassifiedError {
        is_postponed: true,
        ..error
    }
    .into()
}

/// Sets the [class](ErrorClass) of a result's error.
///
/// ```
/// use broadway_core::{BoxError, Classify, Message};
///
/// fn number(message: &Message<String>) -> Result<u64, BoxError> {
///     message.data().parse::<u64>().poison()
/// }
/// # let _ = number;
/// ```
pub trait Classify<T> {
    /// Marks the error as [transient](ErrorClass::Transient).
    ///
    /// # Errors
    ///
    /// The error of `self`.
    fn transient(self) -> Result<T, BoxError>;

    /// Marks the error as [permanent](ErrorClass::Permanent).
    ///
    /// # Errors
    ///
    /// The error of `self`.
    fn permanent(self) -> Result<T, BoxError>;

    /// Marks the error as [poison](ErrorClass::Poison).
    ///
    /// # Errors
    ///
    /// The error of `self`.
    fn poison(self) -> Result<T, BoxError>;
}

impl<T, E: Into<BoxError>> Classify<T> for Result<T, E> {
    fn transient(self) -> Result<T, BoxError> {
        self.map_err(transient)
    }

    fn permanent(self) -> Result<T, BoxError> {
        self.map_err(permanent)
    }

    fn poison(self) -> Result<T, BoxError> {
        self.map_err(poison)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(error: &BoxError) -> ErrorClass {
        ErrorClass::of(error.as_ref())
    }

    #[test]
    fn an_error_is_transient_unless_it_says_otherwise() {
        assert_eq!(class(&"no".into()), ErrorClass::Transient);
        assert_eq!(class(&permanent("no")), ErrorClass::Permanent);
        assert_eq!(class(&poison("no")), ErrorClass::Poison);
        let refused = PublishError::refused("too large").into();
        assert_eq!(class(&refused), ErrorClass::Permanent);
        assert_eq!(
            class(&PublishError::unconfirmed("lost").into()),
            ErrorClass::Transient
        );
    }

    #[test]
    fn the_class_is_found_below_a_context() {
        #[derive(Debug)]
        struct Context(BoxError);
        impl fmt::Display for Context {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("while reading the order")
            }
        }
        impl Error for Context {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self.0.as_ref())
            }
        }
        let error: BoxError = Box::new(Context(poison("not JSON")));
        assert_eq!(class(&error), ErrorClass::Poison);
    }

    #[test]
    fn an_error_that_is_its_own_source_has_a_class() {
        #[derive(Debug)]
        struct Circle;
        impl fmt::Display for Circle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("round and round")
            }
        }
        impl Error for Circle {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self)
            }
        }
        assert_eq!(ErrorClass::of(&Circle), ErrorClass::Transient);
        assert!(ClassifiedError::find(&Circle).is_none());
    }

    #[test]
    fn a_class_prints_as_its_error() {
        assert_eq!(poison("not JSON").to_string(), "not JSON");
        for class in [
            ErrorClass::Transient,
            ErrorClass::Permanent,
            ErrorClass::Poison,
        ] {
            assert_eq!(ErrorClass::from_name(class.name()), Some(class));
        }
    }
}
