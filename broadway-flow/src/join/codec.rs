//! [`Codec`]: how the state of a join is saved, if its types can be.

use std::hash::Hash;

use serde::{Serialize, de::DeserializeOwned};

use crate::machine::{joins::JoinState, saved::SavedError};

/// Saves a state.
type Save<K, L, R> = fn(&JoinState<K, L, R>) -> Result<Vec<u8>, SavedError>;

/// Loads the keys to keep from the states of all workers.
type Load<K, L, R> =
    fn(&mut JoinState<K, L, R>, &[&[u8]], &dyn Fn(&K) -> bool) -> Result<(), SavedError>;

/// Saves and loads the state of a join. A value, so that only joins that are durable need types that can be serialized.
pub(super) struct Codec<K, L, R> {
    pub(super) save: Save<K, L, R>,
    pub(super) load: Load<K, L, R>,
}

impl<K, L, R> Codec<K, L, R>
where
    K: Hash + Eq + Clone + Serialize + DeserializeOwned,
    L: Clone + Serialize + DeserializeOwned,
    R: Clone + Serialize + DeserializeOwned,
{
    pub(super) fn new() -> Self {
        Self {
            save: JoinState::save,
            load: |state, parts, keep| state.load(parts, keep),
        }
    }
}

impl<K, L, R> Clone for Codec<K, L, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, L, R> Copy for Codec<K, L, R> {}
