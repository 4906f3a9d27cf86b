//! What the polls, the ack task, the producer and the acknowledger of one producer share: [`SqsShared`].
//!
//! Everything that decides is in [`SqsState`], under one lock, which is taken once for each chunk, response or step and never held
//! across an await or while observers run. Three notifications connect the parts: one wakes the producer, one the ack task, and one the
//! caller that waits until everything is sent.

mod state;
#[cfg(test)]
mod tests;

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_sqs::{
    Client,
    types::{Message, MessageSystemAttributeName},
};
use broadway_core::{
    Deadline, Delivery, OpenContext, Outcome, Settled,
    connector::{AckChoice, ConnectorError, Jitter, LagReporter},
    telemetry::{AffectedMessages, Emitter, Event, MessageInfo},
};
use tokio::sync::Notify;

use crate::{
    ack_queue::{ENTRIES_MAX, EXTENSION_REQUESTS_MAX},
    config::Sqs,
    leases::{AckAction, PendingAck, Token},
    options::{SqsAckPolicy, VISIBILITY_MAX},
    poll_limit::SPACING_MAX,
    record::SqsRecord,
};
pub(crate) use state::{AckTaskStep, ResponseUpdate, TakeResult};
use state::{ProducerPhase, ReportedCounts, SqsState};

/// No polls start while more than this number of entries for each concurrent request wait in the ack queue.
const BACKLOG_PER_REQUEST: usize = 40;

/// How long a message is hidden at most, from when it was received. SQS counts from a moment before the response, so a little less than it
/// allows.
const HIDDEN_MAX: Duration = VISIBILITY_MAX.saturating_sub(Duration::from_secs(10));

/// What a producer appends its messages to.
pub(crate) type Deliveries = Vec<Delivery<SqsRecord, Token>>;

pub(crate) struct SqsShared {
    pub(crate) producer: usize,
    emitter: Emitter,
    pub(crate) lag: LagReporter,
    pub(crate) source: Sqs,
    /// Polls and acknowledgements have clients of their own, whose timeouts fit.
    pub(crate) poll_client: Client,
    pub(crate) ack_client: Client,
    queue: Arc<str>,
    is_fifo: bool,
    visibility: Duration,
    policy: SqsAckPolicy,
    backlog_max: usize,
    state: Mutex<SqsState>,
    /// Something has changed for the producer.
    pub(crate) producer_wakeup: Notify,
    /// Something has changed for the ack task.
    pub(crate) ack_task_wakeup: Notify,
    /// Nothing is left to send.
    idle: Notify,
}

impl SqsShared {
    pub(crate) fn new(
        source: Sqs,
        (poll_client, ack_client): (Client, Client),
        visibility: Duration,
        cx: &OpenContext,
    ) -> Self {
        let url = source.access.queue_url();
        let state = SqsState::new(&source, visibility);
        Self {
            producer: cx.producer(),
            emitter: cx.emitter().clone(),
            lag: LagReporter::new(cx),
            poll_client,
            ack_client,
            queue: Arc::from(url.name.as_str()),
            is_fifo: url.is_fifo(),
            visibility,
            policy: source.policy,
            backlog_max: source.deletes_max * BACKLOG_PER_REQUEST,
            source,
            state: Mutex::new(state),
            producer_wakeup: Notify::new(),
            ack_task_wakeup: Notify::new(),
            idle: Notify::new(),
        }
    }

    /// Appends at most `demand` buffered messages to `out`, and decides which polls to start for the rest.
    pub(crate) fn take_buffered(
        &self,
        demand: usize,
        out: &mut Deliveries,
    ) -> Result<TakeResult, ConnectorError> {
        let now = now();
        let mut state = self.lock();
        if let Some(error) = state.failure.take() {
            return Err(error);
        }
        let before = out.len();
        while out.len() - before < demand
            && let Some(delivery) = state.buffer.pop_front()
        {
            // Messages that became stale in the buffer never reach the engine.
            if state.unsettled.is_stale(delivery.token) {
                state.release(delivery.token, now);
            } else {
                out.push(delivery);
            }
        }
        let n = out.len() - before;
        // Polls for what the buffer could not satisfy, unless deletes fall behind: then more messages would only make it worse.
        let mut polls = Vec::new();
        if state.phase == ProducerPhase::Running && state.ack_queue.len() < self.backlog_max {
            while let Some(max) = state.poll_limit.start(demand - n, now) {
                polls.push(max);
            }
        }
        let retry_at = state.poll_limit.paused_until(now);
        self.finish_update(state, now);
        Ok(TakeResult { n, polls, retry_at })
    }

