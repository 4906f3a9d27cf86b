//! The stores without a queue above them: a key for each message, in batches that are synced.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use broadway_core::{Outgoing, Publisher};
use broadway_queue::{QueueFolder, QueuePublisher, StorageKind, TopicOptions};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use crate::BoxError;

pub(crate) const BATCH: u64 = 4_000;

fn pairs(first: u64, messages: u64, bytes: usize) -> impl Iterator<Item = ([u8; 8], Vec<u8>)> {
    let numbers = first..(first + BATCH).min(messages);
    numbers.map(move |number| (number.to_be_bytes(), vec![b'x'; bytes]))
}

fn fill_fjall(
    folder: &Path,
    messages: u64,
    bytes: usize,
) -> Result<(Database, fjall::Keyspace, Duration), BoxError> {
    let database = Database::builder(folder).open()?;
    let keyspace = database.keyspace("bench", KeyspaceCreateOptions::default)?;
    let began = Instant::now();
    for first in (0..messages).step_by(BATCH as usize) {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in pairs(first, messages, bytes) {
            batch.insert(&keyspace, key, value);
        }
        batch.commit()?;
    }
    Ok((database, keyspace, began.elapsed()))
}

/// Batches of keys.
pub(crate) fn fjall(folder: &Path, messages: u64, bytes: usize) -> Result<Duration, BoxError> {
    let (_, _, took) = fill_fjall(folder, messages, bytes)?;
    Ok(took)
}

/// An iteration over all keys.
pub(crate) fn fjall_scan(folder: &Path, messages: u64, bytes: usize) -> Result<Duration, BoxError> {
    let (_database, keyspace, _) = fill_fjall(folder, messages, bytes)?;
    let (began, mut read) = (Instant::now(), 0);
    for guard in keyspace.iter() {
        let (key, value) = guard.into_inner()?;
        std::hint::black_box((key, value));
        read += 1;
    }
    match read == messages {
        true => Ok(began.elapsed()),
        false => Err(format!("{read} of {messages} keys were read").into()),
    }
}

/// Batches of keys.
pub(crate) fn rocksdb(folder: &Path, messages: u64, bytes: usize) -> Result<Duration, BoxError> {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let database = rocksdb::DB::open(&options, folder)?;
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    let began = Instant::now();
    for first in (0..messages).step_by(BATCH as usize) {
        let mut batch = rocksdb::WriteBatch::default();
        for (key, value) in pairs(first, messages, bytes) {
            batch.put(key, value);
        }
        database.write_opt(batch, &synced)?;
    }
    Ok(began.elapsed())
}

/// The queue on RocksDB: one task, with large calls.
pub(crate) fn queue_on_rocksdb(
    folder: &Path,
    messages: u64,
    bytes: usize,
) -> Result<Duration, BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let folder = QueueFolder::new(folder).storage(StorageKind::RocksDb);
        let topic = TopicOptions::new().partitions(1);
        let publisher = QueuePublisher::topic(folder, "bench")
            .create_with(topic)
            .open()
            .await?;
        let began = Instant::now();
        for first in (0..messages).step_by(BATCH as usize) {
            let batch = pairs(first, messages, bytes).map(|(_, value)| Outgoing::new(value));
            for result in publisher.publish(batch.collect()).await {
                result?;
            }
        }
        let took = began.elapsed();
        publisher.close().await?;
        Ok(took)
    })
}
