//! Snapshots: the state of a flow, with the positions of its source that it belongs to.

mod folder;
#[cfg(feature = "queue")]
mod queue;
mod content;
mod store;

pub use folder::SnapshotFolder;
pub use content::Snapshot;
pub use store::SnapshotStore;
pub(crate) use store::Snapshots;
