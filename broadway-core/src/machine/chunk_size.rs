//! [`ChunkSize`]: how many messages a processor takes at once.
//!
//! Large chunks are cheap, but a slow message must not hold back the rest of its chunk, which an idle processor could
//! handle. A chunk should therefore hold about `target` worth of work. After each chunk the processor reports how many
//! messages it held and how long they took; the next limit is the number that would fit into the target at that pace.
//! The limit at most doubles at once, and only after a full chunk, because a smaller chunk reveals nothing about larger
//! ones. A handler that *suspends* (returns pending) waits for something else, and the time measured is not work: then
//! the limit becomes the number of messages that were done before.
//!
//! The limit starts at 1 and stays between 1 and `max`. Full speed is reached after log2(`max`) chunks. A chunk exceeds
//! the target when its messages are slower than those before it, by the slowness of that one chunk. Congestion windows in
//! TCP's slow start have the same shape: grow by doubling, cut to the measurement.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The adaptive limit on the chunks of one processor.
///
/// ```
/// use broadway_core::machine::chunk_size::ChunkSize;
/// use std::{num::NonZeroUsize, time::Duration};
///
/// let max = NonZeroUsize::new(100).expect("not zero");
/// let mut size = ChunkSize::new(max, Duration::from_millis(1));
/// assert_eq!(size.limit(), 1);
/// size.finished(1, Duration::from_micros(10));
/// assert_eq!(size.limit(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct ChunkSize {
    max: usize,
    target_ns: u128,
    limit: usize,
}

impl ChunkSize {
    /// The default target: long beside the cost of taking a chunk, short beside the time a message may wait.
    pub const TARGET: Duration = Duration::from_millis(1);

    /// Creates a limit for chunks of 1 to `max` messages that should take at most `target`. The first limit is 1.
    ///
    /// A target of zero keeps every chunk at one message.
    #[must_use]
    pub const fn new(max: NonZeroUsize, target: Duration) -> Self {
        Self {
            max: max.get(),
            target_ns: target.as_nanos(),
            limit: 1,
        }
    }

    /// Returns how many messages the next chunk may hold: 1 to `max`.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Records that a chunk of `n` messages was handled in `elapsed` without a suspension.
    pub fn finished(&mut self, n: usize, elapsed: Duration) {
        if n == 0 {
            return;
        }
        let was_full = n >= self.limit;
        let grown = if was_full {
            self.limit.saturating_mul(2)
        } else {
            self.limit
        };
        self.set(grown.min(self.fitting(n, elapsed)));
    }

    /// Records that the handler of a chunk suspended for the first time after `done` messages.
    pub fn suspended(&mut self, done: usize) {
        self.set(done);
    }

    /// Returns how many messages fit into the target at the pace of `n` in `elapsed`.
    fn fitting(&self, n: usize, elapsed: Duration) -> usize {
        // usize::MAX * u64::MAX fits; a target above 584 years saturates.
        let work = (n as u128).saturating_mul(self.target_ns);
        match work.checked_div(elapsed.as_nanos()) {
            Some(fitting) => usize::try_from(fitting).unwrap_or(usize::MAX),
            None if self.target_ns == 0 => 1,
            None => usize::MAX,
        }
    }

    fn set(&mut self, limit: usize) {
        self.limit = limit.clamp(1, self.max);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn size(max: usize) -> ChunkSize {
        ChunkSize::new(NonZeroUsize::new(max).unwrap(), ChunkSize::TARGET)
    }

    fn grown(max: usize) -> ChunkSize {
        let mut size = size(max);
        while size.limit() < max {
            size.finished(size.limit(), Duration::ZERO);
        }
        size
    }

    #[test]
    fn fast_full_chunks_double_the_limit_up_to_max() {
        let mut size = size(10);
        let limits: Vec<_> = (0..6)
            .map(|_| {
                let limit = size.limit();
                size.finished(limit, Duration::from_micros(1));
                limit
            })
            .collect();
        assert_eq!(limits, [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn a_chunk_that_was_not_full_does_not_grow_the_limit() {
        let mut size = size(10);
        size.finished(1, Duration::ZERO);
        size.finished(1, Duration::ZERO);
        assert_eq!(size.limit(), 2);
    }

    #[test]
    fn a_slow_chunk_cuts_the_limit_to_what_fits() {
        let mut size = grown(100);
        size.finished(100, Duration::from_millis(4));
        assert_eq!(size.limit(), 25);
        size.finished(25, Duration::from_secs(10));
        assert_eq!(size.limit(), 1);
    }

    #[test]
    fn a_steady_pace_settles_at_the_target() {
        let mut size = grown(100);
        for _ in 0..10 {
            let n = size.limit();
            size.finished(n, Duration::from_micros(300) * u32::try_from(n).unwrap());
        }
        assert_eq!(size.limit(), 3);
    }

    #[test]
    fn a_suspended_handler_leaves_what_was_done_before() {
        let mut size = grown(100);
        size.suspended(7);
        assert_eq!(size.limit(), 7);
        size.suspended(0);
        assert_eq!(size.limit(), 1);
    }

    #[test]
    fn extremes_stay_within_bounds() {
        let mut size = ChunkSize::new(NonZeroUsize::MAX, Duration::MAX);
        size.finished(usize::MAX, Duration::from_nanos(1));
        assert_eq!(size.limit(), 2);
        size.finished(0, Duration::MAX);
        assert_eq!(size.limit(), 2);
        let mut size = ChunkSize::new(NonZeroUsize::MAX, Duration::ZERO);
        size.finished(1, Duration::ZERO);
        assert_eq!(size.limit(), 1);
    }
}
