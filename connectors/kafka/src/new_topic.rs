//! A topic that a source or a publisher creates if it is missing: [`NewTopic`].

use broadway_core::Checks;

/// How a missing topic is created, for [`Kafka::create_if_missing`](crate::Kafka::create_if_missing) and
/// [`KafkaPublisherBuilder::create_if_missing`](crate::KafkaPublisherBuilder::create_if_missing). An existing topic is never changed.
///
/// ```
/// use broadway_kafka::{Kafka, NewTopic};
///
/// let week = NewTopic::partitions(12)
///     .replication(3)
///     .set("retention.ms", "604800000");
/// let source = Kafka::topics(["orders"])
///     .brokers("kafka-1:9092")
///     .group("billing")
///     .create_if_missing(week);
/// # let _ = source;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it takes effect when it is given to `create_if_missing`"]
pub struct NewTopic {
    pub(crate) partitions: u32,
    pub(crate) replication: Option<u16>,
    pub(crate) settings: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with this number of partitions, 1 to 1,000,000.
    pub fn partitions(partitions: u32) -> Self {
        Self {
            partitions,
            replication: None,
            settings: Vec::new(),
        }
    }

    /// How many brokers hold a copy of each partition: at least 1, at most the number of brokers. Defaults to the broker's
    /// `default.replication.factor`, which needs Kafka 2.4 or later.
    pub fn replication(mut self, replicas: u16) -> Self {
        self.replication = Some(replicas);
        self
    }

    /// A setting of the topic, by its Kafka name, such as `retention.ms`, `cleanup.policy`, `max.message.bytes`. A second call with the
    /// same name replaces the value.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.into()));
        self
    }

    /// Adds the problems of these options.
    pub(crate) fn check(&self, checks: &mut Checks) {
        const OPTION: &str = "create_if_missing";
        checks.require(
            (1..=1_000_000).contains(&self.partitions),
            OPTION,
            format_args!("has {} partitions; give 1 to 1,000,000", self.partitions),
        );
        checks.require(
            self.replication != Some(0) && self.replication.is_none_or(|n| n <= i16::MAX as u16),
            OPTION,
            "has a replication out of range; give at least 1 and at most the number of brokers",
        );
        let has_nul =
            |(name, value): &(String, String)| name.contains('\0') || value.contains('\0');
        checks.require(
            !self.settings.iter().any(has_nul),
            OPTION,
            "has a setting with a NUL in it",
        );
        checks.require(
            !self.settings.iter().any(|(name, _)| name.is_empty()),
            OPTION,
            "has a setting without a name",
        );
    }
}
