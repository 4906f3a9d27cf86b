//! The source and its options: [`Queue`].

use std::time::Duration;

use broadway_core::{Checks, Problem};

use crate::{
    folder::QueueFolder,
    group::GroupSettings,
    options::{OnCorrupt, OnFailure, OnSuccess, Order, QueueAckPolicy, StartOffset},
    topic::{TopicOptions, name_problem},
};

/// Reads topics of an embedded queue as a member of a consumer group.
///
/// Each producer of the pipeline is a member, and so are the producers of other pipelines of this process with the same group: they share
/// the partitions of a topic. Groups read independently of each other.
///
/// ```
/// use std::time::Duration;
/// use broadway_queue::{OnFailure, Order, Queue};
///
/// let source = Queue::topic("data/queue", "orders")
///     .group("billing")
///     .order(Order::Keys)
///     .on_failure(OnFailure::RedeliverAfter(Duration::from_secs(5)))
///     .deliveries_max(10)
///     .dead_letter_topic("orders.dead");
/// # let _ = source;
/// ```
#[derive(Debug, Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct Queue {
    pub(crate) folder: QueueFolder,
    /// In the order of their priority.
    pub(crate) topics: Vec<String>,
    pub(crate) group: String,
    pub(crate) create_with: Option<TopicOptions>,
    pub(crate) order: Order,
    pub(crate) start_offset: StartOffset,
    pub(crate) policy: QueueAckPolicy,
    pub(crate) on_corrupt: OnCorrupt,
    pub(crate) deliveries_max: Option<u32>,
    pub(crate) dead_letter_topic: Option<String>,
    pub(crate) unsettled_max: usize,
    pub(crate) waiting_max: usize,
    pub(crate) prefetch_bytes_max: usize,
    pub(crate) lease_max: Duration,
    pub(crate) revoke_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) lag_interval: Duration,
}

impl Queue {
    /// A source that reads this topic of the queue in `folder`: a path, or a [`QueueFolder`] with options. Both are created if they are missing.
    pub fn topic(folder: impl Into<QueueFolder>, topic: impl Into<String>) -> Self {
        Self::topics(folder, [topic])
    }

