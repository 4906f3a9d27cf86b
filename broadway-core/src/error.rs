//! Errors, one small type for each phase of a pipeline's life.
//!
//! User code returns a [`BoxError`], which the pipeline passes on as it is. The pipeline itself returns a [`Reason`] when a message
//! fails, a [`StartError`] when a pipeline does not start, and a [`RunError`] when a running topology ends other than by draining.

use std::{any::Any, error::Error, fmt, mem, sync::Arc, time::Duration};

use crate::discard::discard;

/// The error of handlers, sources and acknowledgers: any error, boxed.
///
/// `?` converts every error that is `Send + Sync + 'static`, `&str` and `String`. It does not convert a `Box<dyn Error>`, which cannot
/// be sent to another thread: let the function return a `BoxError`, or keep only the text: `.map_err(|error| error.to_string())?`.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// The piece of user code that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Callback {
    /// [`Handler::prepare_messages`](crate::Handler::prepare_messages)
    PrepareMessages,
    /// [`Handler::handle_message`](crate::Handler::handle_message)
    HandleMessage,
    /// [`Handler::handle_batch`](crate::Handler::handle_batch)
    HandleBatch,
    /// [`Handler::handle_failed`](crate::Handler::handle_failed)
    HandleFailed,
    /// [`Handler::handle_done`](crate::Handler::handle_done)
    HandleDone,
    /// The function given to [`Processors::partition_by`](crate::Processors::partition_by)
    PartitionBy,
    /// The function given to [`Pipeline::in_flight_bytes_max`](crate::Pipeline::in_flight_bytes_max)
    SizeOf,
    /// The functions given to [`Batching::bytes`](crate::Batching::bytes) and
    /// [`Batching::split`](crate::Batching::split)
    Batching,
    /// [`Source::open`](crate::Source::open)
    Open,
    /// [`SourceProducer::produce`](crate::SourceProducer::produce)
    Produce,
    /// [`SourceProducer::stop`](crate::SourceProducer::stop)
    Stop,
    /// [`SourceProducer::close`](crate::SourceProducer::close)
    Close,
    /// [`Acknowledger::settle`](crate::Acknowledger::settle) and [`settle_done`](crate::Acknowledger::settle_done)
    Settle,
    /// `init` of a stage.
    Init,
    /// [`handle_demand`](crate::stage::Producer::handle_demand) of a stage.
    HandleDemand,
    /// [`handle_events`](crate::stage::Consumer::handle_events) of a stage.
    HandleEvents,
    /// [`poll_more`](crate::stage::Producer::poll_more) of a stage.
    PollMore,
    /// [`consumer_subscribed`](crate::stage::Producer::consumer_subscribed) of a stage.
    ConsumerSubscribed,
    /// [`consumer_cancelled`](crate::stage::Producer::consumer_cancelled) of a stage.
    ConsumerCancelled,
    /// [`handle_subscribe`](crate::stage::Consumer::handle_subscribe) of a stage.
    HandleSubscribe,
    /// [`handle_cancel`](crate::stage::Consumer::handle_cancel) of a stage.
    HandleCancel,
    /// `handle_timer` of a stage.
    HandleTimer,
    /// [`receive`](crate::stage::Receive::receive) of a stage.
    Receive,
    /// `handle_discarded` of a stage.
    HandleDiscarded,
    /// `terminate` of a stage.
    Terminate,
    /// The function given to [`task_per_event`](crate::stage::task_per_event()), and the future that it makes.
    Task,
    /// The functions of a stage's dispatcher.
    Dispatch,
}

impl Callback {
    /// Returns the name of the callback, as in code.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrepareMessages => "prepare_messages",
            Self::HandleMessage => "handle_message",
            Self::HandleBatch => "handle_batch",
            Self::HandleFailed => "handle_failed",
            Self::HandleDone => "handle_done",
            Self::PartitionBy => "partition_by",
            Self::SizeOf => "size_of",
            Self::Batching => "batching",
            Self::Open => "open",
            Self::Produce => "produce",
            Self::Stop => "stop",
            Self::Close => "close",
            Self::Settle => "settle",
            Self::Init => "init",
            Self::HandleDemand => "handle_demand",
            Self::HandleEvents => "handle_events",
            Self::PollMore => "poll_more",
            Self::ConsumerSubscribed => "consumer_subscribed",
            Self::ConsumerCancelled => "consumer_cancelled",
            Self::HandleSubscribe => "handle_subscribe",
            Self::HandleCancel => "handle_cancel",
            Self::HandleTimer => "handle_timer",
            Self::Receive => "receive",
            Self::HandleDiscarded => "handle_discarded",
            Self::Terminate => "terminate",
            Self::Task => "task",
            Self::Dispatch => "dispatch",
        }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a message failed. Cheap to clone: a whole batch shares one.
