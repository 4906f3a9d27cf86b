//! The errors of a flow: which operator failed, and why.

use std::{any::Any, fmt, sync::Arc};

use broadway_core::{BoxError, StartError};

/// Why a flow has ended before its input did.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct FlowError {
    inner: Arc<FlowErrorInner>,
}

#[derive(Debug)]
struct FlowErrorInner {
    operator: Arc<str>,
    kind: FlowErrorKind,
    source: BoxError,
}

/// What kind of error ended a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlowErrorKind {
    /// A function of an operator returned an error.
    Error,
    /// A function of an operator panicked.
    Panic,
    /// A limit was exceeded, such as the number of keys that `uniq` may hold.
    Limit,
    /// A source, a publisher, an external stage or the state store failed.
    Stage,
    /// The flow was stopped before it was complete.
    Stopped,
}

impl FlowError {
    pub(crate) fn new(
        operator: impl Into<Arc<str>>,
        kind: FlowErrorKind,
        source: impl Into<BoxError>,
    ) -> Self {
        Self {
            inner: Arc::new(FlowErrorInner {
                operator: operator.into(),
                kind,
                source: source.into(),
            }),
        }
    }

    pub(crate) fn panicked(operator: impl Into<Arc<str>>, payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a value that is not text".to_owned());
        Self::new(operator, FlowErrorKind::Panic, text)
    }

    /// Returns the name of the operator, source or stage that failed, such as `map "parse"`.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.inner.operator
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> FlowErrorKind {
        self.inner.kind
    }
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowErrorInner {
            operator,
            kind,
            source,
        } = &*self.inner;
        match kind {
            FlowErrorKind::Panic => write!(f, "{operator} panicked: {source}"),
            FlowErrorKind::Limit => write!(f, "{operator} exceeded its limit: {source}"),
            FlowErrorKind::Stopped => write!(f, "{operator} was stopped: {source}"),
            FlowErrorKind::Error | FlowErrorKind::Stage => {
                write!(f, "{operator} failed: {source}")
            }
        }
    }
}

impl std::error::Error for FlowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.source()
    }
}

/// Why a flow could not be run: it did not start, or it failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunFlowError {
    /// Invalid options, or a source that did not start.
    Start(StartError),
    /// The flow failed.
    Flow(FlowError),
}

impl From<StartError> for RunFlowError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<FlowError> for RunFlowError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl fmt::Display for RunFlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunFlowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => error.source(),
            Self::Flow(error) => error.source(),
        }
    }
}