    /// The same for several topics, the most urgent first: messages of a later topic are delivered only when none of an earlier one was read ahead, so
    /// a topic that never runs empty holds up those after it.
    pub fn topics<T: Into<String>>(
        folder: impl Into<QueueFolder>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            folder: folder.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            group: "default".to_owned(),
            create_with: None,
            order: Order::default(),
            start_offset: StartOffset::default(),
            policy: QueueAckPolicy {
                on_success: OnSuccess::default(),
                on_failure: OnFailure::default(),
            },
            on_corrupt: OnCorrupt::default(),
            deliveries_max: None,
            dead_letter_topic: None,
            unsettled_max: 1_000_000,
            waiting_max: 100_000,
            prefetch_bytes_max: 1 << 20,
            lease_max: Duration::from_secs(12 * 60 * 60),
            revoke_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            lag_interval: Duration::from_secs(5),
        }
    }

    /// The consumer group. Defaults to `default`.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// The options of topics that are missing. Topics that exist take them over. Defaults to [`TopicOptions::new`] for missing topics, and to no change
    /// for others.
    pub fn create_with(mut self, topic: TopicOptions) -> Self {
        self.create_with = Some(topic);
        self
    }

    /// The order of records after a failure. Defaults to [`Order::Keys`].
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Where a new group begins to read. Partitions that are added to a topic later are read from their beginning. Defaults to
    /// [`StartOffset::Earliest`].
    pub fn start_offset(mut self, start_offset: StartOffset) -> Self {
        self.start_offset = start_offset;
        self
    }

    /// What happens to a message that succeeded. Defaults to [`OnSuccess::Ack`].
    pub fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.policy.on_success = on_success;
        self
    }

    /// What happens to a message that failed. Defaults to [`OnFailure::RedeliverAfter`] one second.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// What happens at a record that is corrupt on disk. Defaults to [`OnCorrupt::Halt`].
    pub fn on_corrupt(mut self, on_corrupt: OnCorrupt) -> Self {
        self.on_corrupt = on_corrupt;
        self
    }

    /// How often a message is delivered at most: at least 1. When the last delivery fails, or ends with the process, the message is moved to the
    /// [`dead_letter_topic`](Self::dead_letter_topic), which must be set. No limit by default.
    pub fn deliveries_max(mut self, deliveries: u32) -> Self {
        self.deliveries_max = Some(deliveries);
        self
    }

    /// The topic of the same folder to which messages go that were delivered [`deliveries_max`](Self::deliveries_max) times, with the
    /// [headers of a dead letter](broadway_core::dead_letter::headers). A crash while one is moved may repeat it. None by default.
    pub fn dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.dead_letter_topic = Some(topic.into());
        self
    }

    /// Maximum number of messages of a partition from its first unsettled one on, settled ones included: 1,000 to 100,000,000. At the limit the
    /// partition waits for that message. They take a bit of memory each, and 8 bytes more with [`Order::Keys`]. Defaults to 1,000,000.
    pub fn unsettled_max(mut self, messages: usize) -> Self {
        self.unsettled_max = messages;
        self
    }

    /// Maximum number of messages of a partition that wait for another delivery: 1 to 10,000,000. At the limit the partition delivers no new ones. They
    /// take about 100 bytes each; their payloads stay on disk. Defaults to 100,000.
    pub fn waiting_max(mut self, messages: usize) -> Self {
        self.waiting_max = messages;
        self
    }

    /// How much is read ahead for each partition, in bytes: 4 KiB to 1 GiB, exceeded by up to 768 KiB or one message. Defaults to 1 MiB.
    pub fn prefetch_bytes_max(mut self, bytes: usize) -> Self {
        self.prefetch_bytes_max = bytes;
        self
    }

    /// How long a message stays with the producer that received it: 1 s to 30 days. After that it is delivered again, which counts as a delivery, no
    /// handler starts on it here, and a late result is ignored. Checked every second. Defaults to 12 hours.
    pub fn lease_max(mut self, time: Duration) -> Self {
        self.lease_max = time;
        self
    }

    /// How long a producer may go on with the messages of a partition that it has to give up, when another one joins. Then they are delivered to that
    /// one, and late results are ignored. `Duration::MAX` means no limit. Defaults to 30 s.
    pub fn revoke_timeout(mut self, timeout: Duration) -> Self {
        self.revoke_timeout = timeout;
        self
    }

    /// Limit on closing, which waits until the last acknowledgements are on the device. `Duration::MAX` means no limit. Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) reports, for each partition, how many messages are not settled. [`Duration::MAX`] turns it off. Defaults to 5 s.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// Checks the options without opening the folder.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        self.folder.check(&mut checks);
        checks.require(
            !self.topics.is_empty(),
            "topics",
            "is empty; name at least one topic",
        );
        let dead = self.dead_letter_topic.iter();
        let names = self.topics.iter().map(|topic| ("topics", topic));
        let names = names.chain(dead.map(|topic| ("dead_letter_topic", topic)));
        for (option, name) in names.chain([("group", &self.group)]) {
            if let Some(problem) = name_problem(name) {
                checks.add(option, problem);
            }
        }
        for (index, topic) in self.topics.iter().enumerate() {
            let is_first = !self.topics[..index].contains(topic);
            checks.require(
                is_first,
                "topics",
                format_args!("has {topic:?} twice; name each topic once"),
            );
        }
        if let Some(topic) = &self.create_with {
            topic.check(&mut checks);
        }
        let has_both = self.deliveries_max.is_some() == self.dead_letter_topic.is_some();
        checks.require(
            has_both,
            "deliveries_max",
            "works together with `dead_letter_topic`; set both, or none",
        );
        checks.require(
            self.deliveries_max != Some(0),
            "deliveries_max",
            "is 0; give at least 1",
        );
        let is_own = self
            .dead_letter_topic
            .as_ref()
            .is_some_and(|topic| self.topics.contains(topic));
        checks.require(
            !is_own,
            "dead_letter_topic",
            "is one of `topics`; give another one",
        );
        checks.within("unsettled_max", self.unsettled_max, 1_000..=100_000_000);
        checks.within("waiting_max", self.waiting_max, 1..=10_000_000);
        checks.within(
            "prefetch_bytes_max",
            self.prefetch_bytes_max,
            4 << 10..=1 << 30,
        );
        let lease_range = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 60 * 60);
        checks.duration_within("lease_max", self.lease_max, lease_range);
        checks.timeout("close_timeout", self.close_timeout);
        checks.above_zero("lag_interval", self.lag_interval);
        checks.into_problems()
    }

    /// The settings of the group, for a reader that holds messages or not.
    pub(crate) fn group_settings(&self, holds_messages: bool) -> GroupSettings {
        GroupSettings {
            // Such a reader takes the records of a key in the order of the log. It would wait for those that wait for it.
            is_ordered: self.order == Order::Keys && !holds_messages,
            span_max: self.unsettled_max as u64,
            waiting_max: self.waiting_max,
            lease_max: self.lease_max,
            deliveries_max: self.deliveries_max,
            dead_letter_topic: self.dead_letter_topic.clone(),
            prefetch_bytes: self.prefetch_bytes_max,
            revoke_timeout: self.revoke_timeout,
            on_corrupt: self.on_corrupt,
        }
    }
}
