//! The options of the publisher: [`KafkaPublisherBuilder`].

use std::time::Duration;

use broadway_core::{Checks, Problem};
use rdkafka::ClientConfig;

use super::in_flight::IN_FLIGHT_LIMIT;
use crate::{
    new_topic::NewTopic,
    settings::{ClientRole, ClientSettings},
};

/// The longest timeout that librdkafka can count, in milliseconds; longer ones mean no limit.
const TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
/// The longest `linger` that librdkafka accepts.
const LINGER_MAX: Duration = Duration::from_secs(900);

/// The options of a [`KafkaPublisher`](super::KafkaPublisher). Created by [`KafkaPublisher::topic`](super::KafkaPublisher::topic).
///
/// ```no_run
/// use std::time::Duration;
/// use broadway_kafka::KafkaPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let orders = KafkaPublisher::topic("orders")
///     .brokers("kafka-1:9092,kafka-2:9092")
///     .set("compression.type", "lz4")
///     .confirm_timeout(Duration::from_secs(10))
///     .open()
///     .await?;
/// # let _ = orders;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "`open` returns the publisher"]
pub struct KafkaPublisherBuilder {
    pub(crate) topic: String,
    pub(crate) brokers: String,
    pub(crate) settings: ClientSettings,
    pub(crate) create_if_missing: Option<NewTopic>,
    pub(crate) empty_is_tombstone: bool,
    pub(crate) in_flight_max: usize,
    pub(crate) linger: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) confirm_timeout: Duration,
    pub(crate) close_timeout: Duration,
}

impl KafkaPublisherBuilder {
    pub(crate) fn new(topic: String) -> Self {
        Self {
            topic,
            brokers: String::new(),
            settings: ClientSettings::default(),
            create_if_missing: None,
            empty_is_tombstone: false,
            in_flight_max: 10_000,
            linger: Duration::from_millis(1),
            connect_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
        }
    }

    /// The brokers to connect to first, as `host:port`, separated by commas. Required.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.brokers = brokers.into();
        self
    }

    /// Any other setting of librdkafka, by its name there: TLS, SASL, compression, the partitioner. A setting that would break a guarantee,
    /// or that has a method here, is rejected when the publisher is opened. Values of secrets are never shown.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Creates the topic if it does not exist when the publisher opens. An existing topic is left unchanged. If several sources and
    /// publishers create it at the same time, the first one decides how. Topics named by [`Outgoing::to`](broadway_core::Outgoing::to)
    /// are not created. The client's principal needs CREATE on the topic or on the cluster. By default a missing topic is an error.
    pub fn create_if_missing(mut self, topic: NewTopic) -> Self {
        self.create_if_missing = Some(topic);
        self
    }

    /// Sends messages with an empty payload as *tombstones*: records without a value, which delete their key from a compacted topic. By
    /// default an empty payload is sent as an empty value.
    pub fn empty_is_tombstone(mut self) -> Self {
        self.empty_is_tombstone = true;
        self
    }

    /// The most messages that may be unconfirmed at the client; callers wait beyond that. Their bytes are limited by
    /// `queue.buffering.max.kbytes` (1 GiB), at which callers wait, too. At most 4,294,967,295, or 65,535 where pointers have 32 bits.
    /// Defaults to 10,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// How long the client waits for further messages before it sends a request to a partition. A longer time helps many concurrent small
    /// calls, and does not help a call that passes all its messages at once. From zero to 15 minutes. Defaults to 1 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How long opening waits for a broker that answers and knows the topic. At least 1 ms; `Duration::MAX` means no limit. Defaults to 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a message may stay unconfirmed at the client, including all retries. After that it fails as
    /// [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed), within 1 s. At least 1 ms; `Duration::MAX`, like everything above
    /// 24 days, means no limit. Defaults to 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long closing waits for unconfirmed messages. Ending the client takes up to 1 s more. At least 1 ms; `Duration::MAX` means no
    /// limit. Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Validates the options without connecting.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.settings.problems(ClientRole::Publisher));
        checks.require(
            !self.topic.is_empty(),
            "topic",
            "is empty; name the topic to publish to",
        );
        checks.require(
            !self.topic.contains('\0'),
            "topic",
            "is a name with a NUL in it",
        );
        checks.require(
            !self.brokers.trim().is_empty(),
            "brokers",
            "is empty; give host:port, several separated by commas",
        );
        // Not shown: the part before the `@` may be a password.
        checks.require(
            !self.brokers.contains('@'),
            "brokers",
            "contains a user or a password before the host; set `sasl.username` and `sasl.password`",
        );
        if let Some(topic) = &self.create_if_missing {
            topic.check(&mut checks);
        }
        checks.within("in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_LIMIT);
        checks.require(
            self.linger <= LINGER_MAX && self.linger < self.confirm_timeout,
            "linger",
            format_args!(
                "is {:?}; give less than confirm_timeout and at most 15 minutes, or messages time out before they are sent",
                self.linger
            ),
        );
        checks.timeout("connect_timeout", self.connect_timeout);
        checks.timeout("confirm_timeout", self.confirm_timeout);
        checks.timeout("close_timeout", self.close_timeout);
        checks.into_problems()
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Defaults first, so that `set` overrides them. A missing topic given by `Outgoing::to` must fail soon, but may have been created a
        // moment ago.
        config.set("client.id", "broadway-publisher");
        config.set("topic.metadata.propagation.max.ms", "5000");
        for (name, value) in self.settings.iter() {
            config.set(name, value);
        }
        config.set_log_level(self.settings.log_level());
        // `in_flight_max` is the limit on messages, so librdkafka's own must not be reached first. Its limit on bytes stays.
        if self.settings.get("queue.buffering.max.messages").is_none() {
            config.set("queue.buffering.max.messages", "0");
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        // librdkafka takes zero as no limit.
        let limit = Some(self.confirm_timeout).filter(|timeout| *timeout <= TIMEOUT_MAX);
        let limit_ms = limit.map_or(0, |timeout| timeout.as_millis());
        config.set("message.timeout.ms", limit_ms.to_string());
        config.set("linger.ms", (self.linger.as_secs_f64() * 1e3).to_string());
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once() {
        let builder = KafkaPublisherBuilder::new(String::new())
            .in_flight_max(0)
            .confirm_timeout(Duration::from_secs(1))
            .linger(Duration::from_secs(2))
            .close_timeout(Duration::ZERO)
            .set("acks", "1");
        let options: Vec<_> = builder
            .problems()
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect();
        let expected = [
            "acks",
            "topic",
            "brokers",
            "in_flight_max",
            "linger",
            "close_timeout",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn a_linger_below_a_millisecond_is_passed_on() {
        let builder = KafkaPublisherBuilder::new("t".to_owned()).linger(Duration::from_micros(500));
        assert_eq!(builder.client_config().get("linger.ms"), Some("0.5"));
    }
}
