//! Folders, publishers and readers of the tests.

use std::{ops::Range, path::Path, time::Duration};

use broadway_core::{
    Outgoing, Publisher, Record,
    testing::{Reader, Received},
};
use broadway_queue::{OnFailure, Queue, QueueProducer, QueuePublisher, QueueRecord, TopicOptions};
use tempfile::TempDir;

pub(crate) const TOPIC: &str = "orders";

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) async fn publisher(folder: &Path, partitions: u32) -> QueuePublisher {
    let topic = TopicOptions::new().partitions(partitions);
    let builder = QueuePublisher::topic(folder, TOPIC).create_with(topic);
    builder.open().await.unwrap()
}

/// Publishes numbers in decimal, with the number modulo ten as the key.
pub(crate) async fn publish(publisher: &QueuePublisher, numbers: Range<u64>) {
    let message = |number: u64| Outgoing::new(number.to_string()).key((number % 10).to_string());
    for result in publisher.publish(numbers.map(message).collect()).await {
        result.unwrap();
    }
}

/// A source that delivers failed messages again at once.
pub(crate) fn source(folder: &Path) -> Queue {
    Queue::topic(folder, TOPIC).on_failure(OnFailure::RedeliverAfter(Duration::ZERO))
}

pub(crate) async fn open(source: &Queue) -> Reader<QueueProducer> {
    Reader::open(source).await.unwrap()
}

pub(crate) fn number(record: &QueueRecord) -> u64 {
    let text = std::str::from_utf8(record.payload()).unwrap();
    text.parse().unwrap()
}

pub(crate) fn numbers(received: &[Received<QueueProducer>]) -> Vec<u64> {
    let mut numbers: Vec<_> = received
        .iter()
        .map(|received| number(&received.item))
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Reads and settles messages until `n` have come. In ordered groups, the next of a key may wait until the first is settled.
pub(crate) async fn finish(reader: &mut Reader<QueueProducer>, n: usize) -> Vec<u64> {
    let mut came = Vec::new();
    while came.len() < n {
        let received = reader.some(n - came.len()).await.unwrap();
        came.extend(numbers(&received));
        reader.done(received).await;
    }
    came.sort_unstable();
    came
}
