//! [`Mover`]: publishes the records of the queue, in batches.

use std::{collections::HashMap, sync::Arc};

use broadway::{
    Batch, BoxError, Handler, Message, Next, OneBatcher, Outgoing, Publisher, Record,
    queue::QueueRecord,
};
use bytes::Bytes;

/// Headers with the place of a record in the queue, by which consumers drop repeats.
pub(super) const ORIGIN: [&str; 3] = [
    "broadway-queue-topic",
    "broadway-queue-partition",
    "broadway-queue-offset",
];

pub(super) struct Mover<P> {
    to: Arc<P>,
    adds_origin: bool,
}

impl<P> Mover<P> {
    pub(super) fn new(to: Arc<P>, adds_origin: bool) -> Self {
        Self { to, adds_origin }
    }

    /// The record as it is, without a copy of its bytes. The place in this queue replaces that in an earlier one.
    fn outgoing(&self, record: &QueueRecord) -> Outgoing {
        let mut message = match record.payload_bytes() {
            Some(payload) => Outgoing::new(payload),
            None => Outgoing::tombstone(),
        };
        if let Some(key) = record.key_bytes() {
            message = message.key(key);
        }
        if let Some(time) = record.time() {
            message = message.sent_at(time);
        }
        let mut headers = Vec::new();
        record.for_each_header(&mut |header| headers.push(header));
        if self.adds_origin {
            headers.retain(|header| ORIGIN.iter().all(|name| header.name != **name));
        }
        for header in headers {
            message = message.header(header.name, header.value);
        }
        if self.adds_origin {
            let [topic, partition, offset] = ORIGIN;
            message = message
                .header(topic, record.topic())
                .header(partition, record.partition().to_string())
                .header(offset, record.offset().to_string());
        }
        message
    }
}

impl<P: Publisher> Handler for Mover<P> {
    type In = QueueRecord;
    type Out = Outgoing;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<QueueRecord>,
    ) -> Result<Next<Outgoing, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, self.outgoing(message.data())))
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        batch: &mut Batch<Outgoing>,
    ) -> Result<(), BoxError> {
        let (mut rows, mut messages) = (Vec::new(), Vec::new());
        for row in batch.take() {
            let (id, message) = (row.id(), row.into_data());
            rows.push((id, message.message_key().cloned()));
            messages.push(message);
        }
        let results = self.to.publish(messages).await;
        // Messages that fail stay in the queue, and are sent again after a second. Later ones of their keys are sent again behind
        // them, although they may be confirmed: the last message of a key at the destination is the last one here.
        let mut failed: HashMap<Bytes, String> = HashMap::new();
        for ((id, key), result) in rows.into_iter().zip(results) {
            let behind = key.as_ref().and_then(|key| failed.get(key));
            match (result, behind) {
                (Ok(()), None) => {}
                (Ok(()), Some(error)) => {
                    batch.fail(id, format!("an earlier record of its key: {error}"));
                }
                (Err(error), _) => {
                    if let Some(key) = key {
                        failed.insert(key, error.to_string());
                    }
                    batch.fail(id, error);
                }
            }
        }
        Ok(())
    }
}
