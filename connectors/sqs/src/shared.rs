//! What polls, keeper, producer and acknowledger share: the values that decide, under one lock, and the bells between them.

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
    Deadline, Delivery, OpenContext, Settled,
    connector::LagReporter,
    telemetry::{Affected, Emitter, Event, MessageInfo},
};
use tokio::sync::Notify;

use crate::{
    config::Sqs,
    keeper::EXTENSIONS_MAX,
    leases::{Ending, Parting, Token},
    options::{AckOptions, Policy},
    outbox::BATCH_MAX,
    pace::SPACE_MAX,
    record::SqsRecord,
    state::{Answered, Phase, State, Step, Taken, Told},
};

#[cfg(test)]
mod tests;

/// While so many entries for each request that may be made wait in the outbox, no polls begin.
const BACKLOG: usize = 40;

/// What a producer hands out.
pub(crate) type Out = Vec<Delivery<SqsRecord, Token>>;

pub(crate) struct Shared {
    pub(crate) producer: usize,
    emitter: Emitter,
    pub(crate) lag: LagReporter,
    /// Its clients are replaced by these two, whose time-outs fit.
    pub(crate) source: Sqs,
    pub(crate) polls: Client,
    pub(crate) acks: Client,
    queue: Arc<str>,
    is_fifo: bool,
    visibility: Duration,
    policy: Policy,
    backlog_max: usize,
    state: Mutex<State>,
    /// Something has changed for who produces.
    pub(crate) bell: Notify,
    /// Something has changed for the keeper.
    pub(crate) keeper: Notify,
    /// Nothing is left to be said.
    idle: Notify,
}

impl Shared {
    pub(crate) fn new(
        source: Sqs,
        (polls, acks): (Client, Client),
        visibility: Duration,
        cx: &OpenContext,
    ) -> Self {
        let address = source.access.address();
        let state = State::new(&source, visibility);
        Self {
            producer: cx.producer(),
            emitter: cx.emitter().clone(),
            lag: LagReporter::new(cx),
            polls,
            acks,
            queue: Arc::from(address.name.as_str()),
            is_fifo: address.is_fifo(),
            visibility,
            policy: source.policy,
            backlog_max: source.deletes_max * BACKLOG,
            source,
            state: Mutex::new(state),
            bell: Notify::new(),
            keeper: Notify::new(),
            idle: Notify::new(),
        }
    }

    /// Gives what is there, at most `demand`, and says which polls to begin for the rest.
    pub(crate) fn take(&self, demand: usize, out: &mut Out) -> Result<Taken, String> {
        let now = now();
        let mut state = self.lock();
        if let Some(error) = state.failure.take() {
            return Err(error);
        }
        let before = out.len();
        while out.len() - before < demand
            && let Some(delivery) = state.buffer.pop_front()
        {
            // What has become stale here never gets to the engine.
            if state.ledger.is_stale(delivery.token) {
                state.release(delivery.token, now);
            } else {
                out.push(delivery);
            }
        }
        let n = out.len() - before;
        let mut polls = Vec::new();
        if state.phase == Phase::Running && state.outbox.len() < self.backlog_max {
            while let Some(ask) = state.pace.begin(demand - n, now) {
                polls.push(ask);
            }
        }
        let again_at = state.pace.quiet_until(now);
        self.release_lock(state, now);
        Ok(Taken { n, polls, again_at })
    }

