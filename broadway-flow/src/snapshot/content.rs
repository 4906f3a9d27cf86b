//! [`Snapshot`]: the state of a flow at a barrier.

use serde::{Deserialize, Serialize};

use crate::state::SavedState;

/// The state of a flow, with the positions of its source that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The position behind the last message of each input.
    pub(crate) positions: Vec<(u64, u64)>,
    pub(crate) states: Vec<SavedState>,
}

/// The first byte of a snapshot.
const VERSION: u8 = 2;

impl Snapshot {
    /// Returns the snapshot as bytes, for a [`SnapshotStore`](crate::SnapshotStore). They begin with a version.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("lists of numbers and bytes can be written")
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has written.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not a snapshot, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest)
                .map_err(|error| format!("the snapshot cannot be read: {error}")),
            Some((version, _)) => Err(format!(
                "the snapshot has version {version}, and this program reads version {VERSION}: run the program that saved it, or give another store"
            )),
            None => Err("the snapshot is empty".to_owned()),
        }
    }
}
