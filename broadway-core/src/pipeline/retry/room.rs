//! [`RetryRoom`]: how many messages may wait to be handled again.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits the messages that wait in all retry queues of a topology.
#[derive(Debug)]
pub(in crate::pipeline) struct RetryRoom {
    /// One permit for each message. Fair: a batch is not overtaken by single messages forever.
    free: Arc<Semaphore>,
    max: u32,
    /// From here on messages go back to their source, if that can delay them: it delivers no more than a certain number of unsettled
    /// messages, and waiting ones must not use them all up.
    crowded_at: u32,
}

/// Room for the messages of one item, until it is dropped.
#[derive(Debug)]
pub(in crate::pipeline) struct RetryPermit(OwnedSemaphorePermit);

impl RetryRoom {
    /// `in_flight_max` is how many messages a source delivers before it waits for their settlement.
    pub(in crate::pipeline) fn new(max: usize, in_flight_max: usize) -> Self {
        let clamped = |n: usize| u32::try_from(n.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let max = clamped(max);
        Self {
            free: Arc::new(Semaphore::new(max as usize)),
            max,
            crowded_at: max.min(clamped(in_flight_max / 2)),
        }
    }

    /// Waits for room for `n` messages, behind those that wait already. A batch that is larger than the limit waits until nothing else
    /// does.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(in crate::pipeline) async fn reserve(&self, n: usize) -> RetryPermit {
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(self.max);
        let permit = Arc::clone(&self.free).acquire_many_owned(n).await;
        RetryPermit(permit.expect("the semaphore is never closed"))
    }

    /// Whether messages go back to their source, if that can delay them.
    pub(in crate::pipeline) fn is_crowded(&self) -> bool {
        let used = self.max as usize - self.free.available_permits();
        used >= self.crowded_at as usize
    }
}

impl RetryPermit {
    /// Frees what `left` messages do not need.
    pub(in crate::pipeline) fn shrink(&mut self, left: usize) {
        let freed = self.0.num_permits().saturating_sub(left);
        drop(self.0.split(freed));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_batch_above_the_limit_waits_alone() {
        let room = RetryRoom::new(10, 40);
        let mut large = room.reserve(50).now_or_never().unwrap();
        assert!(room.reserve(1).now_or_never().is_none());
        large.shrink(12);
        assert!(room.reserve(1).now_or_never().is_none());
        large.shrink(9);
        let small = room.reserve(1).now_or_never().unwrap();
        drop(large);
        assert!(!room.is_crowded());
        drop(small);
        let all = room.reserve(10).now_or_never().unwrap();
        assert!(room.is_crowded());
        drop(all);
    }

    #[test]
    fn a_batch_that_waits_is_not_overtaken() {
        let room = RetryRoom::new(10, 40);
        let first = room.reserve(1).now_or_never();
        let mut batch = Box::pin(room.reserve(10));
        assert!(batch.as_mut().now_or_never().is_none());
        assert!(room.reserve(1).now_or_never().is_none());
        drop(first);
        assert!(batch.now_or_never().is_some());
    }

    #[test]
    fn a_limit_of_none_is_accepted() {
        let room = RetryRoom::new(usize::MAX, usize::MAX);
        assert!(room.reserve(usize::MAX).now_or_never().is_some());
    }
}
