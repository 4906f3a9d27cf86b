//! What is held of a subscription: every message between its arrival and its last word, with the handler that says it.
//!
//! A handler is what the client gives with each message: acknowledging and giving back go through it, the client keeps the
//! message under lease as long as it lives, and the client's shutdown waits for the last one. So handlers do not travel with
//! messages, where one could leak. They stay here, and a message carries the number of its slot; closing takes them all.
//!
//! ```text
//! stream ── arrive ──▶ ready ── take ──▶ engine ── settle ──▶ done: acknowledged, slot free
//!    ▲                                              │    └───▶ failed: waits in `delays`, then given back, slot free
//!    └── room ◀── slots and bytes below the limits ─┘
//! ```
//!
//! One lock guards it all, taken once for each chunk and each group, never across an await.

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

use broadway_core::{BoxError, Delivery};
use google_cloud_pubsub::{
    model::Message,
    subscriber::handler::{ExactlyOnce, Handler},
};
use tokio::sync::Notify;

use crate::{ack::Token, options::Verdict, record::PubSubRecord};

/// Beyond this a clock may overflow, and every lease has ended long before.
const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The most that is held at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Everything held for one producer.
pub(crate) struct Held {
    limits: Limits,
    /// How long the client keeps a lease.
    max_lease: Duration,
    state: Mutex<State>,
    /// Something is ready, or the stream has ended.
    arrived: Notify,
    /// There is room again, or there will be no more reading.
    roomy: Notify,
    /// There will be no more reading.
    stopping: Notify,
    /// What is due first has changed.
    delayed: Notify,
    /// The leases of all that is held are lost.
    is_lost: AtomicBool,
}

#[derive(Default)]
struct State {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    bytes: usize,
    ready: VecDeque<Delivery<PubSubRecord, Token>>,
    delays: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Why the stream has ended, until it is told.
    error: Option<String>,
    is_stopping: bool,
    /// Nobody minds delays any more.
    is_abandoned: bool,
}

struct Slot {
    handler: Handler,
    bytes: usize,
    arrived: Instant,
    /// The message id, for logs.
    id: Box<str>,
    published: Option<SystemTime>,
}

/// How many of the messages whose results were late are named.
const LATE_IDS_MAX: usize = 3;

/// A message that has ended.
pub(crate) struct Ended {
    pub(crate) token: Token,
    pub(crate) verdict: Verdict,
    /// Whether a handler has dealt with it.
    pub(crate) is_result: bool,
}

/// What [`Held::settle`] has found.
#[derive(Default)]
pub(crate) struct Settling {
    /// To be acknowledged with a confirmation.
    pub(crate) to_confirm: Vec<Unconfirmed>,
    /// Results of messages that are not held any more, or whose leases have ended.
    pub(crate) late: usize,
    /// The ids of the first of these, where they are known.
    pub(crate) late_ids: Vec<Box<str>>,
}

/// To be acknowledged with a confirmation: the message of this id.
pub(crate) struct Unconfirmed {
    pub(crate) id: Box<str>,
    pub(crate) handler: ExactlyOnce,
}

impl Held {
    pub(crate) fn new(limits: Limits, max_lease: Duration) -> Self {
        Self {
            limits,
            max_lease,
            state: Mutex::default(),
            arrived: Notify::new(),
            roomy: Notify::new(),
            stopping: Notify::new(),
            delayed: Notify::new(),
            is_lost: AtomicBool::new(false),
        }
    }

    /// How much more may be read, as soon as it is something. `None`: nothing more is to be read.
    pub(crate) async fn room(&self) -> Option<Limits> {
        loop {
            {
                let state = self.lock();
                if state.is_stopping {
                    return None;
                }
                let room = Limits {
                    messages: self.limits.messages.saturating_sub(state.count()),
                    bytes: self.limits.bytes.saturating_sub(state.bytes),
                };
                if room.messages > 0 && room.bytes > 0 {
                    return Some(room);
                }
            }
            self.roomy.notified().await;
        }
    }

