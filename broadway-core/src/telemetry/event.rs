//! [`Event`]: everything that a topology or a stage reports, as one closed enum.

use std::{fmt, time::Duration};

use super::{AffectedMessages, StageEvent};
use crate::{
    batch::{BatchKey, Trigger},
    error::{BoxError, Callback, Reason},
    publish_error::PublishError,
};

/// Returns a trigger's name in logs, metrics and tables: the name of the option behind it.
pub(super) const fn trigger_name(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Size => "size",
        Trigger::Bytes => "bytes",
        Trigger::Timeout => "timeout",
        Trigger::Idle => "idle",
        Trigger::Flush => "flush",
        Trigger::Split => "split",
        Trigger::Limit => "limit",
        Trigger::Drain => "drain",
    }
}

/// Why a topology drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainCause {
    /// [`Topology::drain`](crate::Topology::drain) was called.
    Asked,
    /// The handle was dropped.
    Dropped,
    /// A signal was caught.
    Signal,
    /// All producers are exhausted.
    SourceEnded,
    /// A producer failed for good.
    ProducerFailed,
    /// A message failed whose policy is [`FailureAction::Halt`](crate::FailureAction::Halt).
    Halted,
}

impl fmt::Display for DrainCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked",
            Self::Dropped => "handle dropped",
            Self::Signal => "signal",
            Self::SourceEnded => "source ended",
            Self::ProducerFailed => "producer failed",
            Self::Halted => "halted",
        })
    }
}

/// How many messages of a chunk or batch were settled with each outcome, and their latencies.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Settlement<'a> {
    /// Messages that succeeded.
    pub done: usize,
    /// Messages that failed.
    pub failed: usize,
    /// Messages that failed and were then [resolved](crate::Failed::resolve): acknowledged like those that are done.
    pub resolved: usize,
    /// Messages released unhandled.
    pub released: usize,
    /// Messages that were not handled, and that their source delivers again after a time.
    pub delayed: usize,
    /// For each message, the time since its producer delivered it. Empty unless
    /// [`Observer::wants_latency`](super::Observer::wants_latency).
    pub latencies: &'a [Duration],
}

