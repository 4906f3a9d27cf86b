//! Saved states of operators.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{Timestamp, epoch::Epoch};

/// The state of one operator in one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The number of the operator in its flow.
    pub(crate) operator: u32,
    pub(crate) worker: usize,
    pub(crate) bytes: Vec<u8>,
}

/// The states of all operators in all workers. Each worker loads its part.
#[derive(Debug, Default)]
pub struct StateLoad {
    pub(crate) by_operator: HashMap<u32, Vec<SavedState>>,
}

impl StateLoad {
    pub(crate) fn new(states: &[SavedState]) -> Self {
        let mut by_operator: HashMap<u32, Vec<SavedState>> = HashMap::new();
        for state in states {
            by_operator
                .entry(state.operator)
                .or_default()
                .push(state.clone());
        }
        Self { by_operator }
    }
}

/// What a worker holds of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardHold {
    pub(crate) shard: u64,
    /// The oldest epoch of its events.
    pub(crate) holds: Epoch,
    /// The results of windows up to this time are out.
    pub(crate) frontier: Option<Timestamp>,
}
