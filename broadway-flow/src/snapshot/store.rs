//! [`SnapshotStore`]: where snapshots are kept.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::BoxError;

use super::Snapshot;
use crate::{FlowError, FlowErrorKind};

/// Where the snapshots of a flow are kept: one, the newest. A folder is [`SnapshotFolder`](crate::SnapshotFolder).
///
/// The methods may wait for a disk or a network: they are called in threads for that.
pub trait SnapshotStore: Send + Sync + 'static {
    /// Returns the newest snapshot, or `None` if none was saved.
    ///
    /// # Errors
    ///
    /// An error keeps the flow from starting: starting without its state would give wrong results.
    fn load(&self) -> Result<Option<Snapshot>, BoxError>;

    /// Replaces the snapshot. Returns when the new one survives the loss of power; until then, `load` returns the old one.
    ///
    /// # Errors
    ///
    /// An error ends the flow: its source would be settled without the state.
    fn save(&self, snapshot: &Snapshot) -> Result<(), BoxError>;
}

/// Where and how often snapshots are saved.
#[derive(Clone)]
pub(crate) struct Snapshots {
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) every: Duration,
}

impl Snapshots {
    pub(crate) async fn load(&self) -> Result<Snapshot, FlowError> {
        let store = Arc::clone(&self.store);
        let loaded = tokio::task::spawn_blocking(move || store.load()).await;
        let loaded = loaded.map_err(failed)?.map_err(failed)?;
        Ok(loaded.unwrap_or_default())
    }

    pub(crate) async fn save(&self, snapshot: Snapshot) -> Result<(), FlowError> {
        let store = Arc::clone(&self.store);
        let saved = tokio::task::spawn_blocking(move || store.save(&snapshot)).await;
        saved.map_err(failed)?.map_err(failed)
    }
}

fn failed(error: impl Into<BoxError>) -> FlowError {
    FlowError::new("the snapshot store", FlowErrorKind::Stage, error)
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}
