//! What stages tell, beside pipelines: each of their boundaries.
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

/// Something that happened to a [stage](crate::stage); the name that observers are given is the stage's.
///
/// Told per chunk and per demand, never per event; but per message that a stage [receives](crate::stage::Receive). Counts
/// are events of the stage's type unless they say otherwise. `elapsed` is wall time, of a single call, what it waited for
/// included; it is measured only if somebody hears. What a stage told adds up to its
/// [`StageStats`](crate::stage::StageStats).
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are described with their events")]
pub enum StageEvent<'a> {
    /// It has been initialised, for the first time. `Ended` will follow in any case, if only when it is aborted.
    Started,
    /// It is subscribed to the stage `producer`, one of now `subscriptions`. After a restart told again for each.
    Subscribed {
        producer: &'a str,
        subscriptions: usize,
    },
    /// A subscription to the stage `producer` has ended, because that has, as `end` says, or because it was cancelled.
    /// `subscriptions` are left. Not told of those that go when the stage itself ends.
    Cancelled {
        producer: &'a str,
        end: &'a End,
        subscriptions: usize,
    },
    /// A consumer has subscribed to it.
    ConsumerSubscribed,
    /// The subscription of a consumer has ended: cancelled, or the consumer ended as `end` says. Not told of those that are
    /// left when the stage itself ends.
    ConsumerCancelled { end: &'a End },
    /// Consumers ask for `demand` more events than wait in its buffer, and with them for `outstanding` in all. After a restart
    /// told once more, with all that is outstanding as its demand.
    Demanded { demand: usize, outstanding: usize },
    /// It received a chunk of `count` events, and handled it in `elapsed`. `emitted` are those that it emitted meanwhile; an
    /// `Emitted` follows.
    Handled {
        count: usize,
        emitted: usize,
        elapsed: Duration,
    },
    /// Another callback than `handle_events` returned or failed after `elapsed`: `handle_demand`, `handle_timer`, `receive` or
    /// one of those about subscriptions. Also `handle_events`, if it failed. Not told of `init`, `poll_more`,
    /// `handle_discarded` and `terminate`.
    Called {
        callback: Callback,
        elapsed: Duration,
    },
    /// It emitted `count` events, in whatever callback. Consumers ask for `outstanding` more.
    Emitted { count: usize, outstanding: usize },
    /// `count` emitted events are for nobody: the function of its dispatcher says so.
    Dropped { count: usize },
    /// Now `count` events wait in its buffer, since nobody has asked for them. Told when that changed.
    Buffered { count: usize },
    /// Its buffer was full, and `count` emitted events were discarded.
    Discarded { count: usize },
    /// A callback failed. The stage is restarted after `restart_after`, or, with `None`, ends. The chunk in hand, of `lost` events
    /// that were received, is gone, and so is what the callback emitted.
    Failed {
        reason: &'a Reason,
        lost: usize,
        restart_after: Option<Duration>,
    },
    /// It has failed, was made and initialised anew, and runs again. It was the `restarts`th attempt since the stage started.
    Restarted { restarts: u64 },
    /// A [pool](crate::stage::pool) had so many members before, and is to have so many now. The name is the pool's.
    Resized { before: usize, members: usize },
    /// One of its [tasks](crate::stage::task_per_event()) failed; it is run again, with the same event, or it is gone.
    TaskFailed {
        task: TaskId,
        reason: &'a Reason,
        restarts: bool,
    },
    /// It has ended, for good: the last event of a stage.
    Ended { end: &'a End },
}

impl StageEvent<'_> {
    /// As [`Event::is_routine`](super::Event::is_routine). Failures, restarts and what is discarded are not routine.
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

    /// The event's name in logs and tests, in snake case.
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
