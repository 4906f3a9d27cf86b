//! The common parts of all programs: their form, and the settings that all of them get as far as they can be set.

use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::BoxError;
use crate::brokers::clock::Cost;
use crate::run::Run;
use crate::topic::Topic;

/// A program that reads a topic once.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) body: Body,
}

/// How a program runs.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// Reads until the last message, and shuts down gracefully, which commits it.
    Commits(fn(&'static Run) -> Running),
    /// Reads until the last message, commits nothing, and measures itself.
    Reads(fn(&Topic, &Runtime) -> Result<Cost, BoxError>),
}

/// A program that runs.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// The work of the handlers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Nothing.
    Touch,
    /// They wait, and messages have keys.
    Wait,
}

/// Messages of a batch, in programs that handle batches.
pub(super) const BATCH: usize = 1_000;

/// Handlers that run at once, in programs that handle many messages at once.
pub(super) const IN_FLIGHT: usize = 100;

/// How often completed offsets are committed, where that can be set. The pipeline's default.
pub(super) const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// The settings of librdkafka in which the pipeline differs from its defaults, for the other programs.
pub(super) const FETCH: [(&str, &str); 2] = [
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.wait.max.ms", "100"),
];
