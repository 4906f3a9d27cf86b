//! [`Router`]: chooses the partition of each published record.
//!
//! - **Partition.** A record that names its partition goes there.
//! - **Key.** A record with a key goes where Kafka's default partitioner sends it in a topic with as many partitions. An empty key is a
//!   key. When partitions are added, most keys move to other partitions.
//! - **Neither.** All such records of a [`Call`] go to one partition, so a call writes to few. Calls take turns.

use std::{
    fmt,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

#[cfg(test)]
mod tests;

/// Chooses the partitions of a topic's records.
#[derive(Debug)]
pub(crate) struct Router {
    /// The number of calls that had a record without key and partition. It wraps.
    turns: AtomicU32,
}

/// The records of one call of a publisher.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    router: &'a Router,
    partitions: NonZeroU32,
    /// The partition of records without key and partition, once there was one.
    keyless: Option<u32>,
}

/// A record names a partition that the topic does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionOutOfRange {
    pub(crate) partition: u32,
    pub(crate) partitions: NonZeroU32,
}

impl Router {
    /// Creates a router whose first turn is this one. Programs that make few calls begin at random, so that they do not fill the first partitions.
    pub(crate) const fn starting_at(turn: u32) -> Self {
        Self {
            turns: AtomicU32::new(turn),
        }
    }

    /// Begins a call that publishes to a topic with this number of partitions.
    pub(crate) const fn call(&self, partitions: NonZeroU32) -> Call<'_> {
        Call {
            router: self,
            partitions,
            keyless: None,
        }
    }
}

impl Call<'_> {
    /// Returns the partition of a record. A named partition takes precedence over the key.
    ///
    /// # Errors
    ///
    /// Fails if the record names a partition that the topic does not have.
    pub(crate) fn partition(
        &mut self,
        named: Option<u32>,
        key: Option<&[u8]>,
    ) -> Result<u32, PartitionOutOfRange> {
        let partitions = self.partitions;
        match (named, key) {
            (Some(partition), _) if partition < partitions.get() => Ok(partition),
            (Some(partition), _) => Err(PartitionOutOfRange {
                partition,
                partitions,
            }),
            (None, Some(key)) => Ok(partition_of_key(key, partitions)),
            // Calls that need no turn take none. Otherwise calls with and without keys that alternate would skip every second partition.
            (None, None) => Ok(*self.keyless.get_or_insert_with(|| {
                self.router.turns.fetch_add(1, Ordering::Relaxed) % partitions
            })),
        }
    }
}

/// The partition of a key, as Kafka's default partitioner chooses it.
pub(crate) fn partition_of_key(key: &[u8], partitions: NonZeroU32) -> u32 {
    // Kafka clears the sign bit; the absolute value would be another partition.
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// MurmurHash2 as in `Utils.murmur2` of Kafka's Java client: the same bits, without the sign.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // The length in Java is an `int`, so data of 4 GiB or more does not occur there.
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

impl fmt::Display for PartitionOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partition, n) = (self.partition, self.partitions);
        let s = if n.get() == 1 { "" } else { "s" };
        write!(
            f,
            "partition {partition} does not exist: the topic has {n} partition{s}, numbered from 0"
        )
    }
}

impl std::error::Error for PartitionOutOfRange {}
