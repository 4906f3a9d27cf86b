//! [`TracingObserver`]: every event of a topology or a stage as a line of the log.
//!
//! Each [`Event`] becomes one `tracing` event with target `broadway`, the field `event` (its name, from
//! [`Event::name`]), the field `pipeline`, or `stage` for events of stages, and its own fields. Numbers stay numbers;
//! durations are in milliseconds.
//!
//! | level | what |
//! | --- | --- |
//! | error | a panic, a failed batch, a failed acknowledgement, a producer or stage that failed for good, a halted part |
//! | warn  | a failed message, a failure that is retried, messages that will be delivered again, events that a full buffer discards |
//! | info  | the start and end of the topology, its producers and its parts; the restart of a stage |
//! | debug | batches, rate limits, lag; the start and end of a stage, its subscriptions |
//! | trace | chunks, deliveries, settlements, commits; demand, callbacks and buffers of stages |
//!
//! A line about a failed message identifies it: `producer`, `id` (its coordinates at the source), `attempt`, and
//! `key_hash` or, with [`keys`](TracingObserver::keys), `key`. A line about several messages has the `ids` of the first
//! [`IDS_MAX`]. Neither payloads nor batch keys are logged. The *text* of an error is logged: a handler that puts a
//! payload into its errors puts it into the log.
//!
//! Many failures at once do not flood the log. A pipeline or stage logs at most
//! [`FAILURES_PER_SECOND`](TracingObserver::FAILURES_PER_SECOND) lines per second of each kind of repeating failure
//! (messages, batches, `handle_failed`, acknowledgements, the source, a stage, events that its buffer discards), and of
//! parts that come and go. Suppressed lines are counted, and the count is logged in a line of its own with the field
//! `suppressed`, at the first event after that second. The messages of lines that are suppressed, or whose level is
//! off, are not formatted.

mod dead_letters;
mod failed;
mod milliseconds;
mod pipeline;
mod stage;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use ::tracing::level_filters::LevelFilter;

use super::{
    Event, Observer, StageEvent,
    named_values::NamedValues,
    throttle::{Throttle, ThrottleDecision},
};
use crate::deadline;

/// The target of every event.
const TARGET: &str = "broadway";

/// How many messages a line about several messages identifies.
const IDS_MAX: usize = 3;

/// Returns whether any subscriber in this process logs below the level `info`.
#[inline]
pub(super) fn takes_routine() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// Writes the events of topologies and stages to the log, through `tracing`.
///
/// Every pipeline and every stage has an observer with these defaults.
/// [`Pipeline::log_with`](crate::Pipeline::log_with) replaces it.
///
/// ```
/// use broadway_core::telemetry::TracingObserver;
///
/// let observer = TracingObserver::new().failures_per_second(100).keys(true);
/// # let _ = observer;
/// ```
#[derive(Debug)]
pub struct TracingObserver {
    failures_per_second: u32,
    keys: bool,
    pipelines: NamedValues<str, Throttles>,
    stages: NamedValues<str, Throttles>,
    /// How many of the throttles have suppressed lines that were not reported yet.
    holding: AtomicUsize,
}

impl TracingObserver {
    /// How many failures of one kind a pipeline or stage logs per second by default.
    pub const FAILURES_PER_SECOND: u32 = 10;

    /// Creates an observer with the default limit on failures, which logs hashes of keys.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            failures_per_second: Self::FAILURES_PER_SECOND,
            keys: false,
            pipelines: NamedValues::new(),
            stages: NamedValues::new(),
            holding: AtomicUsize::new(0),
        }
    }

    /// Sets how many failures of one kind a pipeline or stage logs per second. With 0 only their number is logged.
    #[must_use]
    pub const fn failures_per_second(mut self, lines_max: u32) -> Self {
        self.failures_per_second = lines_max;
        self
    }

    /// Whether the keys of failed records are logged, as the field `key`, rather than their hashes, as `key_hash`.
    /// Defaults to `false`, because keys often identify people. A key is cut after 200 bytes; bytes that are not
    /// printable ASCII are escaped.
    #[must_use]
    pub const fn keys(mut self, keys: bool) -> Self {
        self.keys = keys;
        self
    }

    /// Returns whether there is something to do about `event`: its level may be enabled, or a count of suppressed lines
    /// may be due.
    #[inline(always)]
    pub(super) fn wants(&self, event: &Event<'_>) -> bool {
        if event.is_routine() {
            takes_routine() || self.holding.load(Ordering::Relaxed) > 0
        } else {
            LevelFilter::current() != LevelFilter::OFF
        }
    }

    fn observe(&self, name: &str, event: &Event<'_>, now: Instant) {
        let known = match event {
            Event::Stage(_) => &self.stages,
            _ => &self.pipelines,
        };
        let throttles = known.get(name, || Throttles::new(self.failures_per_second));
        match FailureKind::of(event) {
            Some(kind) => match throttles.admit(kind, now, &self.holding) {
                ThrottleDecision::Suppress => return,
                ThrottleDecision::Write {
                    suppressed_before: 0,
                } => {}
                ThrottleDecision::Write { suppressed_before } => {
                    kind.log_suppressed(name, suppressed_before)
                }
            },
            None => throttles.log_overdue(name, event, now, &self.holding),
        }
        pipeline::write(name, event, self.keys);
    }
}

impl Default for TracingObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for TracingObserver {
    fn on_event(&self, name: &str, event: &Event<'_>) {
        if self.wants(event) {
            self.observe(name, event, deadline::now());
        }
    }

