//! [`Seat`]: which worker an operator runs in.

use std::sync::Arc;

use super::Outbox;
use crate::live::FlowState;

/// Which worker an operator runs in.
#[derive(Debug, Clone)]
pub struct Seat {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    /// The number of workers that the output is spread over; 0 behind the last segment.
    pub(crate) targets: usize,
    pub(crate) outbox: Outbox,
    pub(crate) state: Arc<FlowState>,
}

impl Seat {
    /// Returns the index of the worker, from 0.
    #[must_use]
    pub const fn worker(&self) -> usize {
        self.worker
    }

    /// Returns the number of workers that run the same operators.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.workers
    }
}

#[cfg(test)]
impl Seat {
    /// A seat without a flow around it.
    pub(crate) fn alone(worker: usize, workers: usize) -> Self {
        Self {
            worker,
            workers,
            targets: 0,
            outbox: Outbox::default(),
            state: Arc::new(FlowState::new(
                "test".into(),
                None,
                crate::Snapshot::default(),
            )),
        }
    }
}
