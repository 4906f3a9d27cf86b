//! [`StageEvent`]: everything that a stage reports.
//!
//! ```text
//! Subscribed, Cancelled                          ConsumerSubscribed, ConsumerCancelled
//!       chunk ──► Handled ──► Emitted ──► Dropped, Discarded, Buffered ──► consumers
//!     message ──► Called  ──►    ▲                    Demanded ◄────────── demand
//! ```

use std::time::Duration;

use crate::{
    end::End,
    error::{Callback, Reason},
    task_id::TaskId,
};

/// An event of a [stage](crate::stage). Observers are called with the stage's name.
///
/// Reported per chunk and per demand, not per event; but once for each message that a stage
/// [receives](crate::stage::Receive). Counts are events of the stage's type unless stated otherwise. `elapsed` is the
/// wall time of a single call, including its waits; it is measured only if there is an observer. The reported counts
/// add up to the stage's [`StageStats`](crate::stage::StageStats).
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are described with their events")]
pub enum StageEvent<'a> {
    /// The stage has been initialized for the first time. `Ended` follows in any case, even if it is aborted.
    Started,
    /// The stage subscribed to the stage `producer`, and now has this many `subscriptions`. Reported again for each
    /// subscription after a restart.
    #[non_exhaustive]
    Subscribed {
        producer: &'a str,
        subscriptions: usize,
    },
    /// A subscription to the stage `producer` ended, because that stage ended with `end`, or because it was cancelled.
    /// `subscriptions` are left. Not reported for subscriptions that end with the stage itself.
    #[non_exhaustive]
    Cancelled {
        producer: &'a str,
        end: &'a End,
        subscriptions: usize,
    },
    /// A consumer subscribed to the stage.
    ConsumerSubscribed,
    /// The subscription of a consumer ended: it was cancelled, or the consumer ended with `end`. Not reported for
    /// subscriptions that end with the stage itself.
    #[non_exhaustive]
    ConsumerCancelled { end: &'a End },
    /// Consumers request `demand` events beyond those in the buffer, and `outstanding` in all. After a restart reported
    /// once more, with all outstanding events as the demand.
    #[non_exhaustive]
    Demanded { demand: usize, outstanding: usize },
    /// The stage received a chunk of `count` events and handled it in `elapsed`. It emitted `emitted` events meanwhile;
    /// an `Emitted` event follows.
    #[non_exhaustive]
    Handled {
        count: usize,
        emitted: usize,
        elapsed: Duration,
    },
    /// A callback other than `handle_events` returned or failed after `elapsed`: `handle_demand`, `handle_timer`,
    /// `receive` or one of the subscription callbacks. Also `handle_events`, if it failed. Not reported for `init`,
    /// `poll_more`, `handle_discarded` and `terminate`.
    #[non_exhaustive]
    Called {
        callback: Callback,
        elapsed: Duration,
    },
    /// The stage emitted `count` events, in any callback. Consumers still request `outstanding`.
    #[non_exhaustive]
    Emitted { count: usize, outstanding: usize },
    /// The dispatcher's function discarded `count` emitted events.
    #[non_exhaustive]
    Dropped { count: usize },
    /// `count` events now wait in the stage's buffer without demand. Reported when the number changes.
    #[non_exhaustive]
    Buffered { count: usize },
    /// The buffer was full, and `count` emitted events were discarded.
    #[non_exhaustive]
    Discarded { count: usize },
    /// A callback failed. The stage is restarted after `restart_after`, or ends if that is `None`. The current chunk,
    /// of `lost` received events, is gone, and so are the events that the callback emitted.
    #[non_exhaustive]
    Failed {
        reason: &'a Reason,
        lost: usize,
        restart_after: Option<Duration>,
    },
    /// A failed stage was created and initialized again, and runs. It was attempt `restarts` since the stage started.
    #[non_exhaustive]
    Restarted { restarts: u64 },
    /// A [pool](crate::stage::pool) changes size from `before` to `members`. The name is the pool's.
    #[non_exhaustive]
    Resized { before: usize, members: usize },
    /// A [task](crate::stage::task_per_event()) of the stage failed. It runs again with the same event if `restarts`;
    /// otherwise it is gone.
    #[non_exhaustive]
    TaskFailed {
        task: TaskId,
        reason: &'a Reason,
        restarts: bool,
    },
    /// The stage has ended. This is its last event.
    #[non_exhaustive]
    Ended { end: &'a End },
}

impl StageEvent<'_> {
    /// As [`Event::is_routine`](super::Event::is_routine). Failures, restarts and discarded events are not routine.
    #[must_use]
    #[inline]
    pub const fn is_routine(&self) -> bool {
        !matches!(
            self,
            Self::Discarded { .. }
                | Self::Failed { .. }
                | Self::Restarted { .. }
                | Self::TaskFailed { .. }
                | Self::Ended {
                    end: End::Failed(_)
                }
        )
    }

    /// Returns the event's name in logs and tests, in snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started => "stage_started",
            Self::Subscribed { .. } => "stage_subscribed",
            Self::Cancelled { .. } => "stage_cancelled",
            Self::ConsumerSubscribed => "stage_consumer_subscribed",
            Self::ConsumerCancelled { .. } => "stage_consumer_cancelled",
            Self::Demanded { .. } => "stage_demanded",
            Self::Handled { .. } => "stage_handled",
            Self::Called { .. } => "stage_called",
            Self::Emitted { .. } => "stage_emitted",
            Self::Dropped { .. } => "stage_dropped",
            Self::Buffered { .. } => "stage_buffered",
            Self::Discarded { .. } => "stage_discarded",
            Self::Failed { .. } => "stage_failed",
            Self::Restarted { .. } => "stage_restarted",
            Self::Resized { .. } => "stage_resized",
            Self::TaskFailed { .. } => "stage_task_failed",
            Self::Ended { .. } => "stage_ended",
        }
    }
}
