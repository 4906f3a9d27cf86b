//! Snapshots: the state of a flow, with the positions of its source that it belongs to.

mod content;
mod folder;
#[cfg(feature = "queue")]
mod queue;
mod store;

pub use content::Snapshot;
pub use folder::SnapshotFolder;
pub use store::SnapshotStore;
pub(crate) use store::Snapshots;
