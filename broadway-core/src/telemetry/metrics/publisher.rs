//! The handles of one publisher, and how its events update them.

use std::time::Duration;

use ::metrics::{Counter, Histogram};

use super::catalog;

#[derive(Debug)]
pub(super) struct PublisherMetrics {
    done: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl PublisherMetrics {
    pub(super) fn new(publisher: &str) -> Self {
        let counter = |result| catalog::PUBLISHED.counter(&[publisher, result]);
        Self {
            done: counter("ok"),
            failed: counter("failed"),
            seconds: catalog::PUBLISH_SECONDS.histogram(&[publisher]),
        }
    }

    pub(super) fn published(&self, done: usize, failed: usize, elapsed: Duration) {
        self.done.increment(done as u64);
        self.failed.increment(failed as u64);
        self.seconds.record(elapsed);
    }
}
