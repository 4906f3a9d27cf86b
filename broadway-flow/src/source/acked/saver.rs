//! [`Saver`]: when snapshots of a flow are due, and the positions that belong to them.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::{
    FlowError,
    snapshot::{Snapshot, Snapshots},
};

/// Saves snapshots of a flow, if it has a store for them.
pub(super) struct Saver {
    snapshots: Option<Snapshots>,
    /// `None`: none is due any more, since its time would be beyond the end of the clock.
    next: Option<Instant>,
    /// The position behind the last message of each input.
    positions: HashMap<u64, u64>,
}

impl Saver {
    /// Goes on from a snapshot. The first one is due at once.
    pub(super) fn new(snapshots: Option<Snapshots>, restored: &Snapshot) -> Self {
        Self {
            snapshots,
            next: Some(Instant::now()),
            positions: restored.positions.iter().copied().collect(),
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.snapshots.is_some()
    }

    pub(super) fn is_due(&self) -> bool {
        self.next.is_some_and(|next| Instant::now() >= next)
    }

    /// Takes the position of a message. Returns false if its effect is in the restored state.
    pub(super) fn advance(&mut self, input: u64, at: u64) -> bool {
        let behind = self.positions.entry(input).or_default();
        let is_new = at >= *behind;
        if is_new {
            *behind = at + 1;
        }
        is_new
    }

    /// Begins a snapshot with the positions up to here, and without states, if there is a store.
    pub(super) fn begin(&mut self) -> Option<Snapshot> {
        let snapshots = self.snapshots.as_ref()?;
        self.next = Instant::now().checked_add(snapshots.every);
        let positions = self.positions.iter().map(|(input, at)| (*input, *at));
        Some(Snapshot {
            positions: positions.collect(),
            states: Vec::new(),
        })
    }

    pub(super) async fn save(&self, snapshot: Snapshot) -> Result<(), FlowError> {
        match &self.snapshots {
            Some(snapshots) => snapshots.save(snapshot).await,
            None => Ok(()),
        }
    }
}
