//! What a producer, its acknowledger and its background tasks share: the channel in use, and its unsettled deliveries.
//!
//! Each channel has a generation. When a channel is lost the generation moves on, and outcomes of the earlier one find no delivery: the
//! broker delivers those messages again.
//!
//! Frames are sent under the lock, in the order in which [`Unsettled`] produces them. Without it, two tasks could send their frames in
//! the wrong order, and the acknowledgement of a prefix would precede the frame of one message in it, whose tag the broker would no
//! longer know: it closes the channel then. Sending queues a frame in the client, so the lock is never held over an await.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};

use broadway_core::{
    OpenContext, Settled,
    connector::LagReporter,
    telemetry::{AffectedMessages, Emitter, Event, MessageInfo},
};
use futures_util::FutureExt;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::sync::Notify;

use crate::{
    applied::UNWAITED_FRAMES_MAX,
    config::RabbitMq,
    consume::OpenConsumer,
    consumer_timeout::ConsumerTimeout,
    error::reply_text,
    options::{OnUnreadable, SettlementPolicy},
    queue_depth::QueueDepth,
    unsettled::{AckFrame, NewDelivery, Settlement, Token, Unsettled},
};

/// The most messages that a `LateResults` event describes; it counts all of them.
const LATE_DESCRIBED_MAX: usize = 3;

/// The channel in use.
pub(crate) struct SharedChannel {
    queue: String,
    producer: usize,
    emitter: Emitter,
    policy: SettlementPolicy,
    pub(crate) on_unreadable: OnUnreadable,
    /// The prefetch window.
    pub(crate) window: u16,
    pub(crate) is_stream: bool,
    /// A copy of the generation in `state`, so that checking for stale messages takes no lock.
    generation: AtomicU64,
    state: Mutex<ChannelState>,
    pub(crate) lag: LagReporter,
    /// Wakes the ack task when something becomes due earlier than before.
    pub(crate) due_earlier: Notify,
    /// Wakes the producer when the channel was lost.
    pub(crate) channel_lost: Notify,
    /// Wakes a producer that has halted when the pipeline has no message left.
    pub(crate) idle: Notify,
}

struct ChannelState {
    generation: u64,
    /// `None` while no channel is open.
    channel: Option<Channel>,
    unsettled: Unsettled,
    /// Kept for its capacity; empty between calls.
    frames: Vec<AckFrame>,
    /// The offset at which to read a stream on.
    resume_offset: Option<u64>,
    /// A message was settled on the channel in use, or on the last one.
    has_settled: bool,
    /// How many frames were sent since the consumer was last to be cancelled, or the channel was opened.
    frames_sent: u64,
    consumer_timeout: ConsumerTimeout,
    /// The number of messages that were to be removed from the queue since the channel was opened, and of late ones while none is open.
    removed: u64,
    /// Nothing is read any more, so no consumer is opened again.
    is_stopped: bool,
    /// Of the consumer in use, or of the last one.
    queue_depth: Option<QueueDepth>,
}

