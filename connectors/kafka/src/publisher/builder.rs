//! Where to publish and how: [`KafkaPublisherBuilder`].

use std::time::Duration;

use broadway_core::{BoxError, Checks, ConfigError, Problem, connector::readable};
use rdkafka::ClientConfig;

use super::{
    KafkaPublisher,
    flights::IN_FLIGHT_LIMIT,
    poller::{self, Shared},
};
use crate::{
    settings::{Settings, Side},
    topic::NewTopic,
};

/// The longest time that the client counts, in milliseconds; what is longer is no limit.
const TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
/// The longest `linger` that the client takes.
const LINGER_MAX: Duration = Duration::from_secs(900);

/// The options of a [`KafkaPublisher`]; made by [`KafkaPublisher::topic`].
///
/// ```no_run
/// use std::time::Duration;
/// use broadway_kafka::KafkaPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let orders = KafkaPublisher::topic("orders")
///     .brokers("kafka-1:9092,kafka-2:9092")
///     .confirm_timeout(Duration::from_secs(10))
///     .set("compression.type", "lz4")
///     .open()
///     .await?;
/// # let _ = orders;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a publisher is made by `open`"]
pub struct KafkaPublisherBuilder {
    pub(crate) topic: String,
    pub(crate) brokers: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) confirm_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) linger: Duration,
    pub(crate) empty_is_tombstone: bool,
    pub(crate) create_if_missing: Option<NewTopic>,
    pub(crate) settings: Settings,
}

impl KafkaPublisherBuilder {
    pub(crate) fn new(topic: String) -> Self {
        Self {
            topic,
            brokers: String::new(),
            connect_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            in_flight_max: 10_000,
            linger: Duration::from_millis(1),
            empty_is_tombstone: false,
            create_if_missing: None,
            settings: Settings::default(),
        }
    }

    /// Where to connect first: `host:port`, several with commas between. Required.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.brokers = brokers.into();
        self
    }

    /// How long opening waits for a broker that answers and knows the topic. A millisecond or more;
    /// `Duration::MAX` is no limit. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a message that was handed to the client may remain unconfirmed, with all that the client tries again. After
    /// that it fails as [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed), within another second. A millisecond or
    /// more; `Duration::MAX`, and all above 24 days, is no limit. Default: 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long closing waits for what is unconfirmed; the client takes up to a second more to end. A millisecond or
    /// more; `Duration::MAX` is no limit. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// The most messages that are with the client and unconfirmed; callers wait beyond that. Their bytes are bounded
    /// by `queue.buffering.max.kbytes` (1 GiB), which makes callers wait too. At most 4,294,967,295, and 65,535 where
    /// a pointer has 32 bits. Default: 10,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// How long the client waits for more messages to go with one, in a request for a partition. Many small calls at once gain
    /// by more; a call with all of its messages at once gains nothing by it. Zero to 15 minutes. Default: 1 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sends messages with an empty payload as *tombstones*, records without a value, which delete their key from a
    /// compacted topic. Without this, an empty payload is an empty value.
    pub fn empty_is_tombstone(mut self) -> Self {
        self.empty_is_tombstone = true;
        self
    }

    /// Creates the topic when the publisher opens, if it is not there; a topic that exists is left as it is. Several that create it
    /// at once get one topic, as the first of them wants it. A topic named by [`Outgoing::to`](broadway_core::Outgoing::to) is not
    /// created. This client's principal needs CREATE on the topic or on the cluster. By default a missing topic is an error.
    pub fn create_if_missing(mut self, topic: NewTopic) -> Self {
        self.create_if_missing = Some(topic);
        self
    }

    /// Any other setting, in the words of librdkafka: TLS, SASL, compression, the partitioner. What would break a promise,
    /// or has a method here, is refused when the publisher is opened. Values of secrets are never shown.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Connects, and checks that the topic is there. A broker that creates topics by itself
    /// (`auto.create.topics.enable`) creates it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with all options that cannot work; or within `connect_timeout`, why no broker answered, refused
    /// this client, has no such topic, or does not create it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the connection is let go.
    pub async fn open(self) -> Result<KafkaPublisher, BoxError> {
        self.try_open().await.map_err(readable)
    }

    async fn try_open(self) -> Result<KafkaPublisher, BoxError> {
        ConfigError::check("the Kafka publisher", self.problems())?;
        let shared = Shared::new(&self);
        let opened = poller::start(self.clone(), &shared)?;
        opened
            .await
            .map_err(|_| "the thread of a Kafka publisher has panicked while it opened")??;
        Ok(KafkaPublisher::new(self, shared))
    }

    /// All that cannot work.
    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.settings.problems(Side::Publisher));
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
            "is empty; give host:port, several with commas between",
        );
        checks.within("in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_LIMIT);
        if let Some(topic) = &self.create_if_missing {
            topic.check(&mut checks);
        }
        let timeouts = [
            ("connect_timeout", self.connect_timeout),
            ("confirm_timeout", self.confirm_timeout),
            ("close_timeout", self.close_timeout),
        ];
        for (option, timeout) in timeouts {
            checks.require(
                timeout >= Duration::from_millis(1),
                option,
                format_args!("is {timeout:?}; give a millisecond or more"),
            );
        }
        checks.require(
            self.linger <= LINGER_MAX && self.linger < self.confirm_timeout,
            "linger",
            format_args!(
                "is {:?}; give less than confirm_timeout and at most 15 minutes, or messages time out before they are sent",
                self.linger
            ),
        );
        checks.into_problems()
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // First what may be overridden. A topic given by `Outgoing::to` that is not there is told soon, but may have been
        // made a moment ago.
        config.set("client.id", "broadway-publisher");
        config.set("topic.metadata.propagation.max.ms", "5000");
        for (name, value) in self.settings.iter() {
            config.set(name, value);
        }
        config.set_log_level(self.settings.log_level());
        // The client's own bound must not be met before ours; that on bytes stands.
        if self.settings.get("queue.buffering.max.messages").is_none() {
            config.set("queue.buffering.max.messages", "0");
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        // Zero is no limit in the client's words.
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
    fn every_problem_is_told_at_once() {
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
            "close_timeout",
            "linger",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn a_linger_below_a_millisecond_is_passed_on() {
        let builder = KafkaPublisherBuilder::new("t".to_owned()).linger(Duration::from_micros(500));
        assert_eq!(builder.client_config().get("linger.ms"), Some("0.5"));
    }
}
