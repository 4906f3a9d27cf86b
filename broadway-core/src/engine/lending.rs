//! [`Lending`]: a value that its owner lends to other threads, which use it for a moment each.
//!
//! A pipeline's producer is lent to the processors while it has messages at once: a processor that needs messages then calls it on
//! its own thread, and no task has to be woken. When the producer has to be waited for, the borrower returns it to its owner, a task
//! that can wait.
//!
//! One atomic number holds the state. The value itself lies behind a lock that no thread waits for: only the thread that the state
//! names takes it. `tests/link-model` tries all orders.

use std::task::{Context, Poll, Waker};

use crate::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicU8,
        Ordering::{AcqRel, Acquire},
    },
};

/// The owner has the value, or may collect it.
const OWNED: u8 = 0;
/// The value lies here for anyone to borrow.
const LENT: u8 = 1;
/// A borrower has it.
const BORROWED: u8 = 2;
/// A borrower has it and must return it to the owner.
const RECALLED: u8 = 3;

/// A value with one owner, and borrowers that take turns.
pub(crate) struct Lending<V> {
    state: AtomicU8,
    value: Mutex<Option<V>>,
    /// Wakes the owner.
    owner: Mutex<Option<Waker>>,
}

impl<V> Lending<V> {
    /// Creates a lending whose owner has the value.
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(OWNED),
            value: Mutex::new(None),
            owner: Mutex::new(None),
        }
    }

    /// Whether the value can be borrowed now.
    pub(crate) fn is_lent(&self) -> bool {
        self.state.load(Acquire) == LENT
    }

    /// Borrows the value. Returns `None` if the owner or another borrower has it.
    pub(crate) fn borrow(&self) -> Option<Borrowed<'_, V>> {
        // Looked at first: most calls find a state that no exchange could change, and a failed exchange costs as much as one that
        // succeeds.
        if !self.is_lent() || !self.transition(LENT, BORROWED) {
            return None;
        }
        let value = lock(&self.value).take();
        Some(Borrowed {
            lending: self,
            value: Some(value.expect("a lent value is here")),
        })
    }

    /// Lends the value. Only for the owner, when it has the value.
    pub(crate) fn lend(&self, value: V) {
        *lock(&self.value) = Some(value);
        let before = self.state.swap(LENT, AcqRel);
        debug_assert_eq!(before, OWNED, "only the owner lends");
    }

    /// Returns the value to its owner, from any thread: at once if it is not borrowed, otherwise when its borrower is done. Does nothing
    /// if the owner has it.
    pub(crate) fn recall(&self) {
        loop {
            if self.transition(LENT, OWNED) {
                return self.wake_owner();
            }
            if self.transition(BORROWED, RECALLED) || self.is_returning() {
                return;
            }
            // A borrower took the value, or left it, between the two exchanges.
        }
    }

    /// Waits until the value is returned to its owner. Only for the owner, after [`lend`](Self::lend).
    pub(crate) fn poll_returned(&self, cx: &mut Context<'_>) -> Poll<V> {
        let before = lock(&self.owner).replace(cx.waker().clone());
        // After the lock: dropping a waker may run any code.
        drop(before);
        // After the waker is in place: a borrower that returns the value from here on wakes it.
        if self.state.load(Acquire) != OWNED {
            return Poll::Pending;
        }
        let value = lock(&self.value).take();
        Poll::Ready(value.expect("the value is collected once"))
    }

    fn transition(&self, from: u8, to: u8) -> bool {
        let exchanged = self.state.compare_exchange(from, to, AcqRel, Acquire);
        exchanged.is_ok()
    }

    /// Whether the owner has the value, or the borrower will return it.
    fn is_returning(&self) -> bool {
        matches!(self.state.load(Acquire), OWNED | RECALLED)
    }

    fn return_to_owner(&self) {
        self.state.swap(OWNED, AcqRel);
        self.wake_owner();
    }

    fn wake_owner(&self) {
        let owner = lock(&self.owner).take();
        if let Some(owner) = owner {
            owner.wake();
        }
    }
}

/// A borrowed value. Dropping it returns the value to the owner.
pub(crate) struct Borrowed<'a, V> {
    lending: &'a Lending<V>,
    /// `None` only while it is dropped.
    value: Option<V>,
}

impl<V> Borrowed<'_, V> {
    pub(crate) fn value(&mut self) -> &mut V {
        self.value.as_mut().expect("there until it is dropped")
    }

    /// Leaves the value to the next borrower, or to the owner if it was recalled.
    pub(crate) fn lend_on(mut self) {
        *lock(&self.lending.value) = self.value.take();
        if !self.lending.transition(BORROWED, LENT) {
            self.lending.return_to_owner();
        }
    }
}

impl<V> Drop for Borrowed<'_, V> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            *lock(&self.lending.value) = Some(value);
            self.lending.return_to_owner();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
