//! Where the bytes are: [`Storage`], a small trait over an ordered key-value store with atomic, durable writes.
//!
//! A store has *spaces*, which are ordered maps from keys to values. The queue keeps the records of a partition in a row of spaces, its
//! *segments*, and drops a whole space to free the room of its records: no tombstones, no compaction. One further space has all other
//! state. One thread writes; reads may come from any thread.
//!
//! [`fjall`] is the default, [`rocksdb`] is behind the feature of that name (docs/decisions/036). Tests use `memory`, which injects faults.

mod closed;
mod contract;
mod fjall;
mod kind;
mod latch;
mod marks;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(test)]
mod tests;

use self::contract::check_name;
pub use self::kind::StorageKind;
pub(crate) use self::{
    closed::Closed,
    contract::{Space, Storage, StorageError, Sync, Write},
};
