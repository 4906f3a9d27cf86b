//! [`TopicOptions`]: the partitions of a topic, and how long its records are kept.

use std::time::Duration;

use broadway_core::Checks;
use serde::{Deserialize, Serialize};

/// The most partitions of a topic.
pub(crate) const PARTITIONS_MAX: u32 = 1_024;
const NAME_MAX: usize = 100;

/// A topic, as it is created when a source or publisher opens it first.
///
/// ```
/// use std::time::Duration;
/// use broadway_queue::{QueuePublisher, TopicOptions};
///
/// let topic = TopicOptions::new()
///     .partitions(8)
///     .retain_bytes(10 << 30)
///     .retain_for(Duration::from_secs(7 * 24 * 60 * 60));
/// let publisher = QueuePublisher::topic("data/queue", "orders").create_with(topic);
/// # let _ = publisher;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "options are passed to `create_with` of a source or publisher"]
#[serde(deny_unknown_fields)]
pub struct TopicOptions {
    pub(crate) partitions: u32,
    pub(crate) retain_bytes: Option<u64>,
    pub(crate) retain_for: Option<Duration>,
    pub(crate) keep_acked: bool,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl TopicOptions {
    /// The defaults: 8 partitions, whose records are kept until all groups have acknowledged them.
    pub const fn new() -> Self {
        Self {
            partitions: 8,
            retain_bytes: None,
            retain_for: None,
            keep_acked: false,
        }
    }

    /// The number of partitions: 1 to 1,024. More producers than partitions stay idle. Defaults to 8.
    ///
    /// A topic that exists gets more partitions if it has fewer, and keeps them if it has more. Keys then go to other partitions than before, so the
    /// order of a key holds from then on.
    pub const fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// The most bytes that a partition keeps. Beyond it, the oldest records are deleted, **also those that no group has read**: sources report them
    /// as [`Event::Lost`](broadway_core::telemetry::Event::Lost). At least one segment is kept. No limit by default.
    pub const fn retain_bytes(mut self, bytes: u64) -> Self {
        self.retain_bytes = Some(bytes);
        self
    }

    /// How long records are kept, from when they were appended. Older ones are deleted, **also those that no group has read**, a segment at a time.
    /// No limit by default.
    pub const fn retain_for(mut self, time: Duration) -> Self {
        self.retain_for = Some(time);
        self
    }

    /// Keeps records after all groups have acknowledged them, until [`retain_bytes`](Self::retain_bytes) or [`retain_for`](Self::retain_for) deletes
    /// them: a group that is added later reads them. By default they are deleted.
    pub const fn keep_acked(mut self) -> Self {
        self.keep_acked = true;
        self
    }

    pub(crate) fn check(&self, checks: &mut Checks) {
        let partitions = self.partitions as usize;
        checks.within("partitions", partitions, 1..=PARTITIONS_MAX as usize);
        let has_room = self.retain_bytes.is_none_or(|bytes| bytes > 0);
        checks.require(has_room, "retain_bytes", "is 0; give the bytes to keep");
        if let Some(time) = self.retain_for {
            checks.above_zero("retain_for", time);
        }
        let ends = !self.keep_acked || self.retain_bytes.is_some() || self.retain_for.is_some();
        checks.require(
            ends,
            "keep_acked",
            "keeps all records; limit them with `retain_bytes` or `retain_for`",
        );
    }
}

/// Why a name cannot be used for a topic or a group.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() {
        return Some("is empty; give a name".to_owned());
    }
    if name.len() > NAME_MAX || !name.chars().all(is_allowed) {
        return Some(format!(
            "is {name:?}; use letters, digits, `-`, `_` and `.`, {NAME_MAX} characters at most"
        ));
    }
    None
}
