//! A queue in memory: messages are leased, and those of one key go to one consumer at a time, in order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use broadway_core::Outgoing;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// One queue; clones share it.
#[derive(Clone)]
pub(crate) struct Broker {
    lease: Duration,
    state: Arc<Mutex<State>>,
    moved: Arc<Notify>,
}

#[derive(Default)]
struct State {
    consumers: u64,
    /// All that is not acknowledged, by the order in which it was published.
    messages: BTreeMap<u64, Entry>,
    published: u64,
    done: Vec<(u64, Outgoing)>,
}

struct Entry {
    message: Outgoing,
    holder: Option<Holder>,
    /// How often it was taken.
    deliveries: u32,
    /// Until when it is kept from all consumers.
    delayed_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Holder {
    consumer: u64,
    until: Instant,
}

impl Broker {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            lease,
            state: Arc::default(),
            moved: Arc::default(),
        }
    }

    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    pub(crate) fn connect(&self) -> u64 {
        let mut state = self.lock();
        state.consumers += 1;
        state.consumers
    }

    pub(crate) fn publish(&self, message: Outgoing) {
        let mut state = self.lock();
        let number = state.published;
        state.published += 1;
        let entry = Entry {
            message,
            holder: None,
            deliveries: 0,
            delayed_until: None,
        };
        state.messages.insert(number, entry);
        drop(state);
        self.moved.notify_waiters();
    }

    /// Leases up to `n` messages to the consumer, waiting for the first. Nothing is taken when the future is dropped.
    pub(crate) async fn take(&self, consumer: u64, n: usize) -> Vec<(u64, Outgoing)> {
        loop {
            let moved = self.moved.notified();
            let mut moved = std::pin::pin!(moved);
            moved.as_mut().enable();
            let next_end = {
                let mut state = self.lock();
                let taken = state.take(consumer, n, self.lease);
                if !taken.is_empty() {
                    return taken;
                }
                let entries = state.messages.values();
                let leases = entries.clone().filter_map(|entry| entry.holder);
                let delays = entries.filter_map(|entry| entry.delayed_until);
                leases.map(|holder| holder.until).chain(delays).min()
            };
            match next_end {
                Some(end) => drop(timeout_at(end, moved).await),
                None => moved.await,
            }
        }
    }

    /// Leases up to `n` messages to the consumer, as far as there are any.
    pub(crate) fn take_now(&self, consumer: u64, n: usize) -> Vec<(u64, Outgoing)> {
        self.lock().take(consumer, n, self.lease)
    }

    /// Acknowledges a message of the consumer; whether there was one.
    pub(crate) fn ack(&self, consumer: u64, number: u64) -> bool {
        let mut state = self.lock();
        let is_held = state.is_held_by(consumer, number);
        if is_held && let Some(entry) = state.messages.remove(&number) {
            state.done.push((number, entry.message));
        }
        drop(state);
        self.moved.notify_waiters();
        is_held
    }

    /// Removes a message, whoever has it.
    pub(crate) fn remove(&self, number: u64) {
        self.lock().messages.remove(&number);
    }

    pub(crate) fn give_back(&self, consumer: u64, numbers: impl IntoIterator<Item = u64>) {
        let mut state = self.lock();
        for number in numbers {
            if state.is_held_by(consumer, number)
                && let Some(entry) = state.messages.get_mut(&number)
            {
                entry.holder = None;
            }
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// Keeps a message of the consumer from everyone for this time.
    pub(crate) fn delay(&self, consumer: u64, number: u64, time: Duration) {
        let mut state = self.lock();
        if state.is_held_by(consumer, number)
            && let Some(entry) = state.messages.get_mut(&number)
        {
            entry.delayed_until = Some(Instant::now() + time);
        }
        drop(state);
        self.give_back(consumer, [number]);
    }

    /// How often a message was taken.
    pub(crate) fn deliveries(&self, number: u64) -> u32 {
        let state = self.lock();
        state
            .messages
            .get(&number)
            .map_or(0, |entry| entry.deliveries)
    }

    /// All that the consumer holds.
    pub(crate) fn held(&self, consumer: u64) -> Vec<u64> {
        let state = self.lock();
        let numbers = state.messages.keys().copied();
        numbers
            .filter(|number| state.is_held_by(consumer, *number))
            .collect()
    }

    pub(crate) fn is_held(&self, consumer: u64, number: u64) -> bool {
        self.lock().is_held_by(consumer, number)
    }

    /// The last `n` that were acknowledged.
    pub(crate) fn done_last(&self, n: usize) -> Vec<(u64, Outgoing)> {
        let state = self.lock();
        state.done[state.done.len().saturating_sub(n)..].to_vec()
    }

    pub(crate) fn extend(&self, consumer: u64) {
        let until = Instant::now() + self.lease;
        for entry in self.lock().messages.values_mut() {
            if let Some(holder) = &mut entry.holder
                && holder.consumer == consumer
                && holder.until > Instant::now()
            {
                holder.until = until;
            }
        }
    }

    pub(crate) fn unacknowledged(&self) -> u64 {
        self.lock().messages.len() as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, consumer: u64, n: usize, lease: Duration) -> Vec<(u64, Outgoing)> {
        let now = Instant::now();
        for entry in self.messages.values_mut() {
            entry.holder = entry.holder.filter(|holder| holder.until > now);
            entry.delayed_until = entry.delayed_until.filter(|until| *until > now);
        }
        let others = self.messages.values().filter(|entry| {
            let holder = entry.holder;
            holder.is_some_and(|holder| holder.consumer != consumer)
        });
        let busy: Vec<_> = others
            .filter_map(|entry| entry.message.message_key().cloned())
            .collect();
        let free = self.messages.iter_mut().filter(|(_, entry)| {
            let key = entry.message.message_key();
            let is_free = entry.holder.is_none() && entry.delayed_until.is_none();
            is_free && key.is_none_or(|key| !busy.contains(key))
        });
        let taken = free.take(n).map(|(number, entry)| {
            let until = now + lease;
            entry.holder = Some(Holder { consumer, until });
            entry.deliveries += 1;
            (*number, entry.message.clone())
        });
        taken.collect()
    }

    fn is_held_by(&self, consumer: u64, number: u64) -> bool {
        let holder = self.messages.get(&number).and_then(|entry| entry.holder);
        holder.is_some_and(|holder| holder.consumer == consumer && holder.until > Instant::now())
    }
}
