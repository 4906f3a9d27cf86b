//! A publisher that reports its calls to an observer.

use std::fmt;

use super::{Outgoing, Publisher};
use crate::{
    engine::clock,
    error::BoxError,
    publish_error::PublishError,
    telemetry::{Emitter, Event, Observer},
};

/// A publisher that reports each call to an observer; made by [`Publisher::observed`]. Clones share the observer.
#[derive(Clone)]
#[must_use = "a publisher sends nothing until it is called"]
pub struct Observed<P> {
    inner: P,
    emitter: Emitter,
}

impl<P> Observed<P> {
    pub(super) fn new(inner: P, name: &str, observer: impl Observer) -> Self {
        Self {
            inner,
            emitter: Emitter::new(name, observer),
        }
    }

    /// Returns the inner publisher.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

impl<P: Publisher> Publisher for Observed<P> {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        if messages.is_empty() {
            return Vec::new();
        }
        let started = clock::now();
        let results = self.inner.publish(messages).await;
        let elapsed = clock::now().saturating_duration_since(started);
        let failed = results.iter().filter(|result| result.is_err()).count();
        let error = results.iter().find_map(|result| result.as_ref().err());
        self.emitter.emit(&Event::Published {
            done: results.len() - failed,
            failed,
            elapsed,
            error,
        });
        results
    }

    fn flush(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.inner.flush()
    }

    fn close(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.inner.close()
    }
}

impl<P: fmt::Debug> fmt::Debug for Observed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observed").field(&self.inner).finish()
    }
}
