//! Whether a worker has been inside one call for too long: for a watchdog that looks from time to time.
//!
//! A worker counts its turns: odd while it runs, even while it waits. A watchdog that sees the same odd count again and again tells
//! that the worker has not come back, without a clock on the worker's side. It tells once when the time is over, and again each time
//! that it has doubled.

use std::time::{Duration, Instant};

/// What is known of one worker.
#[derive(Debug, Clone)]
pub struct Watch {
    after: Duration,
    seen: u64,
    since: Instant,
    next: Duration,
}

impl Watch {
    /// Tells when a worker has been in one turn for `after`.
    #[must_use]
    pub const fn new(after: Duration, now: Instant) -> Self {
        Self {
            after,
            seen: 0,
            since: now,
            next: after,
        }
    }

    /// Looks at the worker's count. Returns how long it has been in this turn, at least, if that is to be told now.
    pub fn look(&mut self, turns: u64, now: Instant) -> Option<Duration> {
        let is_inside = turns % 2 == 1;
        if !is_inside || turns != self.seen {
            self.seen = turns;
            self.since = now;
            self.next = self.after;
            return None;
        }
        let blocked = now.saturating_duration_since(self.since);
        if blocked < self.next {
            return None;
        }
        self.next = blocked.saturating_mul(2);
        Some(blocked)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_that_does_not_come_back_is_told_of_less_and_less_often() {
        let start = Instant::now();
        let mut watch = Watch::new(SECOND * 10, start);
        let told: Vec<u32> = (0..100)
            .filter(|at| watch.look(7, start + SECOND * *at).is_some())
            .collect();
        assert_eq!(told, [10, 20, 40, 80]);
    }

    proptest! {
        /// The naive model remembers every look.
        #[test]
        fn only_one_turn_of_that_length_is_told(
            looks in prop::collection::vec((0..4_u64, 1..5_u32), 1..60),
            after in 1..10_u32,
        ) {
            let start = Instant::now();
            let mut watch = Watch::new(SECOND * after, start);
            let (mut now, mut seen) = (start, Vec::new());
            for (turns, seconds) in looks {
                now += SECOND * seconds;
                seen.push((turns, now));
                let told = watch.look(turns, now);
                let same = seen.iter().rev().take_while(|(other, _)| *other == turns);
                let blocked = now - same.last().unwrap().1;
                if let Some(told) = told {
                    prop_assert!(turns % 2 == 1);
                    prop_assert_eq!(told, blocked);
                    prop_assert!(blocked >= SECOND * after);
                }
                if turns % 2 == 0 || blocked < SECOND * after {
                    prop_assert_eq!(told, None);
                }
            }
        }
    }
}
