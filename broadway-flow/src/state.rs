//! Saved states of operators.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Timestamp, epoch::Epoch};

/// Which operator of a flow a state belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct StateOwner {
    /// Such as `count`.
    pub(crate) kind: String,
    /// The user's name for it.
    pub(crate) name: Option<String>,
    /// Its place among the operators with this kind and name, from 1.
    pub(crate) place: u32,
}

/// The state of one operator in one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    pub(crate) owner: StateOwner,
    pub(crate) worker: usize,
    pub(crate) bytes: Vec<u8>,
}

/// The states of all operators in all workers. Each worker loads its part.
#[derive(Debug, Default)]
pub struct StateLoad {
    by_owner: HashMap<StateOwner, Vec<SavedState>>,
}

impl StateLoad {
    pub(crate) fn new(states: &[SavedState]) -> Self {
        let mut by_owner: HashMap<StateOwner, Vec<SavedState>> = HashMap::new();
        for state in states {
            let of_owner = by_owner.entry(state.owner.clone()).or_default();
            of_owner.push(state.clone());
        }
        Self { by_owner }
    }

    /// The states that all workers saved of an operator; none if the operator is new.
    pub(crate) fn of(&self, owner: &StateOwner) -> &[SavedState] {
        self.by_owner.get(owner).map_or(&[], Vec::as_slice)
    }

    /// Whether the flow begins anew.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }
}

/// As operators are named elsewhere: `count "visits"`; and from the second one on, `count #2`.
impl fmt::Display for StateOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match self.place {
            0 | 1 => Ok(()),
            place => write!(f, " #{place}"),
        }
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
