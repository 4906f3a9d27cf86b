//! Wakers that are collected under a lock and woken after it is released.

use std::task::Waker;

/// Holds up to two wakers without an allocation. Most locks wake nothing, and most others one task, so an empty list is small and quick to
/// make and drop.
#[derive(Default)]
pub(super) struct WakeList {
    first: Option<Waker>,
    second: Option<Waker>,
    /// More, after those. Empty unless both are set.
    others: Vec<Waker>,
}

impl WakeList {
    pub(super) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else if self.second.is_none() {
            self.second = Some(waker);
        } else {
            self.others.push(waker);
        }
    }

    pub(super) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        wakers.into_iter().for_each(|waker| self.push(waker));
    }

    /// Wakes all. Must not be called under a lock: a waker may run any code.
    #[inline]
    pub(super) fn wake(self) {
        if self.first.is_some() {
            self.wake_some();
        }
    }

    #[inline(never)]
    fn wake_some(self) {
        let Self {
            first,
            second,
            others,
        } = self;
        first
            .into_iter()
            .chain(second)
            .chain(others)
            .for_each(Waker::wake);
    }
}
