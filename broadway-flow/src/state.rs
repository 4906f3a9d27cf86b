//! Saved states of operators.

use std::collections::HashMap;

/// The state of one operator in one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedState {
    /// The number of the operator in its flow.
    pub(crate) operator: u32,
    pub(crate) worker: usize,
    pub(crate) bytes: Vec<u8>,
}

/// The states of all operators, for one worker to load.
#[derive(Debug, Default)]
pub struct StateLoad {
    pub(crate) by_operator: HashMap<u32, Vec<SavedState>>,
    pub(crate) worker: usize,
    pub(crate) workers: usize,
}
