//! Snapshots in the folder of an embedded queue.

use broadway_core::BoxError;
use broadway_queue::QueueStates;

use super::{Snapshot, SnapshotStore};

/// Snapshots beside the topics of a queue, in its store (feature `queue`). Each flow needs a name of its own.
impl SnapshotStore for QueueStates {
    fn load(&self) -> Result<Option<Snapshot>, BoxError> {
        let bytes = Self::load(self)?;
        let snapshot = bytes.map(|bytes| Snapshot::from_bytes(&bytes));
        Ok(snapshot.transpose()?)
    }

    fn save(&self, snapshot: &Snapshot) -> Result<(), BoxError> {
        Self::save(self, &snapshot.to_bytes())
    }
}
