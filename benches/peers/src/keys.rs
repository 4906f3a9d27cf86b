//! Messages with keys, whose handlers wait, and a check that the messages of a key were handled in order and one at a time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::BoxError;
use crate::topic::Topic;

const KEYS: u32 = 1_000;
const WAIT_MS_MAX: u32 = 5;
const MESSAGE_BYTES: usize = 100;

/// Creates a topic and fills it with messages of random keys and waits, the same in every run.
///
/// # Errors
///
/// Fails if the broker does not answer.
pub(crate) async fn load(partitions: i32, messages: u64) -> Result<Topic, BoxError> {
    let mut topic = Topic::load(partitions, 0).await?;
    topic.messages = messages;
    tokio::task::block_in_place(|| fill(&topic))?;
    Ok(topic)
}

fn fill(topic: &Topic) -> Result<(), BoxError> {
    let producer: BaseProducer = topic.config().create()?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..u32::try_from(topic.messages)? {
        let message = Keyed {
            key: random.below(KEYS),
            number,
            wait_ms: random.below(WAIT_MS_MAX + 1),
        };
        let (key, payload) = (message.key.to_string(), message.encode());
        let mut record = BaseRecord::to(&topic.name).key(&key).payload(&payload);
        while let Err((error, refused)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
            record = refused;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(())
}

/// The content of a message.
#[derive(Debug, Clone, Copy)]
struct Keyed {
    key: u32,
    number: u32,
    wait_ms: u32,
}

impl Keyed {
    fn encode(self) -> [u8; MESSAGE_BYTES] {
        let mut payload = [0; MESSAGE_BYTES];
        payload[0..4].copy_from_slice(&self.key.to_le_bytes());
        payload[4..8].copy_from_slice(&self.number.to_le_bytes());
        payload[8..12].copy_from_slice(&self.wait_ms.to_le_bytes());
        payload
    }

    fn decode(payload: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = payload[at..at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes)
        };
        Self {
            key: word(0),
            number: word(4),
            wait_ms: word(8),
        }
    }
}

/// Sees whether the messages of each key are handled in order, one at a time.
pub(crate) struct KeyOrder {
    keys: Vec<Key>,
    is_broken: AtomicBool,
}

#[derive(Default)]
struct Key {
    is_busy: AtomicBool,
    /// One more than the number of the latest message.
    next: AtomicU32,
}

impl KeyOrder {
    pub(crate) fn new() -> Self {
        Self {
            keys: (0..KEYS).map(|_| Key::default()).collect(),
            is_broken: AtomicBool::new(false),
        }
    }

    /// Waits for the time in the message.
    pub(crate) async fn handle(&self, payload: &[u8]) {
        let message = Keyed::decode(payload);
        let key = &self.keys[message.key as usize];
        let overlaps = key.is_busy.swap(true, Ordering::AcqRel);
        let earlier = key.next.swap(message.number + 1, Ordering::AcqRel);
        if overlaps || earlier > message.number {
            self.is_broken.store(true, Ordering::Release);
        }
        if message.wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(message.wait_ms.into())).await;
        }
        key.is_busy.store(false, Ordering::Release);
    }

    /// Whether no key was out of order.
    pub(crate) fn held(&self) -> bool {
        !self.is_broken.load(Ordering::Acquire)
    }
}

/// A small generator (xorshift), so that every run has the same keys and waits.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let below = (self.0 >> 33) % u64::from(n);
        u32::try_from(below).expect("it is below a `u32`")
    }
}
