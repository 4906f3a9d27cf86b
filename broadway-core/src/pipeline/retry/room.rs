//! [`RetryRoom`]: how many messages may wait to be handled again.

use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Limits the messages that wait in all retry queues of a topology.
#[derive(Debug)]
pub(in crate::pipeline) struct RetryRoom {
    used: Mutex<usize>,
    max: usize,
    /// From here on messages go back to their source, if that can delay them: it delivers no more than a certain number of unsettled
    /// messages, and waiting ones must not use them all up.
    crowded_at: usize,
    freed: Notify,
}

impl RetryRoom {
    /// `in_flight_max` is how many messages a source delivers before it waits for their settlement.
    pub(in crate::pipeline) fn new(max: usize, in_flight_max: usize) -> Self {
        Self {
            used: Mutex::new(0),
            max,
            crowded_at: max.min(in_flight_max / 2),
            freed: Notify::new(),
        }
    }

    /// Takes room for `n` messages, if there is as much. A batch that is larger than the limit fits if nothing else waits.
    fn try_reserve(&self, n: usize) -> bool {
        let mut used = self.lock();
        let fits = *used == 0 || used.saturating_add(n) <= self.max;
        if fits {
            *used += n;
        }
        fits
    }

    /// Waits for room for `n` messages, and takes it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(in crate::pipeline) async fn reserve(&self, n: usize) {
        loop {
            // Enabled before the look: room that is freed in between is not missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.try_reserve(n) {
                return;
            }
            freed.await;
        }
    }

    pub(in crate::pipeline) fn free(&self, n: usize) {
        if n == 0 {
            return;
        }
        *self.lock() -= n;
        self.freed.notify_waiters();
    }

    /// Whether messages go back to their source, if that can delay them.
    pub(in crate::pipeline) fn is_crowded(&self) -> bool {
        *self.lock() >= self.crowded_at
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_above_the_limit_waits_alone() {
        let room = RetryRoom::new(10, 40);
        assert!(room.try_reserve(50));
        assert!(!room.try_reserve(1));
        room.free(50);
        assert!(!room.is_crowded());
        assert!(room.try_reserve(10) && !room.try_reserve(1));
        assert!(room.is_crowded());
    }
}