    fn writes_log(&self) -> bool {
        true
    }
}

/// The kinds of events that may come in large numbers, nearly all of them failures. Each is limited separately, so that
/// one does not hide another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Message,
    Batch,
    Retry,
    FailedHandler,
    Ack,
    Source,
    Part,
    DeadLetter,
    Publisher,
    Stage,
    Discarded,
    Task,
}

impl FailureKind {
    const ALL: [Self; 12] = [
        Self::Message,
        Self::Batch,
        Self::Retry,
        Self::FailedHandler,
        Self::Ack,
        Self::Source,
        Self::Part,
        Self::DeadLetter,
        Self::Publisher,
        Self::Stage,
        Self::Discarded,
        Self::Task,
    ];

    fn of(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::MessageFailed { .. } | Event::FailedInBatch { .. } => Some(Self::Message),
            Event::BatchFailed { .. } => Some(Self::Batch),
            Event::RetryScheduled { .. } => Some(Self::Retry),
            Event::FailedHandled { panic: Some(_), .. } | Event::HandleDonePanicked { .. } => {
                Some(Self::FailedHandler)
            }
            Event::AckFailed { .. } => Some(Self::Ack),
            Event::CommitFailed { .. } | Event::SourceError { .. } | Event::LateResults { .. } => {
                Some(Self::Source)
            }
            Event::Assigned { .. } | Event::Revoked { settled: true, .. } => Some(Self::Part),
            Event::DeadLettersHeld { .. } | Event::DeadLetterRefused { .. } => {
                Some(Self::DeadLetter)
            }
            Event::Published { error: Some(_), .. } => Some(Self::Publisher),
            Event::Stage(StageEvent::Failed { .. }) => Some(Self::Stage),
            Event::Stage(StageEvent::Discarded { .. }) => Some(Self::Discarded),
            Event::Stage(StageEvent::TaskFailed { .. }) => Some(Self::Task),
            _ => None,
        }
    }

    /// Logs that lines were suppressed.
    fn log_suppressed(self, name: &str, suppressed: u64) {
        match self {
            Self::Stage | Self::Discarded | Self::Task => {
                stage::suppressed(name, self.event(), suppressed)
            }
            _ => pipeline::suppressed(name, self.event(), suppressed),
        }
    }

    /// Returns which events were suppressed, for the log.
    const fn event(self) -> &'static str {
        match self {
            Self::Message => "message_failed",
            Self::Batch => "batch_failed",
            Self::Retry => "retry_scheduled",
            Self::FailedHandler => "failed_handled, handle_done_panicked",
            Self::Ack => "ack_failed",
            Self::Source => "commit_failed, source_error, late_results",
            Self::Part => "assigned, revoked",
            Self::DeadLetter => "dead_letters_held, dead_letter_refused",
            Self::Publisher => "published",
            Self::Stage => "stage_failed",
            Self::Discarded => "stage_discarded",
            Self::Task => "stage_task_failed",
        }
    }
}

/// The throttles of one pipeline or stage.
#[derive(Debug)]
struct Throttles {
    by_kind: Mutex<[Throttle; FailureKind::ALL.len()]>,
    /// Whether a throttle may have a count to report, so that quiet pipelines need not lock. Written under the lock.
    holding: AtomicBool,
}

impl Throttles {
    fn new(lines_max: u32) -> Self {
        let by_kind = Mutex::new(FailureKind::ALL.map(|_| Throttle::new(lines_max)));
        Self {
            by_kind,
            holding: AtomicBool::new(false),
        }
    }

    /// Counts in `all`, for the observer, how many pipelines and stages have counts to report. Called under the lock,
    /// so that each change is counted once.
    fn set_holding(&self, holding: bool, all: &AtomicUsize) {
        if self.holding.swap(holding, Ordering::Relaxed) == holding {
            return;
        }
        if holding {
            all.fetch_add(1, Ordering::Relaxed);
        } else {
            all.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn admit(&self, kind: FailureKind, now: Instant, all: &AtomicUsize) -> ThrottleDecision {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = by_kind[kind as usize].admit(now);
        // Still under the lock: `take_overdue` clears the flag under the same lock, so neither change is lost.
        if verdict == ThrottleDecision::Suppress {
            self.set_holding(true, all);
        }
        verdict
    }

    /// Logs the counts of windows that are over; at the end of the topology or stage, all counts.
    fn log_overdue(&self, name: &str, event: &Event<'_>, now: Instant, all: &AtomicUsize) {
        if !self.holding.load(Ordering::Relaxed) {
            return;
        }
        let ended = matches!(
            event,
            Event::Drained { .. } | Event::Stage(StageEvent::Ended { .. })
        );
        for (kind, suppressed) in self.take_overdue(ended, now, all) {
            if let Some(suppressed) = suppressed {
                kind.log_suppressed(name, suppressed);
            }
        }
    }

    /// Takes the counts under the lock. The log is written without it.
    fn take_overdue(
        &self,
        ended: bool,
        now: Instant,
        all: &AtomicUsize,
    ) -> [(FailureKind, Option<u64>); FailureKind::ALL.len()] {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = FailureKind::ALL.map(|kind| {
            let throttle = &mut by_kind[kind as usize];
            (
                kind,
                if ended {
                    throttle.flush()
                } else {
                    throttle.overdue(now)
                },
            )
        });
        let holding = by_kind.iter().any(Throttle::is_holding);
        self.set_holding(holding, all);
        counts
    }
}

#[cfg(test)]
mod tests;
