//! What to read and how: [`Kafka`], the source, and the choices it offers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::{Checks, OpenContext, Problem};
use rdkafka::ClientConfig;

use crate::{
    control::KafkaControl,
    settings::{Settings, Side},
    topic::NewTopic,
};

/// Reads topics as a member of a consumer group.
///
/// Each producer of the pipeline is one member with a connection and a thread of its own, so more producers than
/// partitions are of no use; one reads millions of messages a second.
///
/// ```
/// use std::time::Duration;
/// use broadway_kafka::{Begin, Kafka};
///
/// let source = Kafka::topics(["orders", "returns"])
///     .brokers("kafka-1:9092,kafka-2:9092")
///     .group("billing")
///     .begin(Begin::Earliest)
///     .commit_interval(Duration::from_secs(1))
///     .set("security.protocol", "SASL_SSL")
///     .set("sasl.mechanism", "SCRAM-SHA-512")
///     .set("sasl.username", "billing")
///     .set("sasl.password", std::env::var("KAFKA_PASSWORD").unwrap_or_default());
/// # let _ = source;
/// ```
#[derive(Debug, Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct Kafka {
    pub(crate) topics: Vec<String>,
    pub(crate) brokers: String,
    pub(crate) group: String,
    pub(crate) begin: Begin,
    pub(crate) ignore_commits: bool,
    pub(crate) protocol: GroupProtocol,
    pub(crate) instance_id: Option<String>,
    pub(crate) reclaim_instance_id: bool,
    pub(crate) on_failure: OnFailure,
    pub(crate) on_lost: OnLost,
    pub(crate) uncommitted_max: usize,
    pub(crate) prefetch_bytes_max: usize,
    pub(crate) commit_interval: Duration,
    pub(crate) revoke_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) join_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) lag_interval: Duration,
    pub(crate) create_if_missing: Option<NewTopic>,
    pub(crate) settings: Settings,
    pub(crate) control: KafkaControl,
}

/// Where reading begins in a partition for which the group has committed nothing yet.
///
/// This is for what exists when the group first joins. What appears later begins at its oldest message, so that nothing is
/// skipped: a partition that is added, a topic that a pattern comes to match, a topic that is made anew. The event
/// [`Repositioned`](broadway_core::telemetry::Event::Repositioned) tells it. To know such a partition, commits carry a
/// short text in their metadata, such as `broadway partitions=8 joined=1764438000000`.
///
/// A position found by `Latest` or `Timestamp` is committed before the first message is handled. Without that, a crash or
/// a rebalance would look for the position again, later, and skip what came in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Begin {
    /// At the end: what is published after [`open`](broadway_core::Source::open) returned is read.
    #[default]
    Latest,
    /// At the oldest message there is.
    Earliest,
    /// At the first message that is not older; at the end if there is none.
    Timestamp(SystemTime),
    /// Fails to open if the group has no committed offset for a topic.
    Committed,
}

/// How the group shares out partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// The classic protocol, moving only the partitions that have to move. All members of a group must agree.
    #[default]
    CooperativeSticky,
    /// The classic protocol, taking all partitions from everybody at each change: contiguous ranges of each topic.
    Range,
    /// As `Range`, but in turn.
    RoundRobin,
    /// The protocol of KIP-848, where the broker decides. Kafka 4.0 and later. Its time-outs are set at the broker.
    Consumer,
}

/// What happens to a partition when a message of it failed.
///
/// The option of the source holds for all messages; for one message,
/// [`Message::configure_ack`](broadway_core::Message::configure_ack) takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// Nothing after it is committed and no more is read from its partition until it is
    /// [resumed](crate::KafkaControl) or assigned anew: the message is not lost. [`Event::Halted`](broadway_core::telemetry::Event::Halted)
    /// and an error in the log tell it, with what can be done.
    ///
    /// With [`DeadLetters`](broadway_core::DeadLetters) a message whose dead letter is confirmed counts as done and halts nothing.
    /// What the client has prefetched of it, at most its share of [`prefetch_bytes_max`](Kafka::prefetch_bytes_max), stays in
    /// memory.
    #[default]
    Halt,
    /// It counts as done, and the next ones are committed over it: the message is lost to the group.
    Skip,
}

