//! [`RecordingPublisher`]: a publisher that records messages.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Collector;
use crate::{
    error::BoxError,
    publish_error::PublishError,
    publisher::{Outgoing, Publisher},
};

/// Confirms and records every message, except those that a test lets fail. Clones share one list.
///
/// ```
/// use broadway_core::{Outgoing, PublishError, Publisher, testing::RecordingPublisher};
///
/// # async fn run() {
/// let outbox = RecordingPublisher::new();
/// outbox.fail_next(PublishError::unconfirmed("the line went dead"));
/// let results = outbox.publish(vec![Outgoing::new("first"), Outgoing::new("second")]).await;
/// assert!(results[0].is_err() && results[1].is_ok());
/// assert_eq!(outbox.sent().all(), [Outgoing::new("second")]);
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run());
/// ```
#[derive(Clone, Default)]
pub struct RecordingPublisher {
    shared: Arc<RecordingPublisherShared>,
}

#[derive(Default)]
struct RecordingPublisherShared {
    sent: Collector<Outgoing>,
    /// The errors of the next messages.
    failures: Mutex<VecDeque<PublishError>>,
    is_closed: AtomicBool,
}

impl RecordingPublisher {
    /// Creates an empty publisher.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the confirmed messages, in order.
    #[must_use]
    pub fn sent(&self) -> &Collector<Outgoing> {
        &self.shared.sent
    }

    /// Makes one more message fail with this error: the next one that does not fail yet.
    pub fn fail_next(&self, error: PublishError) {
        self.failures().push_back(error);
    }

    fn failures(&self) -> MutexGuard<'_, VecDeque<PublishError>> {
        self.shared
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, message: Outgoing) -> Result<(), PublishError> {
        if self.shared.is_closed.load(Ordering::Acquire) {
            return Err(PublishError::closed());
        }
        let failure = self.failures().pop_front();
        match failure {
            Some(error) => Err(error),
            None => {
                self.shared.sent.push(message);
                Ok(())
            }
        }
    }
}

impl Publisher for RecordingPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        messages
            .into_iter()
            .map(|message| self.send(message))
            .collect()
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.shared.is_closed.store(true, Ordering::Release);
        Ok(())
    }
}

impl fmt::Debug for RecordingPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingPublisher")
            .field("sent", &self.shared.sent.len())
            .finish_non_exhaustive()
    }
}
