//! All messages that were received and not settled, each with the client's handler: [`UnsettledMessages`].
//!
//! The client returns a handler with each message. Acks and nacks go through it, the client keeps the message under lease as long as
//! the handler lives, and the client's shutdown waits for the last one. So handlers do not travel with messages, where one could leak.
//! They stay here, a message carries the number of its slot, and closing takes all of them.
//!
//! ```text
//! stream ── receive ──▶ ready ── take_ready ──▶ engine ── settle ──▶ done: acked, slot free
//!    ▲                                                       │  └───▶ failed: waits in `delays`, then nacked, slot free
//!    └── room ◀── slots and bytes below the limits ──────────┘
//! ```
//!
//! One lock guards the state. It is taken once for each chunk and each group of results, and never held across an await.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    num::NonZeroUsize,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use broadway_core::{Delivery, connector::ConnectorError};
use google_cloud_pubsub::{
    model::Message,
    subscriber::handler::{ExactlyOnce, Handler},
};
use tokio::sync::Notify;

use crate::{options::AckAction, record::PubSubRecord};

/// Longer delays could overflow a clock, and every lease ends long before.
const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How many late messages are reported by id.
const LATE_IDS_MAX: usize = 3;

/// Identifies an unsettled message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(u32);

/// Maximum number of outstanding messages and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutstandingLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The unsettled messages of one producer.
pub(crate) struct UnsettledMessages {
    limits: OutstandingLimits,
    /// How long the client keeps a lease.
    lease_max: Duration,
    state: Mutex<UnsettledState>,
    /// A message is ready, or the stream has ended.
    ready: Notify,
    /// There is room again, or reading stops.
    room: Notify,
    /// Reading stops.
    stopping: Notify,
    /// The earliest delay has changed.
    delayed: Notify,
    /// The leases of all unsettled messages are lost.
    is_lost: AtomicBool,
}

#[derive(Default)]
struct UnsettledState {
    slots: Vec<Option<UnsettledMessage>>,
    free: Vec<u32>,
    bytes: usize,
    ready: VecDeque<Delivery<PubSubRecord, Token>>,
    /// Messages to nack, by time.
    delays: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Why the stream has ended, until it is returned.
    error: Option<ConnectorError>,
    is_stopping: bool,
    /// The task that nacks delayed messages is gone.
    is_abandoned: bool,
}

struct UnsettledMessage {
    handler: Handler,
    bytes: usize,
    received: Instant,
    /// The message id, for logs.
    id: Box<str>,
    published: Option<SystemTime>,
}

/// A message with a result.
pub(crate) struct SettledMessage {
    pub(crate) token: Token,
    pub(crate) action: AckAction,
    /// Whether a handler produced the result, rather than a release.
    pub(crate) is_handled: bool,
}

/// What [`UnsettledMessages::settle`] returns.
#[derive(Default)]
pub(crate) struct SettleReport {
    pub(crate) to_confirm: Vec<ExactlyOnceAck>,
    /// The number of results whose messages are not unsettled any more, or whose leases have expired.
    pub(crate) late: usize,
    /// The ids of the first of these, if they are known.
    pub(crate) late_ids: Vec<Box<str>>,
}

/// A message with this id to acknowledge with a confirmation.
pub(crate) struct ExactlyOnceAck {
    pub(crate) id: Box<str>,
    pub(crate) handler: ExactlyOnce,
}

impl UnsettledMessages {
    pub(crate) fn new(limits: OutstandingLimits, lease_max: Duration) -> Self {
        Self {
            limits,
            lease_max,
            state: Mutex::default(),
            ready: Notify::new(),
            room: Notify::new(),
            stopping: Notify::new(),
            delayed: Notify::new(),
            is_lost: AtomicBool::new(false),
        }
    }

    /// Waits until there is room, and returns how much. Returns `None` when reading stops. For one waiter.
    pub(crate) async fn room(&self) -> Option<OutstandingLimits> {
        loop {
            {
                let state = self.lock();
                if state.is_stopping {
                    return None;
                }
                let room = OutstandingLimits {
                    messages: self.limits.messages.saturating_sub(state.count()),
                    bytes: self.limits.bytes.saturating_sub(state.bytes),
                };
                if room.messages > 0 && room.bytes > 0 {
                    return Some(room);
                }
            }
            // A change between the check and here is kept by the `Notify`, so none is missed.
            self.room.notified().await;
        }
    }

