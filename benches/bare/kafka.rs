//! The baseline: programs that users write, or could write, with the Kafka client alone.
//!
//! [`batch_loop`] needs calls of librdkafka that the safe client lacks: it reads the queues of partitions in batches, as the connector
//! does. Without them the comparison would favor the connector. This is why a benchmark has unsafe code.
#![allow(unsafe_code)]

use std::{
    ffi::{CString, c_void},
    hint::black_box,
    ptr::{self, NonNull},
    slice,
    thread::{self, Thread},
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    bindings::{self, rd_kafka_message_t, rd_kafka_queue_t, rd_kafka_t},
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, DefaultConsumerContext, StreamConsumer},
};
use tokio::runtime::Runtime;

use super::BoxError;
use super::brokers::clock::{Clock, Cost};
use super::topic::Topic;

/// Messages in a batch.
const BATCH: usize = 1_000;

/// The fastest loop: reads the queue of each partition in batches, on one thread, and keeps no state.
pub(crate) fn batch_loop(topic: &Topic, _runtime: &Runtime) -> Result<Cost, BoxError> {
    let mut config = topic.config();
    // The connector's settings, so that both fetch alike.
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

/// The loop in rust-rdkafka's documentation: one message at a time; the client stores and commits offsets.
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

/// Reads all partitions of a topic from their beginning, in batches, and destroys each message where it was read.
struct BatchReader {
    queues: Vec<PartitionQueue>,
    buffer: Vec<*mut rd_kafka_message_t>,
    next: usize,
    /// Declared after the queues: they must be destroyed before it.
    consumer: BaseConsumer,
}

impl BatchReader {
    /// Assigns partitions `0..partitions` of `topic`.
    fn open(config: &ClientConfig, topic: &str, partitions: i32) -> Result<Self, BoxError> {
        let consumer: BaseConsumer<DefaultConsumerContext> = config.create()?;
        let client = consumer.client().native_ptr();
        let mut list = TopicPartitionList::new();
        let mut queues = Vec::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
            let queue = PartitionQueue::new(client, topic, partition);
            queues.push(queue.ok_or("the client has no queue")?);
        }
        consumer.assign(&list)?;
        Ok(Self {
            queues,
            buffer: Vec::new(),
            next: 0,
            consumer,
        })
    }

    /// Reads up to `n` messages of the next partition that has any. Returns 0 if there was none for 10 ms.
    fn read(&mut self, n: usize, mut see: impl FnMut(&[u8])) -> usize {
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            let read = self.queues[self.next].read(n, &mut self.buffer, &mut see);
            if read > 0 {
                return read;
            }
        }
        // Runs the client's own callbacks.
        let _ = self.consumer.poll(Duration::ZERO);
        thread::park_timeout(Duration::from_millis(10));
        0
    }
}

/// The queue of one partition, separated from the main queue. Unparks the reading thread when it stops being empty.
struct PartitionQueue {
    raw: NonNull<rd_kafka_queue_t>,
    /// The target of the callback's pointer.
    _reader: Box<Thread>,
}

impl PartitionQueue {
    fn new(client: *mut rd_kafka_t, topic: &str, partition: i32) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let reader = Box::new(thread::current());
        let opaque = ptr::from_ref::<Thread>(&reader).cast_mut().cast::<c_void>();
        // SAFETY: the client is alive; the name ends with NUL and is copied; `opaque` points into the box, which is dropped only after the
        // callback was disabled.
        unsafe {
            let raw = bindings::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            let raw = NonNull::new(raw)?;
            bindings::rd_kafka_queue_forward(raw.as_ptr(), ptr::null_mut());
            bindings::rd_kafka_queue_cb_event_enable(raw.as_ptr(), Some(unpark), opaque);
            Some(Self {
                raw,
                _reader: reader,
            })
        }
    }

    fn read(
        &self,
        n: usize,
        buffer: &mut Vec<*mut rd_kafka_message_t>,
        see: &mut impl FnMut(&[u8]),
    ) -> usize {
        buffer.clear();
        buffer.reserve(n);
        // SAFETY: there is room for `n` pointers, and a timeout of 0 returns at once. The callee has written `read` pointers to messages
        // that are owned here until they are destroyed, once each; a payload lives as long as its message.
        unsafe {
            let raw = self.raw.as_ptr();
            let read = bindings::rd_kafka_consume_batch_queue(raw, 0, buffer.as_mut_ptr(), n);
            // Negative in case of an error, which does not occur for a queue that exists.
            let read = usize::try_from(read).unwrap_or(0);
            buffer.set_len(read);
            for message in buffer.drain(..) {
                let payload = (*message).payload;
                if !payload.is_null() {
                    see(slice::from_raw_parts(payload.cast(), (*message).len));
                }
                bindings::rd_kafka_message_destroy(message);
            }
            read
        }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the handle is owned by `self`, and the client is alive. Disabling takes the queue's lock, under which the callback runs,
        // so the callback has ended when the box is dropped.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.raw.as_ptr());
        }
    }
}

unsafe extern "C" fn unpark(_client: *mut rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` points to the thread of a queue that holds it until the callback is disabled.
    unsafe { &*opaque.cast::<Thread>() }.unpark();
}