    /// A poll that requested `max` messages has returned these.
    pub(crate) fn on_messages(&self, messages: Vec<Message>, max: usize) {
        let now = now();
        let mut state = self.lock();
        let is_spaced = state.poll_limit.on_response(max, messages.len(), now);
        for mut message in messages {
            let Some(handle) = message.receipt_handle.take() else {
                continue;
            };
            if state.phase != ProducerPhase::Running {
                // The pipeline takes no more messages, so this one goes straight back.
                let ack = PendingAck {
                    handle,
                    action: AckAction::VisibleAfter(0),
                    expires: now + self.visibility,
                };
                state.ack_queue.push(ack, now);
                continue;
            }
            let group = message
                .attributes
                .as_ref()
                .filter(|_| self.is_fifo)
                .and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId));
            let token = state
                .unsettled
                .admit(handle, group.map(String::as_str), now);
            let record = SqsRecord::new(message, self.queue.clone());
            state.remember(token, &record);
            state.buffer.push_back(Delivery::new(record, token));
        }
        self.finish_update(state, now);
        self.producer_wakeup.notify_one();
        if is_spaced {
            self.report_empty_polls();
        }
    }

    /// A poll that requested `max` messages has failed. With `failure`, the producer fails too.
    pub(crate) fn on_poll_failed(
        &self,
        max: usize,
        jitter: Jitter,
        failure: Option<ConnectorError>,
    ) {
        let mut state = self.lock();
        state.poll_limit.on_failure(max, jitter, now());
        if failure.is_some() {
            state.failure = failure;
        }
        drop(state);
        self.producer_wakeup.notify_one();
    }

    /// Makes the next call of `produce` fail.
    pub(crate) fn fail(&self, error: ConnectorError) {
        self.lock().failure = Some(error);
        self.producer_wakeup.notify_one();
    }

    pub(crate) fn settle(&self, settled: &mut Vec<Settled<Token>>) {
        let now = now();
        let mut guard = self.lock();
        let state = &mut *guard;
        for settled in settled.drain(..) {
            if matches!(settled.outcome, Outcome::Released) {
                // No handler started on it, so no result can be late.
                state.release(settled.token, now);
                continue;
            }
            let action = self.policy.choose(&settled).into();
            state.settle(settled.token, action, now);
        }
        self.finish_update(guard, now);
    }

    pub(crate) fn settle_done(&self, done: &mut Vec<Token>) {
        let now = now();
        let mut state = self.lock();
        let action = AckChoice::Success(self.policy.on_success).into();
        for token in done.drain(..) {
            state.settle(token, action, now);
        }
        self.finish_update(state, now);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().unsettled.generation()
    }

    /// The id of the message's record.
    pub(crate) fn describe(&self, token: Token) -> String {
        format!("{}@{}", self.queue, self.lock().message_id(token))
    }

    pub(crate) fn is_stale(&self, token: Token) -> bool {
        self.lock().unsettled.is_stale(token)
    }

    /// How long the message can be delayed from now on.
    pub(crate) fn delay_max(&self, token: Token) -> Option<Duration> {
        self.lock().unsettled.delay_max(token, HIDDEN_MAX, now())
    }

    /// Everything that the ack task has to do now.
    pub(crate) fn next_step(&self) -> AckTaskStep {
        let now = now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let room = EXTENSION_REQUESTS_MAX - state.extension_requests;
        let extensions = match room {
            0 => Vec::new(),
            _ => state
                .unsettled
                .due(now, room * ENTRIES_MAX, &mut state.pending_acks),
        };
        let extension_requests = extensions.len().div_ceil(ENTRIES_MAX);
        state.extension_requests += extension_requests;
        // After `due`: the end of a lease in a group can release later messages of the group.
        state.enqueue_acks(now);
        let requests: Vec<_> = std::iter::from_fn(|| state.ack_queue.next(now)).collect();
        let due = state
            .unsettled
            .next_due()
            .filter(|_| extension_requests < room);
        let mut wake_at = state.ack_queue.next_at().into_iter().chain(due).min();
        let is_idle = state.is_idle();
        let mut is_finished = false;
        if let ProducerPhase::Finishing(deadline) = state.phase {
            let end = deadline.at();
            is_finished = is_idle || end.is_some_and(|end| now >= end);
            wake_at = wake_at.into_iter().chain(end).min();
        }
        // Under the lock: updates after this compare with it to decide whether to wake the task.
        state.wake_at = wake_at;
        self.report_counts(guard);
        if is_idle {
            self.idle.notify_waiters();
        }
        AckTaskStep {
            requests,
            extensions,
            wake_at,
            is_finished,
        }
    }

    /// Applies the response to a request of the ack task.
    pub(crate) fn on_response(&self, apply: impl FnOnce(&mut ResponseUpdate<'_>)) {
        let now = now();
        let mut state = self.lock();
        let was_full = state.ack_queue.len() >= self.backlog_max;
        apply(&mut ResponseUpdate {
            state: &mut state,
            now,
        });
        state.enqueue_acks(now);
        let has_room = was_full && state.ack_queue.len() < self.backlog_max;
        drop(state);
        // Always the ack task, since a request slot is free; the producer only if the backlog kept it from polling.
        self.ack_task_wakeup.notify_one();
        if has_room {
            self.producer_wakeup.notify_one();
        }
    }

    /// Starts no more polls, and returns buffered messages to the queue.
    pub(crate) fn stop(&self) {
        let now = now();
        let mut state = self.lock();
        if state.phase == ProducerPhase::Running {
            state.phase = ProducerPhase::Stopped;
        }
        while let Some(delivery) = state.buffer.pop_front() {
            state.release(delivery.token, now);
        }
        self.finish_update(state, now);
    }

    /// Returns all messages without a result to the queue. From now on, entries do not wait for others to share their request.
    pub(crate) fn release_all(&self) {
        let now = now();
        let mut guard = self.lock();
        let state = &mut *guard;
        // Only repeats of this release count: earlier repeats, of failed messages, keep the order of a group and do not belong to the shutdown.
        let before = state.unsettled.repeats();
        state.unsettled.release_all(now, &mut state.pending_acks);
        state.repeats += state.unsettled.repeats() - before;
        state.enqueue_acks(now);
        state.ack_queue.hurry();
        drop(guard);
        self.ack_task_wakeup.notify_one();
    }

    /// The number of messages that succeeded and were returned when the source closed.
    pub(crate) fn repeats(&self) -> u64 {
        self.lock().repeats
    }

    /// No message will be settled any more: the ack task ends when nothing is left to send, at the latest at `deadline`.
    pub(crate) fn finish(&self, deadline: Deadline) {
        self.lock().phase = ProducerPhase::Finishing(deadline);
        self.ack_task_wakeup.notify_one();
    }

    /// Waits until nothing is left to send and everything is answered.
    pub(crate) async fn wait_until_idle(&self) {
        loop {
            let next = self.idle.notified();
            tokio::pin!(next);
            // Registers before the state is read, so that a notification in between is not missed.
            next.as_mut().enable();
            if self.lock().is_idle() {
                return;
            }
            next.await;
        }
    }

    /// How many entries were given up without a confirmation, and how many are left.
    pub(crate) fn unconfirmed(&self) -> (u64, usize) {
        let state = self.lock();
        let left = state.ack_queue.len() + state.unsettled.extending();
        (state.unconfirmed, left)
    }

    /// Reports how far the queue is behind, where it has this number of undeleted messages.
    pub(crate) fn report_lag(&self, messages: Option<u64>) {
        let oldest = self.lock().oldest_sent();
        self.lag.report(&self.queue, messages, oldest);
    }

    pub(crate) fn report_source_error(&self, error: &str) {
        let producer = self.producer;
        self.emitter.emit(&Event::source_error(producer, error));
    }

    pub(crate) fn report_commit_failed(&self, error: &str) {
        let producer = self.producer;
        self.emitter.emit(&Event::commit_failed(producer, error));
    }

    /// Reports that polls of an empty queue return at once and are spaced out. Each producer reports it once.
    fn report_empty_polls(&self) {
        let (url, wait_time) = (&self.source.access.url, self.source.wait_time);
        let reason = match wait_time {
            Duration::ZERO => {
                "`wait_time` is 0: 1 s or more costs less and finds messages sooner".to_owned()
            }
            _ => format!(
                "the queue does not wait for `wait_time` = {wait_time:?}: it may have its maximum number of messages in flight, or be \
                 an emulator"
            ),
        };
        self.report_source_error(&format!(
            "polls of {url} return empty at once, so one starts only every {SPACING_MAX:?} until a message comes; {reason}"
        ));
    }

    /// Enqueues acks and releases the lock; then wakes the ack task if it would sleep too long.
    fn finish_update(&self, mut state: MutexGuard<'_, SqsState>, now: Instant) {
        state.enqueue_acks(now);
        let must_wake = state.must_wake_ack_task(now);
        self.report_counts(state);
        if must_wake {
            self.ack_task_wakeup.notify_one();
        }
    }

    /// Releases the lock, then reports late results and lost messages that were not reported before.
    fn report_counts(&self, mut state: MutexGuard<'_, SqsState>) {
        let (late, lost) = (state.unsettled.late(), state.unsettled.lost());
        let reported = mem::replace(&mut state.reported, ReportedCounts { late, lost });
        let late_ids = mem::take(&mut state.late_ids);
        // Observers may call back into the pipeline, so they never run under the lock.
        drop(state);
        let queue = &*self.queue;
        if late > reported.late {
            let count = usize::try_from(late - reported.late).unwrap_or(usize::MAX);
            let describe = |index: usize| MessageInfo::new(format!("{queue}@{}", late_ids[index]));
            self.emitter.emit(&Event::late_results(
                self.producer,
                count,
                AffectedMessages::new(late_ids.len(), &describe),
            ));
        }
        if lost > reported.lost {
            let text = format!(
                "{} messages of {queue} were given up and will be delivered again: they were held for `lease_max` = {:?}, or their \
                 visibility could not be extended",
                lost - reported.lost,
                self.source.lease_max,
            );
            self.report_source_error(&text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SqsState> {
        // No code under this lock can panic half-way through a change and leave the state inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock, which the user's threads and the connector's own share.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The runtime's clock, which tests can pause.
#[cfg(test)]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
