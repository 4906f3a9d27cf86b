//! [`KeyRoute`]: sends all events of a key to one worker.

use std::{
    hash::{BuildHasher, Hash},
    marker::PhantomData,
};

use foldhash::quality::FixedState;

use crate::sink::Route;

/// The seed differs from the one of the tables behind the boundary: within a worker, hashes of this seed have much in common.
const SEED: u64 = 0x6272_6f61_6477_6179;

/// The worker of a key.
pub(crate) fn worker_of<K: Hash + ?Sized>(key: &K, workers: usize) -> usize {
    let hash = FixedState::with_seed(SEED).hash_one(key);
    // The high part of a product: as good as the remainder, and cheaper.
    let spread = (u128::from(hash) * workers as u128) >> 64;
    usize::try_from(spread).expect("below the number of workers")
}

/// An event with a key.
pub(crate) trait Keyed<K> {
    fn key(&self) -> &K;
}

impl<K, T> Keyed<K> for (K, T) {
    fn key(&self) -> &K {
        &self.0
    }
}

/// Sends all events of a key to one worker.
pub(crate) struct KeyRoute<K>(PhantomData<fn(K)>);

impl<K> KeyRoute<K> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<K: Hash + 'static, T: Keyed<K>> Route<T> for KeyRoute<K> {
    #[inline]
    fn route(&mut self, event: &T, targets: usize) -> usize {
        if targets == 1 {
            return 0;
        }
        worker_of(event.key(), targets)
    }
}