/// An event of a topology, a publisher or a stage.
///
/// `producer`, `processor` and `worker` are indices from 0; `batcher` is a batcher's name. Durations are wall time.
/// `affected` identifies the messages that the event is about, which are described when an observer asks for them.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields that recur are described above")]
pub enum Event<'a> {
    /// `start` is about to return: producers are open, and tasks run.
    #[non_exhaustive]
    TopologyStarted {
        producers: usize,
        processors: usize,
        batchers: usize,
    },
    /// The topology fetches no more messages. Messages in flight finish.
    #[non_exhaustive]
    Draining { cause: DrainCause },
    /// The topology has ended. `unsettled` is 0 unless it was aborted or the drain timed out.
    #[non_exhaustive]
    Drained { elapsed: Duration, unsettled: u64 },
    /// Producers were paused. Messages in flight continue.
    Paused,
    /// Producers run again.
    Resumed,
    /// The producers of one source were paused by [`Topology::pause_source`](crate::Topology::pause_source). Messages in flight
    /// continue.
    #[non_exhaustive]
    SourcePaused { source: &'a str },
    /// The producers of one source run again, unless all are paused.
    #[non_exhaustive]
    SourceResumed { source: &'a str },
    /// The number of processors was changed; or, with a `batcher`, the number of its batch processors. Surplus ones end after
    /// their current chunk or batch.
    #[non_exhaustive]
    Resized {
        batcher: Option<&'static str>,
        from: usize,
        to: usize,
    },
    /// A producer delivered `count` messages in response to `demand`.
    #[non_exhaustive]
    Produced {
        producer: usize,
        count: usize,
        demand: usize,
    },
    /// `count` messages were pushed by the program.
    #[non_exhaustive]
    Pushed { count: usize },
    /// A processor took a chunk of `count` messages.
    #[non_exhaustive]
    ChunkStarted { processor: usize, count: usize },
    /// The processor has handled and settled the chunk and forwarded messages to batchers. `returned` messages were
    /// given back for other processors, because a handler had to wait. `retried` messages wait for their next attempt.
    #[non_exhaustive]
    ChunkStopped {
        processor: usize,
        done: usize,
        failed: usize,
        forwarded: usize,
        returned: usize,
        retried: usize,
        elapsed: Duration,
    },
    /// A message failed in a processor, with an error or a panic.
    #[non_exhaustive]
    MessageFailed {
        processor: usize,
        reason: &'a Reason,
        affected: AffectedMessages<'a>,
    },
    /// Messages failed and will be handled again after `pause`: one in `handle_message`, or all of a batch of the batcher of this
    /// name. `attempt` is the attempt that failed, from 1. It is 0 for a message that its handler
    /// [postponed](crate::postpone), which is not a failure.
    #[non_exhaustive]
    RetryScheduled {
        batcher: Option<&'static str>,
        worker: usize,
        count: usize,
        attempt: u32,
        pause: Duration,
        reason: &'a Reason,
        affected: AffectedMessages<'a>,
    },
    /// A processor (of the batcher of this name, or of messages) has not returned from a poll for `blocked`: a handler
    /// blocks its thread. Reported by a separate thread after
    /// [`Pipeline::blocked_after`](crate::Pipeline::blocked_after), and again each time that the time has doubled.
    /// `message` is the first message of the chunk or batch being handled, if it is known.
    #[non_exhaustive]
    HandlerBlocked {
        batcher: Option<&'static str>,
        worker: usize,
        blocked: Duration,
        message: Option<&'a str>,
    },
    /// A batch is complete.
    #[non_exhaustive]
    BatchReady {
        batcher: &'static str,
        key: &'a BatchKey,
        trigger: Trigger,
        count: usize,
        bytes: usize,
    },
    /// A batch processor begins a batch.
    #[non_exhaustive]
    BatchStarted {
        batcher: &'static str,
        worker: usize,
        key: &'a BatchKey,
        trigger: Trigger,
        count: usize,
    },
    /// The batch was handled. It is settled, too, unless the batch processor goes on with other small batches that it has taken: then
    /// they are settled together. `retried` messages wait for their next attempt.
    #[non_exhaustive]
    BatchStopped {
        batcher: &'static str,
        worker: usize,
        done: usize,
        failed: usize,
        retried: usize,
        elapsed: Duration,
    },
    /// `handle_batch` failed one message of its batch.
    #[non_exhaustive]
    FailedInBatch {
        batcher: &'static str,
        worker: usize,
        reason: &'a Reason,
        affected: AffectedMessages<'a>,
    },
    /// A whole batch failed: `handle_batch` returned an error or panicked.
    #[non_exhaustive]
    BatchFailed {
        batcher: &'static str,
        worker: usize,
        count: usize,
        reason: &'a Reason,
        affected: AffectedMessages<'a>,
    },
    /// `handle_failed` was called for `count` messages. `panic` is its contained panic, if any.
    #[non_exhaustive]
    FailedHandled {
        count: usize,
        elapsed: Duration,
        panic: Option<&'a Reason>,
    },
    /// `handle_done` panicked. Its messages are acknowledged all the same.
    #[non_exhaustive]
    HandleDonePanicked { reason: &'a Reason },
    /// Messages were passed to the acknowledger of a producer.
    #[non_exhaustive]
    Settled {
        producer: usize,
        settlement: Settlement<'a>,
    },
    /// Pushed messages were settled. They have no latencies.
    #[non_exhaustive]
    PushedSettled { settlement: Settlement<'a> },
    /// The acknowledger of a producer returned an error or panicked: the source will deliver `count` messages again.
    /// `affected` are the messages that the acknowledger left in its list.
    #[non_exhaustive]
    AckFailed {
        producer: usize,
        count: usize,
        reason: &'a Reason,
        affected: AffectedMessages<'a>,
    },
    /// A producer could not close: its last acknowledgements may not have reached the broker, which then delivers those
    /// messages again. Reported for each producer, even if the topology ends for another reason.
    #[non_exhaustive]
    CloseFailed { producer: usize, error: &'a str },
    /// A producer holds `held` messages that the rate limit does not admit yet. It continues after `wait`.
    #[non_exhaustive]
    RateLimited {
        producer: usize,
        held: usize,
        wait: Duration,
    },
    /// A producer failed in `callback`. Its source is opened again after `restart_after`, or not at all if that is
    /// `None`.
    #[non_exhaustive]
    ProducerFailed {
        producer: usize,
        callback: Callback,
        error: &'a BoxError,
        restart_after: Option<Duration>,
    },
    /// A producer that had failed delivers again.
    #[non_exhaustive]
    ProducerRestarted { producer: usize, restarts: u64 },
    /// A topology ended with messages that were not settled, or that were done and that the source could not
    /// acknowledge. The source will deliver them again.
    #[non_exhaustive]
    DroppedUnsettled { count: u64 },
    /// A source was assigned a part of its input (a partition). `part` is a name such as `orders[3]`; `position` is the
    /// position of the next message to read (the last settled position + 1), if the source knows it.
    #[non_exhaustive]
    Assigned {
        producer: usize,
        part: &'a str,
        position: Option<i64>,
    },
    /// A part was taken away. `settled` is false if work on it had not ended or was not committed in time, and will be
    /// repeated elsewhere; `repeats` is the number of its messages that were done.
    #[non_exhaustive]
    Revoked {
        producer: usize,
        part: &'a str,
        settled: bool,
        repeats: u64,
    },
    /// A part takes no more messages after a failure until an operator decides. `position` is the position of the
    /// failed message.
    #[non_exhaustive]
    Halted {
        producer: usize,
        part: &'a str,
        position: i64,
        reason: &'a str,
    },
    /// An operator let a halted part take messages again, from `position` on.
    #[non_exhaustive]
    Unhalted {
        producer: usize,
        part: &'a str,
        position: i64,
    },
    /// Messages of a part were deleted at the source before they were read: the positions from `from` up to, and
    /// excluding, `to`.
    #[non_exhaustive]
    Lost {
        producer: usize,
        part: &'a str,
        from: i64,
        to: i64,
    },
    /// Reading of a part begins somewhere other than at its last commit, or than the options specify for a part without
    /// a commit.
    #[non_exhaustive]
    Repositioned {
        producer: usize,
        part: &'a str,
        position: i64,
        reason: &'a str,
    },
    /// The broker limits how often it delivers a message of a part (a queue, a subscription), and then puts it aside by its own rule, which
    /// `note` explains. `is_warning` is true if that needs attention: the rule may act before the pipeline's retries are used up, or
    /// drop messages. Reported each time that the source is opened, by the first producer, if the source can read the limit.
    #[non_exhaustive]
    DeliveryLimit {
        producer: usize,
        part: &'a str,
        deliveries: u32,
        is_warning: bool,
        note: &'a str,
    },
    /// How far a part (a partition, a queue or a subscription) is behind. `messages` is the number of messages at the
    /// broker that are not settled, in flight or not; `None` means that the source does not know it now. `oldest` is
    /// the age of the oldest of them; `None` means that it is unknown or that there is none. Each connector documents
    /// the origin of its figures.
    #[non_exhaustive]
    Lag {
        producer: usize,
        part: &'a str,
        messages: Option<u64>,
        oldest: Option<Duration>,
    },
    /// A commit (or whatever makes settlements durable at the source) was confirmed. `position` is where reading
    /// resumes after a restart: the position of the last settled message + 1.
    #[non_exhaustive]
    Committed {
        producer: usize,
        part: &'a str,
        position: i64,
    },
    /// A commit failed. It is retried if that can help.
    #[non_exhaustive]
    CommitFailed { producer: usize, error: &'a str },
    /// The connection of a source failed in a way that the source recovers from.
    #[non_exhaustive]
    SourceError { producer: usize, error: &'a str },
    /// `count` messages ended after the source had lost its claim on them: their lease was over, or their connection
    /// was gone. Their results are ignored, and the source delivers the messages again, or has done so already.
    #[non_exhaustive]
    LateResults {
        producer: usize,
        count: usize,
        affected: AffectedMessages<'a>,
    },
    /// [`DeadLetters`](crate::DeadLetters) sent `count` dead letters, which are confirmed. `held` others of the layer wait to be sent
    /// again. `waited` is how long these did, if they were not confirmed at once.
    #[non_exhaustive]
    DeadLettersSent {
        count: usize,
        held: usize,
        waited: Option<Duration>,
    },
    /// `count` dead letters were not confirmed, and are sent again after `retry_after`. They have waited since their first attempt for
    /// `waited`; all of the layer that wait are `held`. The sources are paused if `is_paused`.
    #[non_exhaustive]
    DeadLettersHeld {
        count: usize,
        held: usize,
        waited: Duration,
        retry_after: Duration,
        is_paused: bool,
        error: &'a PublishError,
    },
    /// The dead letter of the record `origin`, which failed for `reason`, was refused, or is not sent again. The message stays failed.
    #[non_exhaustive]
    DeadLetterRefused {
        origin: &'a str,
        held: usize,
        reason: &'a Reason,
        error: &'a PublishError,
    },
    /// An [observed](crate::Publisher::observed) publisher sent messages: `done` were confirmed and `failed` were not,
    /// the first of them with `error`. The observer is called with the publisher's name.
    #[non_exhaustive]
    Published {
        done: usize,
        failed: usize,
        elapsed: Duration,
        error: Option<&'a PublishError>,
    },
    /// An event of a [stage](crate::stage), which is not part of a pipeline.
    Stage(StageEvent<'a>),
}

impl Event<'_> {
    /// Returns whether the event is routine: it comes per chunk, per batch or at intervals, and requires no attention.
    /// Logs have it at the levels `debug` and `trace` only.
    #[must_use]
    #[inline(always)]
    pub const fn is_routine(&self) -> bool {
        match self {
            Self::Produced { .. }
            | Self::Pushed { .. }
            | Self::ChunkStarted { .. }
            | Self::ChunkStopped { .. }
            | Self::BatchReady { .. }
            | Self::BatchStarted { .. }
            | Self::BatchStopped { .. }
            | Self::FailedHandled { panic: None, .. }
            | Self::Settled { .. }
            | Self::PushedSettled { .. }
            | Self::RateLimited { .. }
            | Self::Lag { .. }
            | Self::Committed { .. }
            | Self::DeadLettersSent { waited: None, .. }
            | Self::Published { error: None, .. } => true,
            Self::Stage(event) => event.is_routine(),
            _ => false,
        }
    }

    /// Returns the event's name in logs and tests, in snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TopologyStarted { .. } => "topology_started",
            Self::Draining { .. } => "draining",
            Self::Drained { .. } => "drained",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::SourcePaused { .. } => "source_paused",
            Self::SourceResumed { .. } => "source_resumed",
            Self::Resized { .. } => "resized",
            Self::Produced { .. } => "produced",
            Self::Pushed { .. } => "pushed",
            Self::ChunkStarted { .. } => "chunk_started",
            Self::ChunkStopped { .. } => "chunk_stopped",
            Self::MessageFailed { .. } => "message_failed",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::HandlerBlocked { .. } => "handler_blocked",
            Self::BatchReady { .. } => "batch_ready",
            Self::BatchStarted { .. } => "batch_started",
            Self::BatchStopped { .. } => "batch_stopped",
            Self::FailedInBatch { .. } => "failed_in_batch",
            Self::BatchFailed { .. } => "batch_failed",
            Self::FailedHandled { .. } => "failed_handled",
            Self::HandleDonePanicked { .. } => "handle_done_panicked",
            Self::Settled { .. } => "settled",
            Self::PushedSettled { .. } => "pushed_settled",
            Self::AckFailed { .. } => "ack_failed",
            Self::CloseFailed { .. } => "close_failed",
            Self::RateLimited { .. } => "rate_limited",
            Self::ProducerFailed { .. } => "producer_failed",
            Self::ProducerRestarted { .. } => "producer_restarted",
            Self::DroppedUnsettled { .. } => "dropped_unsettled",
            Self::Assigned { .. } => "assigned",
            Self::Revoked { .. } => "revoked",
            Self::Halted { .. } => "halted",
            Self::Unhalted { .. } => "unhalted",
            Self::Lost { .. } => "lost",
            Self::Repositioned { .. } => "repositioned",
            Self::DeliveryLimit { .. } => "delivery_limit",
            Self::Lag { .. } => "lag",
            Self::Committed { .. } => "committed",
            Self::CommitFailed { .. } => "commit_failed",
            Self::SourceError { .. } => "source_error",
            Self::LateResults { .. } => "late_results",
            Self::DeadLettersSent { .. } => "dead_letters_sent",
            Self::DeadLettersHeld { .. } => "dead_letters_held",
            Self::DeadLetterRefused { .. } => "dead_letter_refused",
            Self::Published { .. } => "published",
            Self::Stage(event) => event.name(),
        }
    }
}