    /// A poll that asked for `ask` messages has brought these.
    pub(crate) fn arrived(&self, messages: Vec<Message>, ask: usize) {
        let now = now();
        let mut state = self.lock();
        let is_spaced = state.pace.answered(ask, messages.len(), now);
        for mut message in messages {
            let Some(handle) = message.receipt_handle.take() else {
                continue;
            };
            if state.phase != Phase::Running {
                let expires = now + self.visibility;
                let (ending, parting_at) = (Ending::Visible(0), now);
                let parting = Parting {
                    handle,
                    ending,
                    expires,
                };
                state.outbox.push(parting, parting_at);
                continue;
            }
            let group = message
                .attributes
                .as_ref()
                .filter(|_| self.is_fifo)
                .and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId));
            let token = state.ledger.admit(handle, group.map(String::as_str), now);
            let record = SqsRecord::new(message, self.queue.clone());
            state.name(token, &record);
            state.buffer.push_back(Delivery::new(record, token));
        }
        self.release_lock(state, now);
        self.bell.notify_one();
        if is_spaced {
            self.tell_spaced();
        }
    }

    /// A poll that asked for `ask` messages has failed.
    pub(crate) fn missed(&self, ask: usize, jitter: u64, failure: Option<String>) {
        let mut state = self.lock();
        state.pace.failed(ask, jitter, now());
        if failure.is_some() {
            state.failure = failure;
        }
        drop(state);
        self.bell.notify_one();
    }

    /// The producer fails with this text.
    pub(crate) fn fail(&self, text: String) {
        self.lock().failure = Some(text);
        self.bell.notify_one();
    }

    pub(crate) fn settle(&self, settled: &mut Vec<Settled<Token>>) {
        let now = now();
        let mut guard = self.lock();
        let state = &mut *guard;
        for settled in settled.drain(..) {
            if !settled.outcome.is_done() && !settled.outcome.is_failed() {
                // No handler began it, so there is no result that could be late.
                state.release(settled.token, now);
                continue;
            }
            let options = settled.options::<AckOptions>();
            let ending = self.policy.ending(&settled.outcome, options);
            let partings = &mut state.partings;
            let late = state.ledger.late();
            state.ledger.settle(settled.token, ending, now, partings);
            if state.ledger.late() > late {
                state.note_late(settled.token);
            }
        }
        self.release_lock(guard, now);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().ledger.generation()
    }

    /// Which message it is, as its record's id says.
    pub(crate) fn describe(&self, token: Token) -> String {
        format!("{}@{}", self.queue, self.lock().id(token))
    }

    pub(crate) fn is_stale(&self, token: Token) -> bool {
        self.lock().ledger.is_stale(token)
    }

    /// Everything that the keeper has to do now.
    pub(crate) fn step(&self) -> Step {
        let now = now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let room = EXTENSIONS_MAX - state.extensions;
        let extensions = match room {
            0 => Vec::new(),
            _ => state.ledger.due(now, room * BATCH_MAX, &mut state.partings),
        };
        let requests = extensions.len().div_ceil(BATCH_MAX);
        state.extensions += requests;
        state.post(now);
        let batches: Vec<_> = std::iter::from_fn(|| state.outbox.next(now)).collect();
        let due = state.ledger.next_due().filter(|_| requests < room);
        let mut wake = state.outbox.next_at().into_iter().chain(due).min();
        let is_idle = state.is_idle();
        let mut is_over = false;
        if let Phase::Ended(deadline) = state.phase {
            let end = deadline.at();
            is_over = is_idle || end.is_some_and(|end| now >= end);
            wake = wake.into_iter().chain(end).min();
        }
        state.wake = wake;
        self.tell_counts(guard);
        if is_idle {
            self.idle.notify_waiters();
        }
        Step {
            batches,
            extensions,
            wake,
            is_over,
        }
    }

    /// A request of the keeper was answered; `digest` writes down what that means.
    pub(crate) fn answered(&self, digest: impl FnOnce(&mut Answered<'_>)) {
        let now = now();
        let mut state = self.lock();
        let was_full = state.outbox.len() >= self.backlog_max;
        digest(&mut Answered {
            state: &mut state,
            now,
        });
        state.post(now);
        let has_room = was_full && state.outbox.len() < self.backlog_max;
        drop(state);
        self.keeper.notify_one();
        if has_room {
            self.bell.notify_one();
        }
    }

    /// Fetches no more and gives back what nobody has got yet.
    pub(crate) fn stop(&self) {
        let now = now();
        let mut state = self.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Stopped;
        }
        while let Some(delivery) = state.buffer.pop_front() {
            state.release(delivery.token, now);
        }
        self.release_lock(state, now);
    }

    /// Gives back what nobody has settled, and lets nothing wait any more.
    pub(crate) fn abandon(&self) {
        let now = now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let before = state.ledger.repeats();
        state.ledger.abandon(now, &mut state.partings);
        state.repeats += state.ledger.repeats() - before;
        state.post(now);
        state.outbox.hurry();
        drop(guard);
        self.keeper.notify_one();
    }

    /// How many messages were done and went back when the source ended.
    pub(crate) fn repeats(&self) -> u64 {
        self.lock().repeats
    }

    /// Nobody settles any more: the keeper may end, and has to at `deadline`.
    pub(crate) fn end(&self, deadline: Deadline) {
        self.lock().phase = Phase::Ended(deadline);
        self.keeper.notify_one();
    }

    /// Waits until nothing is left to be said.
    pub(crate) async fn all_said(&self) {
        loop {
            let next = self.idle.notified();
            tokio::pin!(next);
            // From here on a ring counts, also one between the look and the wait.
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
        let left = state.outbox.len() + state.ledger.extending();
        (state.unconfirmed, left)
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.emitter.emit(event);
    }

    /// Tells how far the queue is behind, where it holds so many messages that are not deleted.
    pub(crate) fn tell_lag(&self, messages: Option<u64>) {
        let oldest = self.lock().oldest_sent();
        self.lag.report(&self.queue, messages, oldest);
    }

    pub(crate) fn tell_trouble(&self, error: &str) {
        let producer = self.producer;
        self.emit(&Event::SourceTrouble { producer, error });
    }

    pub(crate) fn tell_unconfirmed(&self, error: &str) {
        let producer = self.producer;
        self.emit(&Event::CommitFailed { producer, error });
    }

    /// Polls come back empty at once, and are made more rarely. Told once by each producer.
    fn tell_spaced(&self) {
        let (url, wait_time) = (&self.source.access.url, self.source.wait_time);
        let why = match wait_time {
            Duration::ZERO => {
                "`wait_time` is 0: 1 s or more costs less and brings messages sooner".to_owned()
            }
            _ => format!(
                "the queue does not wait for `wait_time` = {wait_time:?}: as many messages may be in flight as it allows, or it is a \
                 stand-in"
            ),
        };
        self.tell_trouble(&format!(
            "polls of {url} come back empty at once, so they are made only every {SPACE_MAX:?} until a message comes; {why}"
        ));
    }

    /// Sends on what has ended, and lets go of the lock; then wakes the keeper if it would sleep too long.
    fn release_lock(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        state.post(now);
        let is_keeper_wanted = state.is_keeper_wanted(now);
        self.tell_counts(state);
        if is_keeper_wanted {
            self.keeper.notify_one();
        }
    }

    /// Tells of late results and lost messages that nobody has heard of, without the lock.
    fn tell_counts(&self, mut state: MutexGuard<'_, State>) {
        let (late, lost) = (state.ledger.late(), state.ledger.lost());
        let told = mem::replace(&mut state.told, Told { late, lost });
        let late_ids = mem::take(&mut state.late_ids);
        drop(state);
        let queue = &*self.queue;
        if late > told.late {
            let count = usize::try_from(late - told.late).unwrap_or(usize::MAX);
            let describe = |index: usize| MessageInfo::new(format!("{queue}@{}", late_ids[index]));
            self.emit(&Event::LateResults {
                producer: self.producer,
                count,
                affected: Affected::new(late_ids.len(), &describe),
            });
        }
        if lost > told.lost {
            let text = format!(
                "{} messages of {queue} are not ours any more: they were held for `hold_max` = {:?}, or could not be kept hidden; \
                 they will be delivered again",
                lost - told.lost,
                self.source.hold_max,
            );
            self.tell_trouble(&text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half-way through a change that the next one could not live with.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock, which is one for the threads of the user and the connector's own.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The clock of the runtime, which tests can hold.
#[cfg(test)]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