/// The channel, from opening to loss.
impl SharedChannel {
    pub(crate) fn new(cx: &OpenContext, source: &RabbitMq, window: u16) -> Self {
        let is_stream = source.is_stream();
        let consumer_timeout = source.known_consumer_timeout();
        Self {
            queue: source.queue.clone(),
            producer: cx.producer(),
            emitter: cx.emitter().clone(),
            policy: source.policy,
            on_unreadable: source.on_unreadable,
            window,
            is_stream,
            generation: AtomicU64::new(0),
            state: Mutex::new(ChannelState {
                generation: 0,
                channel: None,
                unsettled: Unsettled::new(window, is_stream, consumer_timeout.pause_max()),
                frames: Vec::new(),
                resume_offset: None,
                has_settled: false,
                frames_sent: 0,
                consumer_timeout,
                removed: 0,
                is_stopped: false,
                queue_depth: None,
            }),
            lag: LagReporter::new(cx),
            due_earlier: Notify::new(),
            channel_lost: Notify::new(),
            idle: Notify::new(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts the channel of a new consumer in use, and returns its generation.
    pub(crate) fn use_channel_of(&self, opened: &OpenConsumer) -> u64 {
        let mut state = self.state();
        state.channel = Some(opened.channel.clone());
        state.queue_depth = Some(QueueDepth::of(opened));
        state.removed = 0;
        state.has_settled = false;
        state.frames_sent = 0;
        state.generation
    }

    /// Records that the consumer of the channel in use is cancelled now. Must be called before `basic.cancel` is sent.
    pub(crate) fn cancelling(&self) {
        self.state().frames_sent = 0;
    }

    /// Whether the broker may hold back settlements when the channel closes.
    pub(crate) fn must_wait_until_applied(&self) -> bool {
        !self.is_stream && self.state().frames_sent > UNWAITED_FRAMES_MAX
    }

    /// Gives up the channel of this generation; does nothing if it was given up before.
    pub(crate) fn lose_channel(&self, generation: u64) {
        let mut state = self.state();
        if state.generation == generation {
            self.next_generation(&mut state);
        }
    }

    /// Whether a message was settled on the channel in use, or on the last one.
    pub(crate) fn has_settled(&self) -> bool {
        self.state().has_settled
    }

    /// The offset at which to read a stream on.
    pub(crate) fn resume_offset(&self) -> Option<u64> {
        self.state().resume_offset
    }

    /// Records that the broker closed the channel because of its `consumer_timeout`, which is `limit` if the broker's text contains it.
    /// Pauses end in time from now on. Returns what the oldest message was waiting for. Must be called before the channel is given up.
    pub(crate) fn consumer_timed_out(&self, limit: Option<Duration>) -> String {
        let mut state = self.state();
        let oldest = state.unsettled.oldest(Instant::now());
        state.consumer_timeout.learn(limit);
        let reason = state.consumer_timeout.explain(oldest);
        tracing::warn!(
            producer = self.producer,
            reason,
            "the broker closed the channel"
        );
        reason
    }

    /// Records that nothing is read any more.
    pub(crate) fn stop(&self) {
        self.state().is_stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    fn next_generation(&self, state: &mut ChannelState) {
        state.resume_offset = state.unsettled.resume_offset().or(state.resume_offset);
        let pause_max = state.consumer_timeout.pause_max();
        state.unsettled = Unsettled::new(self.window, self.is_stream, pause_max);
        state.channel = None;
        state.generation += 1;
        // Under the lock, so that the copy never runs ahead of the state.
        self.generation.store(state.generation, Ordering::Release);
        self.channel_lost.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, ChannelState> {
        // No panic leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deliveries and their settlement.
impl SharedChannel {
    /// Registers deliveries that the pipeline gets. Returns `false` if their channel is lost.
    pub(crate) fn register(
        &self,
        generation: u64,
        deliveries: impl Iterator<Item = NewDelivery>,
    ) -> bool {
        let mut state = self.state();
        // The client closes the channel before the reader learns of it: asking the client here keeps deliveries of a channel that is
        // already closed away from the pipeline.
        let is_in_use = state.generation == generation
            && state
                .channel
                .as_ref()
                .is_some_and(|channel| channel.status().connected());
        if is_in_use {
            let now = Instant::now();
            deliveries.for_each(|delivery| state.unsettled.deliver(delivery, now));
        }
        is_in_use
    }

    /// Rejects a delivery that the client could not read.
    pub(crate) fn reject_unreadable(&self, generation: u64, tag: u64) {
        let mut state = self.state();
        if state.generation != generation {
            return;
        }
        let now = Instant::now();
        let ChannelState {
            unsettled, frames, ..
        } = &mut *state;
        unsettled.settle(tag, Settlement::Reject, now, frames);
        state.removed += 1;
        self.flush_into(&mut state, now);
        drop(state);
        self.due_earlier.notify_one();
    }

    /// Keeps a delivery that the client could not read from the pipeline, and leaves it unsettled.
    pub(crate) fn keep_unreadable(&self, generation: u64, tag: u64) {
        let mut state = self.state();
        if state.generation == generation {
            state.unsettled.withdraw(tag);
        }
    }

    /// Settles messages with their outcomes.
    pub(crate) fn settle(&self, settled: &mut Vec<Settled<Token>>) {
        let policy = &self.policy;
        self.settle_all(
            settled
                .drain(..)
                .map(|settled| (settled.token, policy.settlement(&settled))),
        );
    }

    /// Settles messages that succeeded.
    pub(crate) fn settle_done(&self, done: &mut Vec<Token>) {
        let settlement = self.policy.of_done();
        self.settle_all(done.drain(..).map(|token| (token, settlement)));
    }

    fn settle_all(&self, settled: impl Iterator<Item = (Token, Settlement)>) {
        let now = Instant::now();
        let mut guard = self.state();
        let state = &mut *guard;
        let due_before = state.unsettled.next_due();
        let (mut late, mut described) = (0, Vec::new());
        for (token, settlement) in settled {
            let is_in_use = token.generation == state.generation;
            let is_removed = matches!(settlement, Settlement::Ack | Settlement::Reject);
            if is_removed && (is_in_use || state.channel.is_none()) {
                state.removed += 1;
            }
            if is_in_use {
                let frames = &mut state.frames;
                state.unsettled.settle(token.tag, settlement, now, frames);
            } else if settlement != Settlement::Requeue {
                // A released message is not late: no handler began it, so no work is repeated.
                late += 1;
                if described.len() < LATE_DESCRIBED_MAX {
                    described.push(token);
                }
            }
        }
        self.flush_into(state, now);
        let due = state.unsettled.next_due();
        let shortened = state
            .unsettled
            .take_shortened_pause()
            .and_then(|pause| state.consumer_timeout.report_shortened(pause));
        if state.unsettled.in_pipeline() == 0 {
            self.idle.notify_one();
        }
        // Observers run without the lock: they may take long, or call back into the pipeline.
        drop(guard);
        if due.is_some_and(|due| due_before.is_none_or(|before| due < before)) {
            self.due_earlier.notify_one();
        }
        if let Some(report) = shortened {
            self.report_source_error(&report);
        }
        if late > 0 {
            self.emitter.emit(&Event::late_results(
                self.producer,
                late,
                AffectedMessages::new(described.len(), &|index| self.describe(&described[index])),
            ));
        }
    }

    /// How long a message can wait for its requeue. `None` once nothing is read any more, since closing ends pauses.
    pub(crate) fn delay_max(&self, token: &Token) -> Option<Duration> {
        let state = self.state();
        let is_kept = token.generation == state.generation && !state.is_stopped;
        let delay_max = state.unsettled.delay_max(token.tag, Instant::now());
        delay_max.filter(|_| is_kept)
    }

    /// Sends the frames that are due at `now`.
    pub(crate) fn flush(&self, now: Instant) {
        self.flush_into(&mut self.state(), now);
    }

    /// When [`flush`](Self::flush) has something to send, if nothing is settled before.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.state().unsettled.next_due()
    }

    /// Sends all frames that can be sent: pauses end now. Returns whether a channel is open.
    pub(crate) fn finish(&self) -> bool {
        let mut state = self.state();
        let ChannelState {
            unsettled, frames, ..
        } = &mut *state;
        unsettled.finish(frames);
        self.send(&mut state);
        state.channel.is_some()
    }

    /// Requeues deliveries that the pipeline never got. A stream has nothing to requeue.
    pub(crate) fn requeue_undelivered(&self, generation: u64, tags: impl Iterator<Item = u64>) {
        let mut state = self.state();
        if state.generation == generation && !self.is_stream {
            let requeue = true;
            let frames = tags.map(|tag| AckFrame::Nack { tag, requeue });
            state.frames.extend(frames);
            self.send(&mut state);
        }
    }

    /// Whether the pipeline has no message of the channel in use.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().unsettled.in_pipeline() == 0
    }

    /// The most messages that were removed from the queue here and that the broker may deliver again, because it did not confirm that it
    /// received the frames: it never has more unsettled than the window. 0 for a stream, from which nothing is removed.
    pub(crate) fn unconfirmed(&self) -> u64 {
        match self.is_stream {
            true => 0,
            false => self.state().removed.min(u64::from(self.window)),
        }
    }

    fn flush_into(&self, state: &mut ChannelState, now: Instant) {
        let ChannelState {
            unsettled, frames, ..
        } = state;
        unsettled.flush(now, frames);
        self.send(state);
    }

    /// Queues the frames in the client, up to one that the client refuses: then the channel is lost.
    fn send(&self, state: &mut ChannelState) {
        let mut frames = std::mem::take(&mut state.frames);
        for frame in frames.drain(..) {
            let Some(channel) = &state.channel else {
                break;
            };
            // The first poll queues the frame in the client. The future would then wait until it is written, which nothing here needs.
            let sent = match frame {
                AckFrame::Ack { tag, multiple } => channel
                    .basic_ack(tag, BasicAckOptions { multiple })
                    .now_or_never(),
                AckFrame::Nack { tag, requeue } => {
                    let options = BasicNackOptions {
                        requeue,
                        multiple: false,
                    };
                    channel.basic_nack(tag, options).now_or_never()
                }
                // A source that stops does not read the message again.
                AckFrame::Reopen if state.is_stopped => continue,
                AckFrame::Reopen => {
                    self.next_generation(state);
                    break;
                }
            };
            if let Some(Err(error)) = sent {
                tracing::debug!(
                    producer = self.producer,
                    error = reply_text(&error),
                    "the channel was lost"
                );
                self.next_generation(state);
                break;
            }
            state.has_settled = true;
            state.frames_sent += 1;
        }
        // The frames after a lost channel go nowhere: the broker delivers their messages again.
        frames.clear();
        state.frames = frames;
    }
}

/// Reports.
impl SharedChannel {
    /// The queue and the delivery tag of a message.
    pub(crate) fn describe(&self, token: &Token) -> MessageInfo {
        MessageInfo::new(format!("{}#{}", self.queue, token.tag))
            .attempt(token.redelivered.then_some(2))
    }

    /// Emits `Halted`: the source stops reading because of this message.
    pub(crate) fn report_halted(&self, queue: &str, tag: u64, reason: &str) {
        self.emitter.emit(&Event::halted(
            self.producer,
            queue,
            i64::try_from(tag).unwrap_or(i64::MAX),
            reason,
        ));
    }

    /// Emits `SourceError`.
    pub(crate) fn report_source_error(&self, error: &str) {
        self.emitter
            .emit(&Event::source_error(self.producer, error));
    }

    /// What to ask for the depth of the queue; `None` while no channel is open.
    pub(crate) fn queue_depth(&self) -> Option<QueueDepth> {
        let state = self.state();
        state
            .channel
            .is_some()
            .then(|| state.queue_depth.clone())
            .flatten()
    }

    /// Emits `Lag`, given the number of ready messages. The number is unknown while no channel is open.
    pub(crate) fn report_lag(&self, ready: Option<u64>) {
        let state = self.state();
        let Some(queue_depth) = state.queue_depth.clone() else {
            return;
        };
        let is_open = state.channel.is_some();
        let messages = ready
            .filter(|_| is_open)
            .map(|ready| ready + queue_depth.unsettled(&state.unsettled));
        let oldest = state.unsettled.oldest_sent_secs();
        drop(state);
        let oldest = oldest.and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs)));
        self.lag.report(&queue_depth.queue, messages, oldest);
    }
}
