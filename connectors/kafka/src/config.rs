//! The source and its options: [`Kafka`].

use std::time::Duration;

use broadway_core::{Checks, OpenContext, Problem};
use rdkafka::ClientConfig;

use crate::{
    control::KafkaControl,
    new_topic::NewTopic,
    options::{GroupProtocol, OnFailure, OnLost, StartOffset},
    settings::{ClientRole, ClientSettings},
};

/// Reads topics as a member of a consumer group.
///
/// Each producer of the pipeline is a member of its own, with a connection and a thread. One producer reads millions of messages a
/// second; more producers than partitions stay idle.
///
/// ```
/// use std::time::Duration;
/// use broadway_kafka::{Kafka, StartOffset};
///
/// let source = Kafka::topics(["orders", "returns"])
///     .brokers("kafka-1:9092,kafka-2:9092")
///     .set("security.protocol", "SASL_SSL")
///     .set("sasl.mechanism", "SCRAM-SHA-512")
///     .set("sasl.username", "billing")
///     .set("sasl.password", std::env::var("KAFKA_PASSWORD").unwrap_or_default())
///     .group("billing")
///     .start_offset(StartOffset::Earliest)
///     .commit_interval(Duration::from_secs(1));
/// # let _ = source;
/// ```
#[derive(Debug, Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct Kafka {
    pub(crate) topics: Vec<String>,
    pub(crate) brokers: String,
    pub(crate) settings: ClientSettings,
    pub(crate) group: String,
    pub(crate) protocol: GroupProtocol,
    pub(crate) instance_id: Option<String>,
    pub(crate) reclaim_instance_id: bool,
    pub(crate) start_offset: StartOffset,
    pub(crate) ignore_commits: bool,
    pub(crate) create_if_missing: Option<NewTopic>,
    pub(crate) uncommitted_max: usize,
    pub(crate) prefetch_bytes_max: usize,
    pub(crate) on_failure: OnFailure,
    pub(crate) on_lost: OnLost,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) join_timeout: Duration,
    pub(crate) revoke_timeout: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) lag_interval: Duration,
    pub(crate) control: KafkaControl,
}

