//! What a producer, its acknowledger and its keeper share: the channel that is in use, and the ledger of its tags.
//!
//! Each channel has a generation. When it is lost the generation moves on, and results of the old one meet nothing: their messages come
//! again by themselves. Frames are sent under the lock, in the order in which the ledger gives them, since an acknowledgement of a
//! prefix after one of a message within it would be a tag that the broker does not know. Sending only queues a frame; nobody waits.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use broadway_core::{
    OpenContext, Settled,
    connector::LagReporter,
    telemetry::{Affected, Emitter, Event, MessageInfo},
};
use futures_util::FutureExt;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::{sync::Notify, time::sleep_until};

use crate::{
    config::RabbitMq,
    consume::OpenConsumer,
    consumer_timeout::ConsumerTimeout,
    error::words,
    options::{AckOptions, OnUnreadable, Policy},
    queue_depth::{self, QueueDepth},
    unsettled::{AckFrame, NewDelivery, Settlement, Token, Unsettled},
};

/// How many of the messages whose results were late are named.
const LATE_NAMED_MAX: usize = 3;

pub(crate) struct SharedChannel {
    queue: String,
    producer: usize,
    emitter: Emitter,
    policy: Policy,
    pub(crate) on_unreadable: OnUnreadable,
    pub(crate) window: u16,
    pub(crate) is_stream: bool,
    /// That of `ChannelState`, to be read without its lock.
    generation: AtomicU64,
    state: Mutex<ChannelState>,
    pub(crate) lag: LagReporter,
    /// Wakes the keeper when something is due earlier, the producer when the channel was given up, and one that halts when nothing is
    /// with the pipeline any more.
    bell: Notify,
    pub(crate) given_up: Notify,
    pub(crate) idle: Notify,
}

struct ChannelState {
    generation: u64,
    channel: Option<Channel>,
    ledger: Unsettled,
    /// Used again and again.
    frames: Vec<AckFrame>,
    /// In a stream, where to read on.
    resume: Option<u64>,
    /// The channel in use was told of a message that ended.
    has_told: bool,
    /// How long the broker lets a message be unsettled.
    patience: ConsumerTimeout,
    /// Of the messages that ended since the channel in use began, and of late ones while there is none: how many were to be taken from
    /// the queue.
    taken: u64,
    /// Nothing is read any more, so nothing is opened again.
    is_stopped: bool,
    /// How many messages wait: of the opened in use, or the last one.
    queue_depth: Option<QueueDepth>,
}

