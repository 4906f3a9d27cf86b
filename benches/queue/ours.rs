//! The queue, as programs use it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use broadway::{
    Message, Outgoing, Pipeline, Processors, Publisher, handler_fn,
    queue::{Queue, QueueFolder, QueuePublisher, QueueRecord, TopicOptions},
};
use tokio::runtime::Runtime;

use crate::support::BoxError;

const TOPIC: &str = "bench";
const TASKS: u64 = 16;
const CALL: u64 = 250;
const BATCH: u64 = 4_000;

fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![b'x'; bytes];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

async fn open(folder: QueueFolder, partitions: u32) -> Result<QueuePublisher, BoxError> {
    let topic = TopicOptions::new().partitions(partitions);
    QueuePublisher::topic(folder, TOPIC)
        .create_with(topic)
        .open()
        .await
}

async fn publish(publisher: &QueuePublisher, messages: Vec<Outgoing>) -> Result<(), BoxError> {
    for result in publisher.publish(messages).await {
        result?;
    }
    Ok(())
}

/// Tasks that publish at once.
pub(crate) fn append_many(
    runtime: &Runtime,
    folder: &Path,
    messages: u64,
    bytes: usize,
) -> Result<Duration, BoxError> {
    runtime.block_on(async {
        let publisher = open(QueueFolder::new(folder), 8).await?;
        let began = Instant::now();
        let calls = messages / CALL;
        let tasks = (0..TASKS).map(|task| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for call in (task..calls).step_by(TASKS as usize) {
                    let numbers = call * CALL..(call + 1) * CALL;
                    let messages = numbers.map(|number| Outgoing::new(payload(number, bytes)));
                    publish(&publisher, messages.collect()).await?;
                }
                Ok::<_, BoxError>(())
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        let took = began.elapsed();
        publisher.close().await?;
        Ok(took)
    })
}

/// One task, with large calls.
pub(crate) fn append_batches(
    runtime: &Runtime,
    folder: &Path,
    messages: u64,
    bytes: usize,
) -> Result<Duration, BoxError> {
    runtime.block_on(async {
        let publisher = open(QueueFolder::new(folder), 1).await?;
        let began = Instant::now();
        for first in (0..messages).step_by(BATCH as usize) {
            let numbers = first..(first + BATCH).min(messages);
            let messages = numbers.map(|number| Outgoing::new(payload(number, bytes)));
            publish(&publisher, messages.collect()).await?;
        }
        let took = began.elapsed();
        publisher.close().await?;
        Ok(took)
    })
}

/// A pipeline that acknowledges each message.
pub(crate) fn read(
    runtime: &Runtime,
    folder: &Path,
    messages: u64,
    bytes: usize,
) -> Result<Duration, BoxError> {
    append_many(runtime, folder, messages, bytes)?;
    runtime.block_on(async {
        let read = Arc::new(AtomicU64::new(0));
        let (counted, done) = (Arc::clone(&read), Arc::new(tokio::sync::Notify::new()));
        let all = Arc::clone(&done);
        let handler = handler_fn(move |message: &mut Message<QueueRecord>| {
            std::hint::black_box(message.data());
            if counted.fetch_add(1, Ordering::Relaxed) + 1 == messages {
                all.notify_one();
            }
            Ok(())
        });
        let began = Instant::now();
        let topology = Pipeline::new(Queue::topic(folder, TOPIC), handler)
            .processors(Processors::new(2).max_demand(1_000))
            .start()
            .await?;
        done.notified().await;
        topology.drain().await?;
        Ok(began.elapsed())
    })
}
