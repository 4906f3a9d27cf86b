//! The handles of a pipeline's dead letters.

use ::metrics::{Counter, Gauge};

use super::catalog;

#[derive(Debug)]
pub(super) struct DeadLetterMetrics {
    sent: Counter,
    refused: Counter,
    held: Gauge,
}

impl DeadLetterMetrics {
    pub(super) fn new(pipeline: &str) -> Self {
        let counter = |result| catalog::DEAD_LETTERS.counter(&[pipeline, result]);
        Self {
            sent: counter("ok"),
            refused: counter("refused"),
            held: catalog::DEAD_LETTERS_HELD.gauge(&[pipeline]),
        }
    }

    pub(super) fn sent(&self, count: usize, held: usize) {
        self.sent.increment(count as u64);
        self.held(held);
    }

    pub(super) fn refused(&self, held: usize) {
        self.refused.increment(1);
        self.held(held);
    }

    pub(super) fn held(&self, count: usize) {
        self.held.set(count as f64);
    }
}