    /// Takes in what the stream has brought.
    pub(crate) fn arrive(&self, chunk: &mut Vec<(Message, Handler)>) {
        let arrived = Instant::now();
        let mut state = self.lock();
        for (message, handler) in chunk.drain(..) {
            let attempt = handler.delivery_attempt();
            let record = PubSubRecord::new(message, attempt);
            let token = state.insert(Slot {
                bytes: record.data().len(),
                handler,
                arrived,
                id: record.message_id().into(),
                published: record.publish_time(),
            });
            state.ready.push_back(Delivery::new(record, token));
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// The stream has ended. With `lost`, so have the leases of all that is held.
    pub(crate) fn fail(&self, error: String, lost: bool) {
        if lost {
            self.is_lost.store(true, Ordering::Release);
        }
        self.lock().error.get_or_insert(error);
        self.arrived.notify_one();
    }

    /// What is ready, at most `demand`; the error only after it.
    pub(crate) fn take(
        &self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<PubSubRecord, Token>>,
    ) -> Option<Result<(), BoxError>> {
        let mut state = self.lock();
        if state.ready.is_empty() {
            return state.error.take().map(|error| Err(error.into()));
        }
        let count = demand.get().min(state.ready.len());
        out.extend(state.ready.drain(..count));
        Some(Ok(()))
    }

    /// Whether the stream has given a sign: a message, or why it ended. The error is given once.
    pub(crate) fn sign(&self) -> Option<Result<(), String>> {
        let mut state = self.lock();
        match state.error.take() {
            Some(error) => Some(Err(error)),
            None => (!state.ready.is_empty()).then_some(Ok(())),
        }
    }

    /// Returns after [`arrive`](Self::arrive) or [`fail`](Self::fail). For one waiter.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Says to the service what is to be said, and makes room.
    pub(crate) fn settle(&self, ended: impl Iterator<Item = Ended>) -> Settling {
        let mut settling = Settling::default();
        let mut is_delayed = false;
        let (now, is_lost) = (Instant::now(), self.is_lost());
        let mut state = self.lock();
        for Ended {
            token,
            verdict,
            is_result,
        } in ended
        {
            let age = state.age(token, now).filter(|_| !is_lost);
            let is_leased = age.is_some_and(|age| age < self.max_lease);
            if is_result && !is_leased {
                settling.late += 1;
                if settling.late_ids.len() < LATE_IDS_MAX {
                    settling.late_ids.extend(state.id(token).map(Box::from));
                }
            }
            match verdict {
                Verdict::NackAfter(delay) if !state.is_abandoned => {
                    is_delayed |= state.delay(token, delay);
                }
                Verdict::Ack => {
                    if let Some(Slot { id, handler, .. }) = state.remove_slot(token) {
                        match handler {
                            Handler::ExactlyOnce(handler) => {
                                settling.to_confirm.push(Unconfirmed { id, handler });
                            }
                            handler => handler.ack(),
                        }
                    }
                }
                Verdict::Nack | Verdict::NackAfter(_) => {
                    let handler = state.remove(token);
                    handler.into_iter().for_each(Handler::nack);
                }
            }
        }
        drop(state);
        self.roomy.notify_one();
        if is_delayed {
            self.delayed.notify_one();
        }
        settling
    }

    /// When the first delayed message is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().delays.peek().map(|Reverse((due, _))| *due)
    }

    /// Returns when what is due first may have changed. For one waiter.
    pub(crate) async fn delayed(&self) {
        self.delayed.notified().await;
    }

    /// Gives back what is due.
    pub(crate) fn give_back_due(&self, now: Instant) {
        let mut state = self.lock();
        while let Some(Reverse((due, slot))) = state.delays.peek().copied() {
            if due > now {
                break;
            }
            state.delays.pop();
            state
                .remove(Token(slot))
                .into_iter()
                .for_each(Handler::nack);
        }
        drop(state);
        self.roomy.notify_one();
    }

    /// No more is read.
    pub(crate) fn stop_reading(&self) {
        self.lock().is_stopping = true;
        self.roomy.notify_one();
        self.stopping.notify_one();
    }

    /// Returns when no more is to be read. For one waiter.
    pub(crate) async fn stopped(&self) {
        while !self.lock().is_stopping {
            self.stopping.notified().await;
        }
    }

    /// Gives back what nobody was given.
    pub(crate) fn give_back_idle(&self) {
        let mut state = self.lock();
        for delivery in std::mem::take(&mut state.ready) {
            let handler = state.remove(delivery.token);
            handler.into_iter().for_each(Handler::nack);
        }
    }

    /// The producer is gone without a farewell: what was delivered may still end, all else is given back, now and from now on.
    pub(crate) fn abandon(&self) {
        self.stop_reading();
        self.give_back_idle();
        let mut state = self.lock();
        state.is_abandoned = true;
        while let Some(Reverse((_, slot))) = state.delays.pop() {
            state
                .remove(Token(slot))
                .into_iter()
                .for_each(Handler::nack);
        }
    }

    /// Gives back everything. How many of them nobody had settled.
    pub(crate) fn let_go(&self) -> usize {
        self.abandon();
        let mut state = self.lock();
        let rest = std::mem::take(&mut state.slots);
        state.free.clear();
        state.bytes = 0;
        let rest = rest.into_iter().flatten();
        rest.map(|slot| slot.handler.nack()).count()
    }

    /// Which message it is, as its record's id says.
    pub(crate) fn describe(&self, token: Token) -> String {
        self.lock().id(token).unwrap_or_default().to_owned()
    }

    /// When the oldest message that is held was published.
    pub(crate) fn oldest_published(&self) -> Option<SystemTime> {
        let state = self.lock();
        let held = state.slots.iter().flatten();
        held.filter_map(|slot| slot.published).min()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; a poisoned lock would only hide the first panic behind others.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn insert(&mut self, slot: Slot) -> Token {
        self.bytes += slot.bytes;
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(slot);
            return Token(index);
        }
        let index = u32::try_from(self.slots.len()).expect("limits are below 2^32 messages");
        self.slots.push(Some(slot));
        Token(index)
    }

    /// `None` after [`Held::let_go`]: every token comes back once.
    fn remove(&mut self, token: Token) -> Option<Handler> {
        self.remove_slot(token).map(|slot| slot.handler)
    }

    fn remove_slot(&mut self, token: Token) -> Option<Slot> {
        let slot = self.slots.get_mut(token.0 as usize)?.take()?;
        self.free.push(token.0);
        self.bytes -= slot.bytes;
        Some(slot)
    }

    /// Which message it is, while it is held.
    fn id(&self, token: Token) -> Option<&str> {
        let slot = self.slots.get(token.0 as usize)?.as_ref()?;
        Some(&slot.id)
    }

    /// How long ago a message that is held has arrived.
    fn age(&self, token: Token, now: Instant) -> Option<Duration> {
        let slot = self.slots.get(token.0 as usize)?.as_ref()?;
        Some(now.saturating_duration_since(slot.arrived))
    }

    /// Whether it is the first that is due now.
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
