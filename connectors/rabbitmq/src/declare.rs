//! Declarations of queues, and where to start reading a stream.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::connector::DeliveryLimit;
use lapin::{options::QueueDeclareOptions, types::AMQPValue};

use crate::arguments::{Argument, Arguments};

/// The delivery limit of a quorum queue that has none of its own, since this major version of RabbitMQ.
const DEFAULT_LIMIT: u32 = 20;
const DEFAULT_LIMIT_SINCE: u32 = 4;

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

    /// How many times a quorum queue redelivers a message before it becomes a dead letter, or is dropped if the queue has no
    /// [dead-letter exchange](Self::dead_letter_exchange). Returned messages count, and in RabbitMQ 4 the messages of a closed connection as well.
    /// The default is the broker's: none in RabbitMQ 3, 20 in RabbitMQ 4.
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
        self.is_of_kind("stream")
    }

    fn is_of_kind(&self, kind: &str) -> bool {
        self.argument_value("x-queue-type") == Some(&AMQPValue::LongString(kind.into()))
    }

    fn argument_value(&self, name: &str) -> Option<&AMQPValue> {
        self.arguments.table().inner().get(name)
    }

    /// How often a broker of this version delivers a message of this queue, as far as the arguments decide that: a policy at the broker
    /// may lower it, and AMQP does not show policies. `None` without a limit, or if it is unknown.
    pub(crate) fn known_delivery_limit(&self, broker_major: Option<u32>) -> Option<DeliveryLimit> {
        if !self.is_of_kind("quorum") {
            return None;
        }
        let argument = self.argument_value("x-delivery-limit");
        let redeliveries = match argument.and_then(as_integer) {
            // A negative number turns the limit off.
            Some(limit) => u32::try_from(limit).ok()?,
            None if broker_major? >= DEFAULT_LIMIT_SINCE => DEFAULT_LIMIT,
            None => return None,
        };
        let setting = match argument {
            Some(_) => "`x-delivery-limit` of the queue, or a lower one in a policy",
            None => "the default of `x-delivery-limit` in RabbitMQ 4, unless a policy sets it",
        };
        let exchange = match self.argument_value("x-dead-letter-exchange") {
            Some(AMQPValue::LongString(name)) => Some(name.to_string()),
            _ => None,
        };
        let then = match &exchange {
            Some(name) if name.is_empty() => "moves it to the default exchange".to_owned(),
            Some(name) => format!("moves it to the dead-letter exchange `{name}`"),
            None => {
                "drops it, unless a policy sets a dead-letter exchange, which AMQP does not show"
                    .to_owned()
            }
        };
        let deliveries = redeliveries.saturating_add(1);
        Some(DeliveryLimit::new(deliveries, setting, then).drops(exchange.is_none()))
    }
}

fn as_integer(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::LongLongInt(value) => Some(value),
        AMQPValue::LongInt(value) => Some(value.into()),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn deliveries(queue: &Declare, broker_major: Option<u32>) -> Option<u32> {
        let limit = queue.known_delivery_limit(broker_major);
        limit.map(|limit| limit.deliveries())
    }

    #[test]
    fn a_quorum_queue_without_a_limit_has_the_default_of_its_broker() {
        let queue = Declare::quorum();
        assert_eq!(deliveries(&queue, Some(4)), Some(21));
        assert_eq!(deliveries(&queue, Some(3)), None);
        assert_eq!(deliveries(&queue, None), None);
        assert_eq!(deliveries(&Declare::classic(), Some(4)), None);
    }

    #[test]
    fn a_limit_of_the_queue_counts_redeliveries_and_a_negative_one_turns_it_off() {
        assert_eq!(
            deliveries(&Declare::quorum().delivery_limit(2), None),
            Some(3)
        );
        let unlimited = Declare::quorum().argument("x-delivery-limit", -1);
        assert_eq!(deliveries(&unlimited, Some(4)), None);
    }

    #[test]
    fn a_queue_with_a_dead_letter_exchange_drops_nothing() {
        let text = |queue: Declare| format!("{:?}", queue.known_delivery_limit(None));
        let dropping = text(Declare::quorum().delivery_limit(2));
        assert!(dropping.contains("drops: true"), "{dropping}");
        let moving = text(
            Declare::quorum()
                .delivery_limit(2)
                .dead_letter_exchange("dead"),
        );
        assert!(
            moving.contains("`dead`") && moving.contains("drops: false"),
            "{moving}"
        );
    }
}