impl Kafka {
    /// A source that reads these topics. A name that begins with `^` is a regular expression over topic names.
    pub fn topics<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            topics: topics.into_iter().map(Into::into).collect(),
            brokers: String::new(),
            settings: ClientSettings::default(),
            group: String::new(),
            protocol: GroupProtocol::default(),
            instance_id: None,
            reclaim_instance_id: false,
            start_offset: StartOffset::default(),
            ignore_commits: false,
            create_if_missing: None,
            uncommitted_max: 100_000,
            prefetch_bytes_max: 128 << 20,
            on_failure: OnFailure::default(),
            on_lost: OnLost::default(),
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            join_timeout: Duration::from_secs(60),
            revoke_timeout: Duration::from_secs(5),
            commit_interval: Duration::from_secs(1),
            lag_interval: Duration::from_secs(5),
            control: KafkaControl::default(),
        }
    }

    /// The brokers to connect to first, as `host:port`, separated by commas. Required.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.brokers = brokers.into();
        self
    }

    /// Any other setting of librdkafka, by its name there: TLS, SASL, fetch sizes, timeouts. A setting that would break a guarantee, or
    /// that has a method here, is rejected when the source is opened. Values of secrets are never shown.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// The consumer group to join. Required.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// How the group assigns partitions. Defaults to [`GroupProtocol::CooperativeSticky`].
    pub fn protocol(mut self, protocol: GroupProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Makes the members static: a member that returns within the session timeout gets its partitions back without a rebalance. If the
    /// pipeline has several producers, `-0`, `-1`, … is appended for each. None by default.
    ///
    /// Each process needs an ID of its own. In the classic protocols a member that joins with an ID in use takes it over: the older
    /// member is fenced, and its pipeline ends with an error that names this option instead of taking the ID back. With
    /// [`GroupProtocol::Consumer`] the broker rejects the newer member while the older one lives.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// Lets a member whose [`instance_id`](Self::instance_id) was taken over claim it again, after the pause of the pipeline's restart
    /// policy. Two live members with one ID then take turns and repeat each other's work, so use it only where the other member is
    /// known to end, such as the old process of a rolling update that starts the new one first. Off by default.
    pub fn reclaim_instance_id(mut self) -> Self {
        self.reclaim_instance_id = true;
        self
    }

    /// Where reading starts in a partition without a committed offset. Defaults to [`StartOffset::Latest`].
    pub fn start_offset(mut self, start_offset: StartOffset) -> Self {
        self.start_offset = start_offset;
        self
    }

    /// Starts at [`start_offset`](Self::start_offset) at every assignment, whatever is committed. With several members, or with `Latest`,
    /// a rebalance then repeats or skips messages: intended for tools, not for services. Off by default.
    pub fn ignore_commits(mut self) -> Self {
        self.ignore_commits = true;
        self
    }

    /// Creates the topics given by name that do not exist when the source opens. Existing topics are left unchanged. If several sources
    /// and publishers create a topic at the same time, the first one decides how. The client's principal needs CREATE on the topics or on
    /// the cluster. By default a missing topic is an error.
    ///
    /// Needs at least one topic by name: a regular expression names no topic to create.
    pub fn create_if_missing(mut self, topic: NewTopic) -> Self {
        self.create_if_missing = Some(topic);
        self
    }

    /// How many messages of one partition may be read beyond its committed offset, while a slow message holds the commit back. It is also
    /// the largest number of messages of a partition that a crash repeats. Defaults to 100,000.
    pub fn uncommitted_max(mut self, messages: usize) -> Self {
        self.uncommitted_max = messages;
        self
    }

    /// How many bytes of messages the client may prefetch, in all partitions and all producers of the pipeline together. Defaults to
    /// 128 MiB.
    ///
    /// librdkafka has limits per partition only, so each partition gets an equal share when the source is opened:
    /// `queued.max.messages.kbytes` and `fetch.message.max.bytes` divide the share, and `queued.min.messages` is at most one message
    /// per 512 bytes of it, which covers the client's overhead. Values given with [`set`](Self::set) are lowered where they exceed these
    /// limits.
    ///
    /// A partition may hold more than its share: brokers send whole batches, so one or two batches (each up to the topic's
    /// `max.message.bytes`) may come although the share is smaller, as with very many partitions. Compressed batches count with
    /// their compressed size while they are fetched, and with their unpacked size afterwards. Partitions that are added later
    /// are not counted until the source is opened again; a warning reports them.
    pub fn prefetch_bytes_max(mut self, bytes: usize) -> Self {
        self.prefetch_bytes_max = bytes;
        self
    }

    /// What a failed message does to its partition. Defaults to [`OnFailure::Halt`].
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// What happens when messages were deleted before they were read. Defaults to [`OnLost::Continue`].
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.on_lost = on_lost;
        self
    }

    /// How long opening waits for a broker that answers and knows the topics. Defaults to 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long closing waits for the last commit and for leaving the group. Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long opening waits, once connected, for the group to admit this member; other members may have to finish their work first.
    /// Defaults to 60 s.
    pub fn join_timeout(mut self, timeout: Duration) -> Self {
        self.join_timeout = timeout;
        self
    }

    /// How long a revoked partition waits for its messages in flight. Messages that end later are repeated by the next owner. Must be
    /// less than `max.poll.interval.ms`. Defaults to 5 s.
    pub fn revoke_timeout(mut self, timeout: Duration) -> Self {
        self.revoke_timeout = timeout;
        self
    }

    /// How often settled offsets are committed. They are also committed at revocation and when the source closes. Defaults to 1 s.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) reports the lag of each partition. Each time takes two small requests
    /// to each broker, so the figure is right for partitions that are halted, paused or slow, too. If the broker does not answer
    /// within this interval (at least 1 s, at most 10 s), the lag is unknown. `Duration::MAX` turns it off. Defaults to 5 s.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// A handle that lists halted partitions and resumes them while the pipeline runs.
    #[must_use]
    pub fn control(&self) -> KafkaControl {
        self.control.clone()
    }

    /// Validates the options without connecting.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.settings.problems(ClientRole::Source));
        checks.require(
            !self.topics.is_empty(),
            "topics",
            "is empty; name at least one topic",
        );
        checks.require(
            !self.topics.iter().any(String::is_empty),
            "topics",
            "contains an empty name",
        );
        checks.require(
            !self.topics.iter().any(|topic| topic.contains('\0')),
            "topics",
            "contains a name with a NUL in it",
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
        checks.require(
            !self.group.is_empty(),
            "group",
            "is empty; offsets are committed for a group",
        );
        if let Some(topic) = &self.create_if_missing {
            topic.check(&mut checks);
            checks.require(
                self.topics.iter().any(|topic| !topic.starts_with('^')),
                "create_if_missing",
                "has no topic to create, because all `topics` are regular expressions; name one",
            );
        }
        checks.within("uncommitted_max", self.uncommitted_max, 1..=usize::MAX);
        checks.within(
            "prefetch_bytes_max",
            self.prefetch_bytes_max,
            1..=usize::MAX,
        );
        let intervals = [
            ("connect_timeout", self.connect_timeout),
            ("close_timeout", self.close_timeout),
            ("join_timeout", self.join_timeout),
            ("commit_interval", self.commit_interval),
            ("lag_interval", self.lag_interval),
        ];
        for (option, interval) in intervals {
            checks.above_zero(option, interval);
        }
        checks.require(
            self.revoke_timeout < self.poll_interval_max(),
            "revoke_timeout",
            format_args!(
                "is {:?}; give less than max.poll.interval.ms ({:?}), or the group removes this member while it waits",
                self.revoke_timeout,
                self.poll_interval_max()
            ),
        );
        checks.into_problems()
    }

    /// Whether one of the topics is a regular expression.
    pub(crate) fn has_pattern(&self) -> bool {
        self.topics.iter().any(|topic| topic.starts_with('^'))
    }

    fn poll_interval_max(&self) -> Duration {
        let given = self
            .settings
            .get("max.poll.interval.ms")
            .and_then(|text| text.parse().ok());
        Duration::from_millis(given.unwrap_or(300_000))
    }

    /// The client's configuration for the producer that `cx` opens.
    pub(crate) fn client_config(&self, cx: &OpenContext) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Defaults first, so that `set` overrides them. A full prefetch queue must be looked at again soon (librdkafka's default is 1 s,
        // in which a fast pipeline starves), and a fetch that waits for idle partitions must not delay busy ones for long.
        config.set(
            "client.id",
            format!("broadway-{}-{}", cx.pipeline(), cx.producer()),
        );
        config.set("fetch.queue.backoff.ms", "10");
        config.set("fetch.wait.max.ms", "100");
        for (name, value) in self.settings.iter() {
            config.set(name, value);
        }
        config.set_log_level(self.settings.log_level());
        config.set("bootstrap.servers", &self.brokers);
        config.set("group.id", &self.group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // Each assignment gets explicit offsets, so a reset means that an offset no longer exists: retention deleted it, or the topic was
        // recreated. The client must report that as an error instead of continuing elsewhere.
        config.set("auto.offset.reset", "error");
        match self.protocol {
            GroupProtocol::CooperativeSticky => {
                config.set("partition.assignment.strategy", "cooperative-sticky")
            }
            GroupProtocol::Range => config.set("partition.assignment.strategy", "range"),
            GroupProtocol::RoundRobin => config.set("partition.assignment.strategy", "roundrobin"),
            GroupProtocol::Consumer => config.set("group.protocol", "consumer"),
        };
        if let Some(id) = &self.instance_id {
            let id = if cx.producers() > 1 {
                format!("{id}-{}", cx.producer())
            } else {
                id.clone()
            };
            config.set("group.instance.id", id);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once() {
        let source = Kafka::topics([""; 0])
            .revoke_timeout(Duration::from_secs(600))
            .set("enable.auto.commit", "true");
        let options: Vec<_> = source
            .problems()
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect();
        assert_eq!(
            options,
            [
                "enable.auto.commit",
                "topics",
                "brokers",
                "group",
                "revoke_timeout"
            ]
        );
    }

    #[test]
    fn the_producers_of_a_pipeline_have_different_instance_ids() {
        let source = Kafka::topics(["t"])
            .brokers("b:1")
            .group("g")
            .instance_id("billing");
        let config = source.client_config(&OpenContext::for_test());
        assert_eq!(
            config.get("group.instance.id"),
            Some("billing"),
            "a single producer needs no number"
        );
    }
}
