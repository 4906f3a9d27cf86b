//! Hand-written tokio programs for the same work, one file per kind.
//!
//! They do less than the engine: messages cannot fail, panics are not caught, there is no drain and no
//! observer, and settling is two additions per chunk or batch. The rest of the engine's time pays for
//! these.

pub(crate) mod batcher;
pub(crate) mod decode;
pub(crate) mod keys;
pub(crate) mod partition;
pub(crate) mod processors;

/// The capacity of a channel between two stages.
const CAPACITY: usize = 1_000;

/// The timeout of a batch.
const BATCH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
