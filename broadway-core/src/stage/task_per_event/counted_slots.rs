//! [`CountedSlots`]: the slots of a subscription, which tasks free without a lock.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{machine::task_slots::TaskSlots, stage::Subscription};

/// A subscription, and the slots that its events occupy. Tasks that end are counted with an atomic; the slots record them by the
/// number that makes a request due.
pub(super) struct CountedSlots {
    subscription: Subscription,
    request_size: u64,
    /// Tasks that have ended.
    ended: AtomicU64,
    /// No more events are requested: the subscription was cancelled, or the stage ends.
    closed: AtomicBool,
    slots: Mutex<TaskSlots>,
}

impl CountedSlots {
    pub(super) fn new(subscription: Subscription, slots: TaskSlots) -> Self {
        Self {
            subscription,
            request_size: slots.request_size() as u64,
            ended: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            slots: Mutex::new(slots),
        }
    }

    /// Requests events for all slots, at the start.
    pub(super) fn request_all(&self) {
        self.ask_for(TaskSlots::request);
    }

    /// Records that a task has ended. Requests events if enough slots are free. No lock of the stage may be held.
    pub(super) fn freed(&self) {
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        if ended.is_multiple_of(self.request_size) && !self.closed.load(Ordering::Relaxed) {
            let request_size = usize::try_from(self.request_size).expect("it was a `usize`");
            self.ask_for(|slots| slots.ended(request_size));
        }
    }

    /// Requests no more events.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn ask_for(&self, count: impl FnOnce(&mut TaskSlots) -> usize) {
        // A binding of its own, so that the lock is released before the producer is asked.
        let n = count(&mut self.slots.lock().unwrap_or_else(PoisonError::into_inner));
        // Does nothing if the subscription has ended.
        self.subscription.ask(n);
    }
}