    /// Adds messages from the stream.
    pub(crate) fn receive(&self, chunk: &mut Vec<(Message, Handler)>) {
        let received = Instant::now();
        let mut state = self.lock();
        for (message, handler) in chunk.drain(..) {
            let attempt = handler.delivery_attempt();
            let record = PubSubRecord::new(message, attempt);
            let token = state.insert(UnsettledMessage {
                bytes: record.data().len(),
                handler,
                received,
                id: record.message_id().into(),
                published: record.publish_time(),
            });
            state.ready.push_back(Delivery::new(record, token));
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Records that the stream has ended. The first error counts.
    pub(crate) fn fail(&self, error: ConnectorError) {
        self.lock().error.get_or_insert(error);
        self.ready.notify_one();
    }

    /// As [`fail`](Self::fail), for a dead connection: the leases of all unsettled messages are lost too.
    pub(crate) fn lose(&self, error: ConnectorError) {
        // Before the error: when `produce` has returned it, the engine asks at once which messages are stale.
        self.is_lost.store(true, Ordering::Release);
        self.fail(error);
    }

    /// Appends at most `demand` ready messages to `out`. Returns the error of the stream only after the last message, and `None` if
    /// there is neither.
    pub(crate) fn take_ready(
        &self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<PubSubRecord, Token>>,
    ) -> Option<Result<(), ConnectorError>> {
        let mut state = self.lock();
        if state.ready.is_empty() {
            return state.error.take().map(Err);
        }
        let count = demand.get().min(state.ready.len());
        out.extend(state.ready.drain(..count));
        Some(Ok(()))
    }

    /// Whether the stream has returned a message or an error. The error is returned once.
    pub(crate) fn first_sign(&self) -> Option<Result<(), ConnectorError>> {
        let mut state = self.lock();
        match state.error.take() {
            Some(error) => Some(Err(error)),
            None => (!state.ready.is_empty()).then_some(Ok(())),
        }
    }

    /// Waits for [`receive`](Self::receive) or [`fail`](Self::fail). For one waiter.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Acks, nacks or delays messages, and makes room.
    pub(crate) fn settle(&self, settled: impl Iterator<Item = SettledMessage>) -> SettleReport {
        let mut report = SettleReport::default();
        let mut is_delayed = false;
        let (now, is_lost) = (Instant::now(), self.is_lost());
        let mut state = self.lock();
        for SettledMessage {
            token,
            action,
            is_handled,
        } in settled
        {
            let age = state.age(token, now).filter(|_| !is_lost);
            let is_leased = age.is_some_and(|age| age < self.lease_max);
            if is_handled && !is_leased {
                report.late += 1;
                if report.late_ids.len() < LATE_IDS_MAX {
                    report.late_ids.extend(state.id(token).map(Box::from));
                }
            }
            match action {
                // The message keeps its slot, so it stays under lease and counts as outstanding.
                AckAction::NackAfter(delay) if !state.is_abandoned => {
                    is_delayed |= state.delay(token, delay);
                }
                AckAction::Ack => {
                    if let Some(UnsettledMessage { id, handler, .. }) = state.remove(token) {
                        match handler {
                            Handler::ExactlyOnce(handler) => {
                                report.to_confirm.push(ExactlyOnceAck { id, handler });
                            }
                            handler => handler.ack(),
                        }
                    }
                }
                AckAction::Nack | AckAction::NackAfter(_) => state.nack(token),
            }
        }
        drop(state);
        self.room.notify_one();
        if is_delayed {
            self.delayed.notify_one();
        }
        report
    }

    /// How long the client can keep the message under lease from now on. A tenth of the limit is reserve for a nack that is sent late.
    /// `None` if the lease is lost, and once reading stops, since closing ends delays.
    pub(crate) fn delay_max(&self, token: Token) -> Option<Duration> {
        let state = self.lock();
        let age = state.age(token, Instant::now())?;
        let left = (self.lease_max / 10 * 9).saturating_sub(age);
        let is_kept = !self.is_lost() && !state.is_stopping && !left.is_zero();
        is_kept.then(|| left.min(DELAY_MAX))
    }

    /// When the first delayed message is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().delays.peek().map(|Reverse((due, _))| *due)
    }

    /// Waits until [`next_due`](Self::next_due) may have changed. For one waiter.
    pub(crate) async fn delayed(&self) {
        self.delayed.notified().await;
    }

    /// Nacks delayed messages that are due.
    pub(crate) fn nack_due(&self, now: Instant) {
        let mut state = self.lock();
        while let Some(Reverse((due, slot))) = state.delays.peek().copied() {
            if due > now {
                break;
            }
            state.delays.pop();
            state.nack(Token(slot));
        }
        drop(state);
        self.room.notify_one();
    }

    /// Stops reading.
    pub(crate) fn stop_reading(&self) {
        self.lock().is_stopping = true;
        self.room.notify_one();
        self.stopping.notify_one();
    }

    /// Waits until reading stops. For one waiter.
    pub(crate) async fn stopped(&self) {
        while !self.lock().is_stopping {
            self.stopping.notified().await;
        }
    }

    /// Nacks messages that were not delivered to the engine.
    pub(crate) fn nack_ready(&self) {
        let mut state = self.lock();
        for delivery in std::mem::take(&mut state.ready) {
            state.nack(delivery.token);
        }
    }

    /// For a producer that is dropped: messages that were delivered can still be settled; all others, and delayed ones, are nacked now
    /// and from now on.
    pub(crate) fn abandon(&self) {
        self.stop_reading();
        self.nack_ready();
        let mut state = self.lock();
        // Under the lock that `settle` takes: a delay was either added before and is drained here, or becomes a nack.
        state.is_abandoned = true;
        while let Some(Reverse((_, slot))) = state.delays.pop() {
            state.nack(Token(slot));
        }
    }

    /// Nacks all messages. Returns how many had no result.
    pub(crate) fn nack_all(&self) -> usize {
        self.abandon();
        let mut state = self.lock();
        // Tokens that are settled after this find no slot and are ignored.
        let rest = std::mem::take(&mut state.slots);
        state.free.clear();
        state.bytes = 0;
        let rest = rest.into_iter().flatten();
        rest.map(|message| message.handler.nack()).count()
    }

    /// The id of the message's record. Empty if it is settled.
    pub(crate) fn describe(&self, token: Token) -> String {
        self.lock().id(token).unwrap_or_default().to_owned()
    }

    /// When the oldest unsettled message was published.
    pub(crate) fn oldest_published(&self) -> Option<SystemTime> {
        let state = self.lock();
        let messages = state.slots.iter().flatten();
        messages.filter_map(|message| message.published).min()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, UnsettledState> {
        // No code under this lock panics half-way. A poisoned lock would only hide the first panic behind others.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl UnsettledState {
    fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn insert(&mut self, message: UnsettledMessage) -> Token {
        self.bytes += message.bytes;
        // Slots are reused without a generation, since each token is settled once.
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(message);
            return Token(slot);
        }
        let slot = u32::try_from(self.slots.len()).expect("limits are below 2^32 messages");
        self.slots.push(Some(message));
        Token(slot)
    }

    fn nack(&mut self, token: Token) {
        if let Some(message) = self.remove(token) {
            message.handler.nack();
        }
    }

    /// Frees the slot. Returns `None` after [`UnsettledMessages::nack_all`], which took the message already.
    fn remove(&mut self, token: Token) -> Option<UnsettledMessage> {
        let message = self.slots.get_mut(token.0 as usize)?.take()?;
        self.free.push(token.0);
        self.bytes -= message.bytes;
        Some(message)
    }

    fn id(&self, token: Token) -> Option<&str> {
        let message = self.slots.get(token.0 as usize)?.as_ref()?;
        Some(&message.id)
    }

    /// How long ago the message was received.
    fn age(&self, token: Token, now: Instant) -> Option<Duration> {
        let message = self.slots.get(token.0 as usize)?.as_ref()?;
        Some(now.saturating_duration_since(message.received))
    }

    /// Delays a message. Returns whether it is now the first that is due.
    fn delay(&mut self, token: Token, delay: Duration) -> bool {
        let due = Instant::now() + delay.min(DELAY_MAX);
        let is_first = self
            .delays
            .peek()
            .is_none_or(|Reverse((first, _))| due < *first);
        self.delays.push(Reverse((due, token.0)));
        is_first
    }
}