#[derive(Debug, Clone)]
pub struct Reason(Arc<ReasonInner>);

#[derive(Debug)]
struct ReasonInner {
    callback: Callback,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Error(BoxError),
    Panic(String),
}

/// Contains a panic in the `Drop` of the user's error, which would otherwise reach the task that drops the last clone.
impl Drop for ReasonInner {
    fn drop(&mut self) {
        let cause = mem::replace(&mut self.cause, Cause::Panic(String::new()));
        if let Cause::Error(error) = cause {
            discard(error);
        }
    }
}

impl Reason {
    /// Creates the reason of user code that returned an error.
    #[must_use]
    pub fn error(callback: Callback, error: impl Into<BoxError>) -> Self {
        Self(Arc::new(ReasonInner {
            callback,
            cause: Cause::Error(error.into()),
        }))
    }

    /// Creates the reason of user code that panicked. Keeps the text of `payload`, which `catch_unwind` returned, and drops the rest; a
    /// panic of that drop is contained.
    #[must_use]
    pub fn panic(callback: Callback, payload: Box<dyn Any + Send>) -> Self {
        let text = panic_text(payload.as_ref());
        discard(payload);
        Self(Arc::new(ReasonInner {
            callback,
            cause: Cause::Panic(text),
        }))
    }

    /// Adds `more` to the text. The result no longer holds the error itself.
    pub(crate) fn and(&self, more: &str) -> Self {
        let cause = match &self.0.cause {
            Cause::Error(error) => Cause::Error(format!("{error}; {more}").into()),
            Cause::Panic(text) => Cause::Panic(format!("{text}; {more}")),
        };
        let callback = self.0.callback;
        Self(Arc::new(ReasonInner { callback, cause }))
    }

    /// Returns the callback that failed.
    #[must_use]
    pub fn callback(&self) -> Callback {
        self.0.callback
    }

    /// Returns whether user code panicked rather than returned an error.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0.cause, Cause::Panic(_))
    }

    /// Returns the error of user code as it was returned, with its class around it. `None` after a panic.
    pub(crate) fn boxed(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.0.cause {
            Cause::Error(error) => Some(error.as_ref()),
            Cause::Panic(_) => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Cause::Error(error) => write!(f, "{} failed: {error}", self.0.callback),
            Cause::Panic(text) => write!(f, "{} panicked: {text}", self.0.callback),
        }
    }
}

/// Returns the text of a panic, if it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(a panic without text)".to_owned()
    }
}

/// An invalid option, found by [`Pipeline::start`](crate::Pipeline::start).
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    option: String,
    message: String,
}

impl Problem {
    /// Creates a problem with `option`. `message` names the value and the valid ones.
    #[must_use]
    pub fn new(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            option: option.into(),
            message: message.into(),
        }
    }

    /// Prefixes the path of the option with `section`.
    #[must_use]
    pub fn within(self, section: &str) -> Self {
        Self {
            option: format!("{section}.{}", self.option),
            ..self
        }
    }

    /// Returns the path of the option, such as `batchers.events.size`.
    #[must_use]
    pub fn option(&self) -> &str {
        &self.option
    }

    /// Returns the text: the value, and the valid ones.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.message)
    }
}

impl Error for Problem {}

/// Why a pipeline or a stage did not start. No message was consumed.
#[non_exhaustive]
pub enum StartError {
    /// Options are invalid. Lists all of them, not just the first.
    Invalid(Vec<Problem>),
    /// The source could not be opened. Producers that were already open were closed.
    Open {
        /// The index of the producer, from 0.
        producer: usize,
        /// The error of the source.
        error: BoxError,
    },
    /// The first `init` of a [stage](crate::stage) failed.
    Init {
        /// The name of the stage.
        stage: Arc<str>,
        /// The error or panic.
        reason: Reason,
    },
    /// `start` was called outside a tokio runtime.
    NoRuntime,
    /// `start` was called on a tokio runtime without timers.
    NoTimers,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problems) => {
                write!(f, "{} invalid option(s):", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
            Self::Open { producer, error } => {
                write!(f, "cannot open the source for producer {producer}: {error}")
            }
            Self::Init { stage, reason } => write!(f, "cannot start stage {stage}: {reason}"),
            Self::NoRuntime => f.write_str(
                "start was called outside a tokio runtime: call it in an async main, or under Runtime::block_on",
            ),
            Self::NoTimers => f.write_str(
                "start was called on a tokio runtime without timers: build the runtime with enable_all()",
            ),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open { error, .. } => Some(error.as_ref()),
            Self::Init { reason, .. } => reason.as_error().map(|error| error as _),
            Self::Invalid(_) | Self::NoRuntime | Self::NoTimers => None,
        }
    }
}

