//! Wakers that are collected under a lock and woken after it is released.

use std::task::Waker;

/// Wakers held without an allocation.
const INLINE: usize = 8;

/// Holds up to 8 wakers without allocating; more spill into a `Vec`.
#[derive(Default)]
pub(super) struct WakeList {
    inline: [Option<Waker>; INLINE],
    len: usize,
    spilled: Vec<Waker>,
}

impl WakeList {
    pub(super) fn push(&mut self, waker: Waker) {
        if self.len < INLINE {
            self.inline[self.len] = Some(waker);
            self.len += 1;
        } else {
            self.spilled.push(waker);
        }
    }

    pub(super) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        wakers.into_iter().for_each(|waker| self.push(waker));
    }

    /// Wakes all. Must not be called under a lock: a waker may run any code.
    pub(super) fn wake(self) {
        let Self {
            inline,
            spilled,
            len,
        } = self;
        if len > 0 {
            inline
                .into_iter()
                .flatten()
                .chain(spilled)
                .for_each(Waker::wake);
        }
    }
}
