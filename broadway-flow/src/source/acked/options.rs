//! [`FlowSource`]: a connector's source with the options of its use in a flow.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{Problem, RestartPolicy, Source, source::ItemOf};

/// A connector's source with the options of its use in a flow. For [`Flow::from_source_with`](crate::Flow::from_source_with).
#[must_use]
pub struct FlowSource<S: Source> {
    pub(super) source: S,
    pub(super) unsettled_max: usize,
    pub(super) settle_every: Duration,
    pub(super) restart: RestartPolicy,
    pub(super) position: Option<PositionFn<ItemOf<S>>>,
    pub(super) is_sharded: bool,
}

/// The input of a message, and its position there.
pub(super) type PositionFn<T> = Arc<dyn Fn(&T) -> (u64, u64) + Send + Sync>;

impl<S: Source> FlowSource<S> {
    /// Uses a source with the default options.
    pub fn new(source: S) -> Self {
        Self {
            source,
            unsettled_max: 1_000_000,
            settle_every: Duration::from_millis(200),
            restart: RestartPolicy::default(),
            position: None,
            is_sharded: false,
        }
    }

    /// Sets the most messages that are delivered and not settled, 1 to 100,000,000. Defaults to 1,000,000. The source pauses there, and the
    /// flow logs the first pause as a warning, so it must be more than the messages of all open windows: with fewer, windows would wait for events, and events for windows. With
    /// [snapshots](crate::Flow::snapshots) a snapshot is taken instead, which settles them.
    pub fn unsettled_max(mut self, messages: usize) -> Self {
        self.unsettled_max = messages;
        self
    }

    /// Sets how often messages are settled, at least 1 ms. Defaults to 200 ms. After a crash, those handled since are delivered again. With
    /// [snapshots](crate::Flow::snapshots), messages are settled when a snapshot is saved.
    pub fn settle_every(mut self, interval: Duration) -> Self {
        self.settle_every = interval;
        self
    }

    /// Sets how a producer that fails is opened again. By default with pauses of 200 ms to 30 s, without limit.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Sets where a message stands: its input, such as a partition, and its position there, such as an offset. Positions of an input increase. Snapshots need
    /// them: after a restart, messages whose effect is in the restored state are not handled again.
    pub fn positions(
        mut self,
        position: impl Fn(&ItemOf<S>) -> (u64, u64) + Send + Sync + 'static,
    ) -> Self {
        self.position = Some(Arc::new(position));
        self
    }

    /// Keeps the state of each input on its own.
    pub(crate) fn sharded(mut self) -> Self {
        self.is_sharded = true;
        self
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.source.check();
        if self.unsettled_max == 0 || self.unsettled_max > 100_000_000 {
            let message = format!("is {}: give 1 to 100000000", self.unsettled_max);
            problems.push(Problem::new("unsettled_max", message));
        }
        if self.is_sharded && self.position.is_none() {
            let message = "are needed for `repartition_through`: call `positions` with the partition and the offset of a record";
            problems.push(Problem::new("positions", message));
        }
        if self.settle_every < Duration::from_millis(1) {
            problems.push(Problem::new("settle_every", "must be at least 1 ms"));
        }
        problems
    }
}

impl<S: Source> fmt::Debug for FlowSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowSource")
            .field("unsettled_max", &self.unsettled_max)
            .field("settle_every", &self.settle_every)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}