impl SharedChannel {
    pub(crate) fn new(cx: &OpenContext, source: &RabbitMq, window: u16) -> Self {
        let is_stream = source.is_stream();
        let patience = source.patience();
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
                ledger: Unsettled::new(window, is_stream, patience.pause_max()),
                frames: Vec::new(),
                resume: None,
                has_told: false,
                patience,
                taken: 0,
                is_stopped: false,
                queue_depth: None,
            }),
            lag: LagReporter::new(cx),
            bell: Notify::new(),
            given_up: Notify::new(),
            idle: Notify::new(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The channel of a new opened is in use from now on; says its generation.
    pub(crate) fn begin(&self, opened: &OpenConsumer) -> u64 {
        let mut state = self.state();
        state.channel = Some(opened.channel.clone());
        state.queue_depth = Some(QueueDepth::of(opened));
        state.taken = 0;
        state.has_told = false;
        state.generation
    }

    /// The channel of this generation is lost: what it delivered comes again.
    pub(crate) fn lose(&self, generation: u64) {
        let mut state = self.state();
        if state.generation == generation {
            self.move_on(&mut state);
        }
    }

    /// Whether the broker was told of the end of a message on the channel in use, or the last one.
    pub(crate) fn has_told(&self) -> bool {
        self.state().has_told
    }

    /// The broker has closed the channel over a message that was unsettled for longer than `limit`, its `consumer_timeout`, if it has
    /// said how long that is. Says what that message did; pauses end in time from now on.
    pub(crate) fn impatient(&self, limit: Option<Duration>) -> String {
        let mut state = self.state();
        let oldest = state.ledger.oldest(Instant::now());
        state.patience.learn(limit);
        let what = state.patience.blame(oldest);
        tracing::warn!(
            producer = self.producer,
            what,
            "the broker closed the channel"
        );
        what
    }

    /// In a stream, where to read on.
    pub(crate) fn resume(&self) -> Option<u64> {
        self.state().resume
    }

    /// Which delivery it is.
    pub(crate) fn describe(&self, token: &Token) -> MessageInfo {
        MessageInfo::new(format!("{}#{}", self.queue, token.tag))
            .attempt(token.redelivered.then_some(2))
    }

    /// Messages are handed to the pipeline. `false` if their channel is lost.
    pub(crate) fn deliver(
        &self,
        generation: u64,
        arrivals: impl Iterator<Item = NewDelivery>,
    ) -> bool {
        let mut state = self.state();
        let is_ours = state.generation == generation
            && state
                .channel
                .as_ref()
                .is_some_and(|channel| channel.status().connected());
        if is_ours {
            let now = Instant::now();
            arrivals.for_each(|arrival| state.ledger.delivered(arrival, now));
        }
        is_ours
    }

    /// A message that was delivered is not for the pipeline: it is rejected, or else stays unsettled.
    pub(crate) fn set_aside(&self, generation: u64, tag: u64, is_rejected: bool) {
        let mut state = self.state();
        if state.generation != generation {
            return;
        }
        if !is_rejected {
            return state.ledger.set_aside(tag);
        }
        let now = Instant::now();
        let ChannelState { ledger, frames, .. } = &mut *state;
        ledger.settle(tag, Settlement::Reject, now, frames);
        state.taken += 1;
        self.flush_into(&mut state, now);
        drop(state);
        self.bell.notify_one();
    }

    /// Whether no message of the channel in use is with the pipeline.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().ledger.open() == 0
    }

    /// Messages ended.
    pub(crate) fn settle(&self, settled: &mut Vec<Settled<Token>>) {
        let now = Instant::now();
        let mut state = self.state();
        let due_before = state.ledger.due();
        let state_now = &mut *state;
        let (mut late, mut late_tokens) = (0, Vec::new());
        for ended in settled.drain(..) {
            let options = ended.options::<AckOptions>();
            let ending = self
                .policy
                .ending(&ended.outcome, options, ended.token.redelivered);
            let is_ours = ended.token.generation == state_now.generation;
            let is_taken = matches!(ending, Settlement::Ack | Settlement::Reject);
            if is_taken && (is_ours || state_now.channel.is_none()) {
                state_now.taken += 1;
            }
            if !is_ours {
                // What nobody has begun has no result.
                if ending != Settlement::Requeue {
                    late += 1;
                    if late_tokens.len() < LATE_NAMED_MAX {
                        late_tokens.push(ended.token);
                    }
                }
                continue;
            }
            let frames = &mut state_now.frames;
            state_now
                .ledger
                .settle(ended.token.tag, ending, now, frames);
        }
        self.flush_into(&mut state, now);
        let due = state.ledger.due();
        let cut = state
            .ledger
            .take_cut()
            .and_then(|cut| state.patience.cut(cut));
        if state.ledger.open() == 0 {
            self.idle.notify_one();
        }
        drop(state);
        if due.is_some_and(|due| due_before.is_none_or(|before| due < before)) {
            self.bell.notify_one();
        }
        if let Some(cut) = cut {
            self.trouble(&cut);
        }
        if late > 0 {
            self.emitter.emit(&Event::LateResults {
                producer: self.producer,
                count: late,
                affected: Affected::new(late_tokens.len(), &|index| {
                    self.describe(&late_tokens[index])
                }),
            });
        }
    }

    /// Nothing is read any more.
    pub(crate) fn stop(&self) {
        self.state().is_stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    /// Tells the broker all that can be told, and says whether there is a channel for it.
    pub(crate) fn finish(&self) -> bool {
        let mut state = self.state();
        let ChannelState { ledger, frames, .. } = &mut *state;
        ledger.finish(frames);
        self.send(&mut state);
        state.channel.is_some()
    }

    /// How many messages at most ended and may come again nevertheless, because the broker did not confirm that it knows of them. It
    /// never has more unsettled than the window. A stream is read without being told.
    pub(crate) fn unconfirmed(&self) -> u64 {
        match self.is_stream {
            true => 0,
            false => self.state().taken.min(u64::from(self.window)),
        }
    }

    /// Gives back messages that were never handed to the pipeline. From a stream they were not taken.
    pub(crate) fn give_back(&self, generation: u64, tags: impl Iterator<Item = u64>) {
        let mut state = self.state();
        if state.generation == generation && !self.is_stream {
            let requeue = true;
            let frames = tags.map(|tag| AckFrame::Nack { tag, requeue });
            state.frames.extend(frames);
            self.send(&mut state);
        }
    }

    /// Nothing more is read from the queue, because of this message.
    pub(crate) fn halted(&self, queue: &str, tag: u64, reason: &str) {
        self.emitter.emit(&Event::Halted {
            producer: self.producer,
            part: queue,
            position: i64::try_from(tag).unwrap_or(i64::MAX),
            reason,
        });
    }

    pub(crate) fn trouble(&self, error: &str) {
        self.emitter.emit(&Event::SourceTrouble {
            producer: self.producer,
            error,
        });
    }

    /// What can be asked how many messages wait. `None` while there is no channel.
    pub(crate) fn queue_depth(&self) -> Option<QueueDepth> {
        let state = self.state();
        state
            .channel
            .is_some()
            .then(|| state.queue_depth.clone())
            .flatten()
    }

    /// Tells how far the queue is behind, if so many messages are ready there. All is unknown while there is no channel.
    pub(crate) fn tell_lag(&self, ready: Option<u64>) {
        let state = self.state();
        let Some(queue_depth) = state.queue_depth.clone() else {
            return;
        };
        let is_up = state.channel.is_some();
        let messages = ready
            .filter(|_| is_up)
            .map(|ready| ready + queue_depth.unsettled(&state.ledger));
        let oldest = queue_depth::oldest(&state.ledger);
        drop(state);
        self.lag.report(&queue_depth.queue, messages, oldest);
    }

    /// Tells in time what nobody settles now: acknowledgements that were held back, and requeues whose pause is over. Never ends.
    pub(crate) async fn keep(&self) {
        loop {
            let due = self.state().ledger.due();
            let rung = self.bell.notified();
            match due {
                None => rung.await,
                Some(due) => {
                    tokio::select! {
                        () = rung => {}
                        () = sleep_until(due.into()) => {
                            let mut state = self.state();
                            self.flush_into(&mut state, Instant::now());
                        }
                    }
                }
            }
        }
    }

    fn flush_into(&self, state: &mut ChannelState, now: Instant) {
        let ChannelState { ledger, frames, .. } = state;
        ledger.flush(now, frames);
        self.send(state);
    }

    fn send(&self, state: &mut ChannelState) {
        let mut frames = std::mem::take(&mut state.frames);
        for frame in frames.drain(..) {
            let Some(channel) = &state.channel else {
                break;
            };
            // The frame is queued by the first poll; the rest would be to wait until it is written.
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
                AckFrame::Reopen if state.is_stopped => continue,
                AckFrame::Reopen => {
                    self.move_on(state);
                    break;
                }
            };
            if let Some(Err(error)) = sent {
                tracing::debug!(
                    producer = self.producer,
                    error = words(&error),
                    "channel lost"
                );
                self.move_on(state);
                break;
            }
            state.has_told = true;
        }
        frames.clear();
        state.frames = frames;
    }

    /// To the next generation, in which nothing is out.
    fn move_on(&self, state: &mut ChannelState) {
        state.resume = state.ledger.resume().or(state.resume);
        let pause_max = state.patience.pause_max();
        state.ledger = Unsettled::new(self.window, self.is_stream, pause_max);
        state.channel = None;
        state.generation += 1;
        self.generation.store(state.generation, Ordering::Release);
        self.given_up.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, ChannelState> {
        // Nothing that panics leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
