//! [`PullInlet`]: where a processor gets its messages. From the link if messages wait there, otherwise straight from a producer.
//!
//! A producer's task waits for messages and sends them to the link. While its producer has messages at once, the task lends the
//! producer to the processors ([`Lending`]): a processor that finds the link empty then polls the producer itself, into its own
//! chunk. That takes no other task, no wake and no queue. A poll that would have to wait ends the loan: the producer returns to its
//! task.
//!
//! **No lent producer is forgotten.** While a producer is lent, an inlet is awake, which comes back to poll it:
//!
//! - An inlet parks first and then looks for a lent producer. So it sees each producer that was lent before it parked.
//! - A task that has lent its producer wakes a parked inlet, unless an inlet is awake ([`Outlet::wake_idle`]). So it sees each inlet
//!   that parked before. If all processors are suspended in their handlers, it takes its producer back and fills the link meanwhile.
//! - The last inlet that suspends wakes a parked inlet, or returns the lent producers to their tasks if none is parked
//!   ([`PullWatch`]).
//!
//! - An inlet that leaves does the same after it was dropped ([`PullWatch::left`]).
//!
//! A processor that pulled work worth a wake wakes another one, which does the same, until all are busy. One case remains: a handler
//! that took microseconds so far and suddenly blocks its thread keeps idle processors from a lent producer until it returns.
//!
//! [`Outlet::wake_idle`]: super::link::Outlet::wake_idle

use std::{
    num::NonZeroUsize,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    lending::{Borrowed, Lending},
    link::{Attempt, Inlet, SuspensionWatch},
};
use crate::{
    machine::dispatch::{Dispatch, GiveBack},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// A producer that can be polled by the processor that borrows it.
pub(crate) trait Pull<T> {
    /// Polls the producer once, for up to `max` messages, which are appended to `out`.
    fn pull(&mut self, max: NonZeroUsize, out: &mut Vec<T>) -> Pulled;

    /// Sends messages to the link, and leaves the `Vec` empty.
    fn send(&mut self, messages: &mut Vec<T>);
}

/// Who polls the producer next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// The processor that borrows it next: it had messages, and may have more.
    LendOn,
    /// Its task: it has to be waited for, has failed, or has ended.
    Return,
}

/// The producers of a topology, as its processors see them.
pub(crate) type LentProducers<P> = Vec<Arc<Lending<P>>>;

/// The receiving end of one processor.
pub(crate) struct PullInlet<T, D: Dispatch<T>, P> {
    inlet: Inlet<T, D>,
    producers: LentProducers<P>,
    /// The producer that is tried first. Moves on with each pull, so that all producers have their turn.
    next: usize,
    /// Pulled messages on their way into the link, whose dispatcher keeps their order. `None` if messages have no order.
    ordered: Option<Vec<T>>,
    /// No producer is polled while this many messages wait in the link for others of their key.
    buffered_max: Arc<AtomicUsize>,
    /// How many messages waited in the link when this inlet found none to take.
    buffered: usize,
}