/// Why a running topology ended other than by draining.
///
/// Clonable, since every task that waits for the topology receives it.
#[derive(Clone)]
#[non_exhaustive]
pub enum RunError {
    /// A producer failed more often than its restart limit allows. The messages that it had delivered were still handled and settled.
    Producer {
        /// The index of the producer, from 0.
        producer: usize,
        /// The last failure, as the source returned it.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// The drain timed out. The remaining messages were not settled: the broker delivers them again.
    DrainTimedOut {
        /// The timeout.
        after: Duration,
        /// The number of messages that were not settled when all work had stopped.
        unsettled: u64,
    },
    /// A message failed whose policy is [`FailureAction::Halt`](crate::FailureAction::Halt). The messages in flight were still handled.
    Halted {
        /// Why the message failed.
        reason: Reason,
    },
    /// [`Topology::abort`](crate::Topology::abort) was called.
    Aborted {
        /// The number of messages that were not settled when all work had stopped.
        unsettled: u64,
    },
    /// All messages were handled, but a producer could not close: its last acknowledgements may not have reached the broker, which then
    /// delivers these messages again.
    Close {
        /// The index of the producer, from 0.
        producer: usize,
        /// The error of the producer, as it returned it.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// The tokio runtime of the topology was shut down. The remaining messages were not settled, and the source was not closed.
    RuntimeShutDown {
        /// The number of messages that were not settled.
        unsettled: u64,
    },
    /// [`Topology::wait_or_signal`](crate::Topology::wait_or_signal) cannot listen for signals. The topology keeps running.
    Signals {
        /// The cause and the remedy.
        error: Arc<str>,
    },
    /// A handler awaited [`Topology::wait`](crate::Topology::wait) or [`Topology::drain`](crate::Topology::drain) of its own topology,
    /// which would wait for itself. The topology keeps running.
    InsideHandler,
    /// A loop of the library panicked. This is a bug: please report it.
    Internal {
        /// The name of the loop.
        task: Arc<str>,
        /// The text of the panic.
        panic: Arc<str>,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Producer { producer, error } => {
                write!(
                    f,
                    "producer {producer} failed and is not opened again: {error}"
                )
            }
            Self::DrainTimedOut { after, unsettled } => {
                write!(
                    f,
                    "the drain did not end within {after:?}: {unsettled} message(s) unsettled"
                )
            }
            Self::Halted { reason } => {
                write!(f, "a message failed, which halts the pipeline: {reason}")
            }
            Self::Aborted { unsettled } => {
                write!(
                    f,
                    "the topology was aborted: {unsettled} message(s) unsettled"
                )
            }
            Self::Close { producer, error } => {
                write!(f, "producer {producer} could not close: {error}")
            }
            Self::RuntimeShutDown { unsettled } => {
                write!(
                    f,
                    "the runtime was shut down before the topology was drained: {unsettled} message(s) unsettled"
                )
            }
            Self::Signals { error } => write!(f, "cannot catch signals: {error}"),
            Self::InsideHandler => f.write_str(
                "a handler cannot wait for the end of its own pipeline: call begin_drain there, which does not wait",
            ),
            Self::Internal { task, panic } => {
                write!(
                    f,
                    "the {task} loop panicked, a defect of broadway itself: {panic}"
                )
            }
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Producer { error, .. } | Self::Close { error, .. } => Some(error.as_ref()),
            Self::Halted { reason } => {
                let error = reason.boxed()?;
                Some(error)
            }
            Self::DrainTimedOut { .. }
            | Self::Aborted { .. }
            | Self::RuntimeShutDown { .. }
            | Self::Signals { .. }
            | Self::InsideHandler
            | Self::Internal { .. } => None,
        }
    }
}

impl RunError {
    /// Sets the number of messages that are unsettled after all loops have stopped.
    pub(crate) fn with_unsettled(mut self, n: u64) -> Self {
        match &mut self {
            Self::DrainTimedOut { unsettled, .. }
            | Self::Aborted { unsettled }
            | Self::RuntimeShutDown { unsettled } => *unsettled = n,
            Self::Producer { .. }
            | Self::Halted { .. }
            | Self::Close { .. }
            | Self::Signals { .. }
            | Self::InsideHandler
            | Self::Internal { .. } => {}
        }
        self
    }
}
