//! The client alone, read as fast as it can be read: what our benchmark compares the connector with. Not part of the
//! public interface.

use std::{sync::Arc, thread, time::Duration};

use broadway_core::{BoxError, telemetry::Emitter};
use rdkafka::{ClientConfig, Offset, TopicPartitionList, consumer::Consumer};

use crate::{
    client::Client,
    events::Context,
    ffi::{Bell, Queue, Scratch, Signal},
    partition::Origin,
};

/// Reads all partitions of a topic from their beginning, in batches, and destroys each message where it was read.
pub struct BatchReader {
    queues: Vec<Queue>,
    scratch: Scratch,
    next: usize,
    /// Behind the queues: they go first.
    client: Arc<Client>,
}

impl BatchReader {
    /// Assigns partitions `0..partitions` of `topic`.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub fn open(config: &ClientConfig, topic: &str, partitions: i32) -> Result<Self, BoxError> {
        let context = Context::new(Arc::default(), Emitter::silent("bare"), 0);
        let client = Client::new(config.create_with_context(context)?);
        let signal = Signal::new(Bell::Thread(thread::current()));
        let mut list = TopicPartitionList::new();
        let mut queues = Vec::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
            let name = format!("{topic}[{partition}]");
            let origin = Origin {
                topic: topic.into(),
                partition,
                name,
            };
            let queue = Queue::of_partition(&client, &origin, signal.clone());
            queues.push(queue.ok_or("the client gave no queue")?);
        }
        client.assign(&list)?;
        Ok(Self {
            queues,
            scratch: Scratch::default(),
            next: 0,
            client,
        })
    }

    /// Reads up to `n` messages of the next partition that has any; returns 0 if there was none for 10 ms.
    pub fn read(&mut self, n: usize, mut see: impl FnMut(&[u8])) -> usize {
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            let read = self.queues[self.next].read_through(n, &mut self.scratch, &mut see);
            if read > 0 {
                return read;
            }
        }
        // What the client itself has to say.
        let _ = self.client.poll(Duration::ZERO);
        thread::park_timeout(Duration::from_millis(10));
        0
    }
}

impl std::fmt::Debug for BatchReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchReader")
            .field("partitions", &self.queues.len())
            .finish_non_exhaustive()
    }
}