impl<T, D: Dispatch<T>, P: Pull<T>> PullInlet<T, D, P> {
    pub(crate) fn new(
        inlet: Inlet<T, D>,
        producers: LentProducers<P>,
        keeps_order: bool,
        buffered_max: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            inlet,
            producers,
            next: 0,
            ordered: keeps_order.then(Vec::new),
            buffered_max,
            buffered: 0,
        }
    }

    /// Returns what reports the suspensions of this inlet's task.
    pub(crate) fn watch(&self) -> PullWatch<T, D, P> {
        PullWatch {
            suspension: self.inlet.suspension_watch(),
            producers: self.producers.clone(),
        }
    }

    /// See [`Inlet::waited`].
    pub(crate) fn waited(&self) -> bool {
        self.inlet.waited()
    }

    /// See [`Inlet::record_service_time`].
    pub(crate) fn record_service_time(&mut self, n: usize, elapsed: Duration) {
        self.inlet.record_service_time(n, elapsed);
    }

    /// See [`Inlet::keep_last`].
    pub(crate) fn keep_last(&mut self) {
        self.inlet.keep_last();
    }

    /// See [`Inlet::give_back`].
    pub(crate) fn give_back(&mut self, rest: &mut Vec<T>)
    where
        D: GiveBack<T>,
    {
        self.inlet.give_back(rest);
    }

    /// See [`Inlet::detach_last`].
    pub(crate) fn detach_last(&mut self, n: usize)
    where
        D: GiveBack<T>,
    {
        self.inlet.detach_last(n);
    }

    /// See [`Inlet::detach_unordered`].
    pub(crate) fn detach_unordered(&mut self, n: usize)
    where
        D: GiveBack<T>,
    {
        self.inlet.detach_unordered(n);
    }

    /// See [`Inlet::cancel_wait`].
    pub(crate) fn cancel_wait(&mut self) {
        self.inlet.cancel_wait();
    }

    /// Completes the chunk before, and waits for one to `max` messages, which are appended to `out`, an empty `Vec`. Returns `false`
    /// if the link has ended. Dropping the inlet withdraws the wait.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        max: NonZeroUsize,
        out: &mut Vec<T>,
    ) -> Poll<bool> {
        loop {
            if let Some(some) = self.attempt(max, out) {
                return Poll::Ready(some);
            }
            if let Poll::Ready(some) = self.inlet.poll_take(cx, max.get(), out) {
                return Poll::Ready(some);
            }
            // After it has parked: a task that lent its producer before that saw this inlet awake, and woke none.
            if self.room(max).is_none() || !any_lent(&self.producers) {
                return Poll::Pending;
            }
        }
    }

    /// Takes messages from the link or from a producer. Returns `None` if there are none now.
    fn attempt(&mut self, max: NonZeroUsize, out: &mut Vec<T>) -> Option<bool> {
        loop {
            match self.inlet.try_take(max.get(), out) {
                Attempt::Taken => return Some(true),
                Attempt::Ended => return Some(false),
                Attempt::Empty { buffered } => self.buffered = buffered,
            }
            if !self.pull(max, out) {
                return None;
            }
            if !out.is_empty() {
                return Some(true);
            }
            // The messages are in the link. Some can be taken now, unless other inlets hold all of their keys.
        }
    }

    /// Polls lent producers until one delivers. Returns whether one did.
    fn pull(&mut self, max: NonZeroUsize, out: &mut Vec<T>) -> bool {
        let Some(max) = self.room(max) else {
            return false;
        };
        for _ in 0..self.producers.len() {
            let producer = &self.producers[self.next];
            self.next = (self.next + 1) % self.producers.len();
            let Some(mut producer) = producer.borrow() else {
                continue;
            };
            let (pulled, count) = poll_once(&mut producer, max, out, &mut self.ordered);
            match pulled {
                // Before another inlet is woken: it must find the producer.
                Pulled::LendOn => producer.lend_on(),
                Pulled::Return => drop(producer),
            }
            if count > 0 {
                if pulled == Pulled::LendOn {
                    self.inlet.wake_another(count);
                }
                return true;
            }
        }
        false
    }

    /// Returns how many messages may be pulled. `None` if too many wait in the link.
    fn room(&self, max: NonZeroUsize) -> Option<NonZeroUsize> {
        if self.ordered.is_none() {
            return Some(max);
        }
        // Two chunks: several messages of a key that are taken together cost less than one by one.
        let buffered_max = self.buffered_max.load(Relaxed);
        let room = NonZeroUsize::new(buffered_max.saturating_sub(self.buffered))?;
        Some(room.min(max.saturating_add(max.get())))
    }
}

/// Polls a producer once. Returns how many messages it delivered.
fn poll_once<T, P: Pull<T>>(
    producer: &mut Borrowed<'_, P>,
    max: NonZeroUsize,
    out: &mut Vec<T>,
    ordered: &mut Option<Vec<T>>,
) -> (Pulled, usize) {
    let Some(ordered) = ordered else {
        let pulled = producer.value().pull(max, out);
        return (pulled, out.len());
    };
    let pulled = producer.value().pull(max, ordered);
    let count = ordered.len();
    // Before the producer goes to the next borrower: its messages enter the link in their order.
    producer.value().send(ordered);
    (pulled, count)
}

fn any_lent<P>(producers: &[Arc<Lending<P>>]) -> bool {
    producers.iter().any(|producer| producer.is_lent())
}

/// Reports the suspensions of a processor's task.
pub(crate) struct PullWatch<T, D: Dispatch<T>, P> {
    suspension: SuspensionWatch<T, D>,
    producers: LentProducers<P>,
}

impl<T, D: Dispatch<T>, P> PullWatch<T, D, P> {
    /// To be called when the inlet was dropped while others stay: leaves the lent producers to another processor, or, if all are
    /// suspended, to their tasks. A task that lends its producer from then on finds the inlet gone.
    pub(crate) fn left(&self) {
        if any_lent(&self.producers) && !self.suspension.wake_idle() {
            self.producers.iter().for_each(|producer| producer.recall());
        }
    }

    /// Leaves the lent producers to another processor, or, if all are suspended, to their tasks.
    pub(crate) fn suspended(&self) {
        let is_lent = any_lent(&self.producers);
        if !self.suspension.suspended(is_lent) && is_lent {
            self.producers.iter().for_each(|producer| producer.recall());
        }
    }
}
