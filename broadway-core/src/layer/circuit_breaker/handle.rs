//! [`CircuitHandle`]: reads the state of circuits.

use std::{fmt, sync::Arc, time::Duration};

use super::{gate::Gate, gates::Gates};
use crate::engine::clock;

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls wait.
    Open,
    /// Calls wait, and a probe is being made.
    Probing,
}

/// The state of one circuit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitStatus {
    /// `handle_message`, or the name of a batcher.
    pub name: &'static str,
    /// Whether calls pass.
    pub state: CircuitState,
    /// How long it has not been closed, if it is not.
    pub open_for: Option<Duration>,
    /// How many messages or batches wait for it, a probe included.
    pub waiting: usize,
    /// How often it has opened.
    pub openings: u64,
    /// How many probes were made.
    pub probes: u64,
}

impl CircuitStatus {
    fn of(gate: &Gate) -> Self {
        let (state, openings, probes) = {
            let circuit = gate.circuit();
            let state = match circuit.call_if_closed() {
                Some(_) => CircuitState::Closed,
                None if circuit.is_probing() => CircuitState::Probing,
                None => CircuitState::Open,
            };
            (state, circuit.openings(), circuit.probes())
        };
        let opened_at = gate.opened_at();
        Self {
            name: gate.name(),
            state,
            open_for: opened_at.map(|at| clock::now().saturating_duration_since(at)),
            waiting: gate.waiting(),
            openings,
            probes,
        }
    }
}

/// Reads the state of the circuits of a [`CircuitBreaker`](super::CircuitBreaker), for health checks and tests. Cheap to clone. Keeps no
/// pipeline alive.
#[derive(Clone)]
pub struct CircuitHandle {
    gates: Arc<Gates>,
}

impl CircuitHandle {
    pub(super) fn new(gates: Arc<Gates>) -> Self {
        Self { gates }
    }

    /// Returns whether any circuit is not closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut gates = self.gates.all().iter();
        gates.any(|gate| gate.enter().is_none())
    }

    /// Returns the state of each circuit: of `handle_message`, then of each batcher. Empty before the pipeline starts.
    #[must_use]
    pub fn circuits(&self) -> Vec<CircuitStatus> {
        self.gates.all().iter().map(CircuitStatus::of).collect()
    }
}

impl fmt::Debug for CircuitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.circuits()).finish()
    }
}