/// What happens when messages were deleted before the group has read them: retention ran past it.
///
/// Either way it is told: [`Event::Lost`](broadway_core::telemetry::Event::Lost) with the range, an error in the log, and the
/// metric `broadway_source_lost_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnLost {
    /// Reading goes on at the oldest message that is left.
    #[default]
    Continue,
    /// The partition halts, as after a failed message. [`KafkaControl::resume`](crate::KafkaControl::resume) lets it go on at
    /// the oldest message that is left.
    Halt,
}

impl Kafka {
    /// Topics by name; a name that begins with `^` is a regular expression over topic names.
    pub fn topics<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            topics: topics.into_iter().map(Into::into).collect(),
            brokers: String::new(),
            group: String::new(),
            begin: Begin::default(),
            ignore_commits: false,
            protocol: GroupProtocol::default(),
            instance_id: None,
            reclaim_instance_id: false,
            on_failure: OnFailure::default(),
            on_lost: OnLost::default(),
            uncommitted_max: 100_000,
            prefetch_bytes_max: 128 << 20,
            commit_interval: Duration::from_secs(1),
            revoke_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            join_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(10),
            lag_interval: Duration::from_secs(5),
            create_if_missing: None,
            settings: Settings::default(),
            control: KafkaControl::default(),
        }
    }

    /// Where to connect first: `host:port`, several with commas between. Required.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.brokers = brokers.into();
        self
    }

    /// The consumer group to join. Required.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Where a partition begins that has no commit yet. Default: [`Begin::Latest`].
    pub fn begin(mut self, begin: Begin) -> Self {
        self.begin = begin;
        self
    }

    /// Begins at [`begin`](Self::begin) at every assignment, whatever is committed. With more than one member, or
    /// with `Latest`, a rebalance then repeats or skips messages: for tools, not for work.
    pub fn ignore_commits(mut self) -> Self {
        self.ignore_commits = true;
        self
    }

    /// How partitions are shared out. Default: [`GroupProtocol::CooperativeSticky`].
    pub fn protocol(mut self, protocol: GroupProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Makes members static: one that comes back within the session time-out gets its partitions back without a
    /// rebalance. With several producers each gets `-0`, `-1`, … appended. None by default.
    ///
    /// Each process needs a name of its own. In the classic protocols a member that joins with a name in use takes it over: the
    /// older member is out of the group, and its pipeline ends with an error that names this option, rather than take the
    /// name back. With [`GroupProtocol::Consumer`] the newer member is refused while the older one lives.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// A member whose [`instance_id`](Self::instance_id) was taken over claims it again, after the pause of the pipeline's restart
    /// policy. Two live members with one name then take turns, and repeat each other's work: only for where the other one is known
    /// to end, such as the old process of a rolling update that starts the new one first.
    pub fn reclaim_instance_id(mut self) -> Self {
        self.reclaim_instance_id = true;
        self
    }

    /// What a failed message does to its partition. Default: [`OnFailure::Halt`].
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// What happens when messages were deleted before they were read. Defaults to [`OnLost::Continue`].
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.on_lost = on_lost;
        self
    }

    /// How far reading may run ahead of the commit in one partition, while one slow message holds the commit back: the
    /// most messages of it that a crash repeats. Default: 100,000.
    pub fn uncommitted_max(mut self, messages: usize) -> Self {
        self.uncommitted_max = messages;
        self
    }

    /// How many bytes of messages the client may hold that the pipeline has not asked for yet, of all partitions together, and of
    /// all producers of the pipeline. Defaults to 128 MiB.
    ///
    /// The client knows limits for single partitions only, so each gets an equal share when the source is opened:
    /// `queued.max.messages.kbytes` and `fetch.message.max.bytes` share it between them, and `queued.min.messages` is at most one
    /// message for 512 bytes of it, for what the client needs besides. Values given with [`set`](Self::set) are lowered where they
    /// are above that. The broker sends batches whole, so a partition may hold a batch or two (each up to the topic's `max.message.bytes`)
    /// although its share is smaller, as with very many partitions. Compressed batches count as they come while they are
    /// fetched, and unpacked once they are there. Partitions that are added later come on top until the source is opened again; a
    /// warning tells it.
    pub fn prefetch_bytes_max(mut self, bytes: usize) -> Self {
        self.prefetch_bytes_max = bytes;
        self
    }

    /// How often what is settled is committed. At revocation and at the end it is committed besides. Default: 1 s.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// How long a partition that is taken away waits for its messages in flight. After that they are left to the next
    /// owner, who repeats them. Must be below `max.poll.interval.ms`. Default: 5 s.
    pub fn revoke_timeout(mut self, timeout: Duration) -> Self {
        self.revoke_timeout = timeout;
        self
    }

    /// How long opening waits for a broker that answers and knows the topics. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long opening waits, after that, for the group to let this member in. Others may have to finish work
    /// first. Default: 60 s.
    pub fn join_timeout(mut self, timeout: Duration) -> Self {
        self.join_timeout = timeout;
        self
    }

    /// How long closing waits for the last commit and for the group to let go. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) tells how far each partition is behind. The broker is asked
    /// each time, in two small requests to each broker, so the figure is right for partitions that are halted, paused or slow, too.
    /// Without an answer within this interval (at least 1 s, at most 10 s) the lag is unknown. `Duration::MAX` turns it off.
    /// Defaults to 5 s.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// Creates the topics given by name when the source opens, those that are not there; a topic that exists is left as it is.
    /// Several sources and publishers that create one at once get one topic, as the first of them wants it. This client's principal
    /// needs CREATE on the topics or on the cluster. By default a missing topic is an error.
    ///
    /// A regular expression names no topic to create: the option needs at least one topic by name.
    pub fn create_if_missing(mut self, topic: NewTopic) -> Self {
        self.create_if_missing = Some(topic);
        self
    }

    /// Any other setting, in the words of librdkafka: TLS, SASL, fetch sizes, time-outs. What would break a promise, or
    /// has a method here, is refused when the source is opened. Values of secrets are never shown.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// A handle that lists halted partitions and resumes them while the pipeline runs.
    #[must_use]
    pub fn control(&self) -> KafkaControl {
        self.control.clone()
    }

    /// All that cannot work.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.settings.problems(Side::Source));
        checks.require(
            !self.topics.is_empty(),
            "topics",
            "is empty; name at least one topic",
        );
        checks.require(
            !self.topics.iter().any(String::is_empty),
            "topics",
            "holds an empty name",
        );
        checks.require(
            !self.topics.iter().any(|topic| topic.contains('\0')),
            "topics",
            "holds a name with a NUL in it",
        );
        checks.require(
            !self.brokers.trim().is_empty(),
            "brokers",
            "is empty; give host:port, several with commas between",
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
                "has no topic to create, as all of `topics` are regular expressions; name one",
            );
        }
        checks.within("uncommitted_max", self.uncommitted_max, 1..=usize::MAX);
        checks.within(
            "prefetch_bytes_max",
            self.prefetch_bytes_max,
            1..=usize::MAX,
        );
        let intervals = [
            ("commit_interval", self.commit_interval),
            ("connect_timeout", self.connect_timeout),
            ("join_timeout", self.join_timeout),
            ("close_timeout", self.close_timeout),
            ("lag_interval", self.lag_interval),
        ];
        for (option, interval) in intervals {
            checks.above_zero(option, interval);
        }
        checks.require(
            self.revoke_timeout < self.poll_interval_max(),
            "revoke_timeout",
            format_args!(
                "is {:?}; give less than max.poll.interval.ms ({:?}), or the group throws this member out while it waits",
                self.revoke_timeout,
                self.poll_interval_max()
            ),
        );
        checks.into_problems()
    }

    /// Whether a topic is chosen by a regular expression.
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

    /// The client's configuration for one producer.
    pub(crate) fn client_config(&self, cx: &OpenContext) -> ClientConfig {
        let mut config = ClientConfig::new();
        // First what may be overridden. A full prefetch queue must be looked at again soon (the client's own default is a
        // second, in which a fast pipeline starves), and a fetch that waits for idle partitions must not
        // hold up a busy one for long.
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
        // Positions are always given at assignment, so this speaks only of one that is gone, by retention or with its topic. That
        // is told, and not passed over.
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

impl Begin {
    /// As the number that the broker's list of offsets is asked with.
    pub(crate) fn timestamp_ms(self) -> Option<i64> {
        let Self::Timestamp(time) = self else {
            return None;
        };
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
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
    fn static_members_of_one_pipeline_have_different_names() {
        let source = Kafka::topics(["t"])
            .brokers("b:1")
            .group("g")
            .instance_id("billing");
        let config = source.client_config(&OpenContext::for_test());
        assert_eq!(
            config.get("group.instance.id"),
            Some("billing"),
            "a single one needs no number"
        );
    }
}
