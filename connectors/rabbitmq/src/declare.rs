//! Queues as they are declared, their arguments, and where reading a stream begins.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::{options::QueueDeclareOptions, types::AMQPValue};

use crate::arguments::{Argument, Arguments};

/// A queue to be declared: created where it is missing. One that exists with other properties is an error that says which.
///
/// ```
/// use broadway_rabbitmq::Declare;
///
/// let orders = Declare::quorum().delivery_limit(5).dead_letter_exchange("dead");
/// # let _ = orders;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a declaration has an effect when it is given to a source"]
pub struct Declare {
    pub(crate) options: QueueDeclareOptions,
    pub(crate) arguments: Arguments,
}

impl Declare {
    /// A classic queue, durable.
    pub fn classic() -> Self {
        Self::default().durable(true)
    }

    /// A quorum queue: replicated, durable, and it counts deliveries.
    pub fn quorum() -> Self {
        Self::classic().argument("x-queue-type", "quorum")
    }

    /// A stream: a log that is read without being emptied. See [`RabbitMq::stream_offset`](crate::RabbitMq::stream_offset).
    pub fn stream() -> Self {
        Self::classic().argument("x-queue-type", "stream")
    }

    /// Whether the queue survives a restart of the broker. Default: it does.
    pub fn durable(mut self, durable: bool) -> Self {
        self.options.durable = durable;
        self
    }

    /// Whether the queue belongs to this connection alone, and is deleted with it: then a lost connection loses its messages.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.options.exclusive = exclusive;
        self
    }

    /// Whether the queue is deleted when its last consumer leaves; a lost connection is one that leaves.
    pub fn auto_delete(mut self, auto_delete: bool) -> Self {
        self.options.auto_delete = auto_delete;
        self
    }

    /// Messages that are rejected, expire or were delivered too often go to this exchange.
    pub fn dead_letter_exchange(self, exchange: impl Into<String>) -> Self {
        self.argument("x-dead-letter-exchange", exchange.into())
    }

    /// The routing key of dead letters. Default: that of the message.
    pub fn dead_letter_routing_key(self, routing_key: impl Into<String>) -> Self {
        self.argument("x-dead-letter-routing-key", routing_key.into())
    }

    /// How often a quorum queue delivers a message again before it is a dead letter.
    pub fn delivery_limit(self, deliveries: u32) -> Self {
        self.argument("x-delivery-limit", deliveries)
    }

    /// How long messages stay, in whole milliseconds.
    pub fn message_ttl(self, time: Duration) -> Self {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.argument("x-message-ttl", ms)
    }

    /// Any other argument of the queue, such as `x-max-length`. A name longer than 255 bytes, the most that AMQP carries, is told
    /// when the source is opened.
    pub fn argument(mut self, name: &str, value: impl Into<Argument>) -> Self {
        self.arguments.insert(name, value.into());
        self
    }

    pub(crate) fn is_stream(&self) -> bool {
        let kind = self.arguments.table().inner().get("x-queue-type");
        kind == Some(&AMQPValue::LongString("stream".into()))
    }
}

/// Where reading a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamOffset {
    /// At the oldest message that is still there.
    First,
    /// At the newest chunk of messages that is there.
    Last,
    /// After what is there now: only what is published from now on.
    Next,
    /// At this offset.
    At(u64),
    /// At the first chunk that is as young as this, to the second.
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
