//! Declarations of queues, and where to start reading a stream.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::{options::QueueDeclareOptions, types::AMQPValue};

use crate::arguments::{Argument, Arguments};

/// Declares a queue: creates it if it does not exist. Fails if it exists with other properties; the error names one of them.
///
/// ```
/// use broadway_rabbitmq::Declare;
///
/// let orders = Declare::quorum().delivery_limit(5).dead_letter_exchange("dead");
/// # let _ = orders;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a declaration takes effect when it is given to a source"]
pub struct Declare {
    pub(crate) options: QueueDeclareOptions,
    pub(crate) arguments: Arguments,
}

impl Declare {
    /// A durable classic queue.
    pub fn classic() -> Self {
        Self::default().durable(true)
    }

    /// A quorum queue: durable, replicated, and it counts deliveries.
    pub fn quorum() -> Self {
        Self::classic().argument("x-queue-type", "quorum")
    }

    /// A stream: a log whose messages stay when they are read. See [`RabbitMq::stream_offset`](crate::RabbitMq::stream_offset).
    pub fn stream() -> Self {
        Self::classic().argument("x-queue-type", "stream")
    }

    /// Whether the queue survives a restart of the broker. Defaults to `true`.
    pub fn durable(mut self, durable: bool) -> Self {
        self.options.durable = durable;
        self
    }

    /// Whether only this connection may use the queue. The queue is deleted with the connection, so a lost connection loses its messages.
    /// Defaults to `false`.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.options.exclusive = exclusive;
        self
    }

    /// Whether the queue is deleted when its last consumer is cancelled or its connection is lost. Defaults to `false`.
    pub fn auto_delete(mut self, auto_delete: bool) -> Self {
        self.options.auto_delete = auto_delete;
        self
    }

    /// The exchange for messages that are rejected, expire, or exceed the delivery limit.
    pub fn dead_letter_exchange(self, exchange: impl Into<String>) -> Self {
        self.argument("x-dead-letter-exchange", exchange.into())
    }

    /// The routing key of dead letters. Defaults to the message's own.
    pub fn dead_letter_routing_key(self, routing_key: impl Into<String>) -> Self {
        self.argument("x-dead-letter-routing-key", routing_key.into())
    }

    /// How many times a quorum queue redelivers a message before it becomes a dead letter.
    pub fn delivery_limit(self, deliveries: u32) -> Self {
        self.argument("x-delivery-limit", deliveries)
    }

    /// How long messages stay in the queue. Rounded down to milliseconds.
    pub fn message_ttl(self, time: Duration) -> Self {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.argument("x-message-ttl", ms)
    }

    /// Sets any other argument of the queue, such as `x-max-length`. A name of more than 255 bytes, the most that AMQP carries, is a
    /// problem that [`check`](broadway_core::Source::check) reports.
    pub fn argument(mut self, name: &str, value: impl Into<Argument>) -> Self {
        self.arguments.insert(name, value.into());
        self
    }

    pub(crate) fn is_stream(&self) -> bool {
        let kind = self.arguments.table().inner().get("x-queue-type");
        kind == Some(&AMQPValue::LongString("stream".into()))
    }
}

/// Where to start reading a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamOffset {
    /// At the oldest message in the stream.
    First,
    /// At the last chunk of messages in the stream.
    Last,
    /// After the last message: reads only messages that are published from now on.
    Next,
    /// At the message with this offset.
    At(u64),
    /// At the first chunk that was stored at this time or later. Rounded down to seconds.
    Since(SystemTime),
}

impl StreamOffset {
    pub(crate) fn argument(self) -> AMQPValue {
        match self {
            Self::First => AMQPValue::LongString("first".into()),
            Self::Last => AMQPValue::LongString("last".into()),
            Self::Next => AMQPValue::LongString("next".into()),
            Self::At(offset) => AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX)),
            Self::Since(time) => {
                let age = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                AMQPValue::Timestamp(age.as_secs())
            }
        }
    }
}
