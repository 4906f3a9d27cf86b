//! Loops over the bare client, as users write them.

use std::hint::black_box;

use broadway::kafka::bare::BatchReader;
use rdkafka::Message;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, StreamConsumer};
use tokio::runtime::Runtime;

use super::BoxError;
use super::brokers::clock::{Clock, Cost};
use super::topic::Topic;

/// Messages in a batch.
const BATCH: usize = 1_000;

/// The fastest loop: reads the queue of each partition in batches, on one thread, and tracks no messages.
pub(crate) fn batch_loop(topic: &Topic, _runtime: &Runtime) -> Result<Cost, BoxError> {
    let mut config = topic.config();
    // The same settings as the connector's, so that both fetch alike.
    config
        .set("group.id", topic.new_group())
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "10");
    config.set_log_level(RDKafkaLogLevel::Error);
    let mut reader = BatchReader::open(&config, &topic.name, topic.partitions)?;
    let clock = Clock::new(topic.messages);
    loop {
        let read = reader.read(BATCH, |payload| {
            clock.begin();
            black_box(payload.first());
        });
        if read > 0 && clock.handled(read as u64) {
            break;
        }
    }
    Ok(clock.cost().expect("the last message was seen"))
}

/// The loop in rust-rdkafka's documentation: one message at a time, offsets stored and committed by the client.
pub(crate) fn stream_consumer(topic: &Topic, runtime: &Runtime) -> Result<Cost, BoxError> {
    let mut config = topic.config();
    config
        .set("group.id", topic.new_group())
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "10");
    runtime.block_on(async {
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&[&topic.name])?;
        let clock = Clock::new(topic.messages);
        loop {
            let message = consumer.recv().await?;
            clock.begin();
            black_box(message.payload().and_then(<[u8]>::first));
            if clock.handled(1) {
                break;
            }
        }
        let cost = clock.cost().expect("the last message was seen");
        // Leaving the group blocks.
        tokio::task::spawn_blocking(move || drop(consumer)).await?;
        Ok(cost)
    })
}
