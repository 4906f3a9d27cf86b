//! [`Progress`]: how far a flow is, how fast, and how long it will take.
//!
//! The rate is the average over the last ten seconds, and over the whole run before that. Unlike an exponentially weighted average it has
//! an exact meaning, forgets a slow start after ten seconds, and is zero ten seconds after the last item.

use std::{collections::VecDeque, time::Duration};

/// Counts items, and computes the rate and the time left.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    total: Option<u64>,
    done: u64,
    started: i64,
    /// The highest share before the total changed.
    floor: f64,
    /// The count at the end of each slot of time with an update, oldest first. At most one of them is older than the last ten seconds.
    slots: VecDeque<(i64, u64)>,
}

/// The progress at one point in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProgressSnapshot {
    /// The number of items done.
    pub(crate) done: u64,
    /// The number of all items, if known.
    pub(crate) total: Option<u64>,
    /// Items per second, over the last ten seconds.
    pub(crate) per_second: f64,
    /// The share of items done, from 0 to 1. It never falls, even if the total grows.
    pub(crate) share: Option<f64>,
    /// The time left at this rate; `None` if the total is unknown, or while no item is done.
    pub(crate) left: Option<Duration>,
}

/// The time over which the rate is averaged, in milliseconds.
const AVERAGED: i64 = 10_000;
/// Updates within a slot count as one. This bounds the memory: there are at most `AVERAGED / SLOT + 2` slots.
const SLOT: i64 = 100;

impl Progress {
    /// Starts at `now_ms` with no item done.
    pub(crate) fn new(total: Option<u64>, now_ms: i64) -> Self {
        Self {
            total,
            done: 0,
            started: now_ms,
            floor: 0.0,
            slots: VecDeque::new(),
        }
    }

    /// Sets the number of all items, when it becomes known or changes.
    pub(crate) fn set_total(&mut self, total: Option<u64>) {
        self.floor = self.share().unwrap_or(self.floor);
        self.total = total;
    }

    /// Sets the number of items done. A lower number than before is ignored.
    pub(crate) fn update(&mut self, now_ms: i64, done: u64) {
        self.done = self.done.max(done);
        let newest = self.slots.back().map_or(i64::MIN, |(slot, _)| *slot);
        let slot = slot(now_ms.max(self.started)).max(newest);
        if slot > newest {
            self.slots.push_back((slot, self.done));
        } else if let Some((_, count)) = self.slots.back_mut() {
            *count = self.done;
        }
        let outdated = self.before(slot * SLOT);
        self.slots.drain(..outdated.saturating_sub(1));
    }

    /// Adds to the number of items done.
    pub(crate) fn add(&mut self, now_ms: i64, n: u64) {
        self.update(now_ms, self.done.saturating_add(n));
    }

    /// Returns the progress at `now_ms`, which must not be before the last update.
    pub(crate) fn snapshot(&self, now_ms: i64) -> ProgressSnapshot {
        let elapsed = now_ms.saturating_sub(self.started);
        let earlier = match self.before(now_ms) {
            _ if elapsed < AVERAGED => 0,
            0 => 0,
            n => self.slots[n - 1].1,
        };
        let per_second = if elapsed <= 0 {
            0.0
        } else {
            (self.done - earlier) as f64 * 1000.0 / elapsed.min(AVERAGED) as f64
        };
        ProgressSnapshot {
            done: self.done,
            total: self.total,
            per_second,
            share: self.share(),
            left: self.left(per_second),
        }
    }

    /// The number of slots that are not within the last ten seconds.
    fn before(&self, now_ms: i64) -> usize {
        let start = slot(now_ms.saturating_sub(AVERAGED));
        self.slots.partition_point(|(slot, _)| *slot <= start)
    }

    fn share(&self) -> Option<f64> {
        let share = match self.total? {
            0 => 1.0,
            total => self.done.min(total) as f64 / total as f64,
        };
        Some(share.max(self.floor))
    }

    fn left(&self, per_second: f64) -> Option<Duration> {
        match self.total?.saturating_sub(self.done) {
            0 => Some(Duration::ZERO),
            left if per_second > 0.0 => Duration::try_from_secs_f64(left as f64 / per_second).ok(),
            _ => None,
        }
    }
}

const fn slot(millis: i64) -> i64 {
    millis.div_euclid(SLOT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rate_counts_from_the_start_at_first() {
        let mut progress = Progress::new(Some(100), 1000);
        progress.update(3000, 20);
        let snapshot = progress.snapshot(3000);
        assert_eq!(snapshot.per_second, 10.0);
        assert_eq!(snapshot.share, Some(0.2));
        assert_eq!(snapshot.left, Some(Duration::from_secs(8)));
    }

    #[test]
    fn the_rate_counts_the_last_ten_seconds_later() {
        let mut progress = Progress::new(None, 0);
        for second in 0..=20 {
            progress.update(second * 1000, second.min(10) as u64);
        }
        assert_eq!(progress.snapshot(15_000).done, 10);
        assert_eq!(progress.snapshot(20_000).per_second, 0.0);
        progress.update(21_000, 60);
        assert_eq!(progress.snapshot(21_000).per_second, 5.0);
        assert_eq!(progress.snapshot(21_000).left, None);
        assert_eq!(progress.snapshot(21_000).share, None);
    }

    #[test]
    fn a_stalled_flow_slows_down_without_updates() {
        let mut progress = Progress::new(Some(20), 0);
        progress.update(1000, 10);
        assert_eq!(progress.snapshot(1000).per_second, 10.0);
        assert_eq!(progress.snapshot(5000).per_second, 2.0);
        let stalled = progress.snapshot(12_000);
        assert_eq!((stalled.per_second, stalled.left), (0.0, None));
    }

    #[test]
    fn no_time_and_no_items_give_no_rate() {
        let progress = Progress::new(Some(0), 5);
        let snapshot = progress.snapshot(5);
        assert_eq!((snapshot.per_second, snapshot.share), (0.0, Some(1.0)));
        assert_eq!(snapshot.left, Some(Duration::ZERO));
        assert_eq!(progress.snapshot(i64::MIN).per_second, 0.0);
    }

    #[test]
    fn the_share_does_not_fall_when_the_total_grows() {
        let mut progress = Progress::new(Some(10), 0);
        progress.update(1000, 5);
        progress.set_total(Some(100));
        assert_eq!(progress.snapshot(1000).share, Some(0.5));
        progress.update(2000, 80);
        assert_eq!(progress.snapshot(2000).share, Some(0.8));
        progress.set_total(None);
        progress.set_total(Some(1000));
        assert_eq!(progress.snapshot(2000).share, Some(0.8));
    }

    #[test]
    fn the_number_of_slots_is_bounded() {
        let mut progress = Progress::new(None, 0);
        for now in 0..100_000 {
            progress.update(now, now as u64);
        }
        assert!(progress.slots.len() <= (AVERAGED / SLOT + 2) as usize);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_rate_matches_the_whole_history(
            total in proptest::option::of(0..500u64),
            start in -20_000..20_000i64,
            steps in proptest::collection::vec((0..4000i64, 0..50u64, proptest::option::weighted(0.1, 0..500u64)), 0..60),
        ) {
            let mut progress = Progress::new(total, start);
            let (mut now, mut done, mut share) = (start, 0, 0.0);
            let mut history = Vec::new();
            for (later, more, changed) in steps {
                now += later;
                if more % 3 == 0 {
                    done += more;
                    history.push((now, done));
                    progress.update(now, done);
                }
                if let Some(total) = changed {
                    progress.set_total(Some(total));
                }
                let snapshot = progress.snapshot(now);
                let from = now - 10_000;
                let earlier = history.iter()
                    .filter(|(at, _)| from >= start && at.div_euclid(100) <= from.div_euclid(100))
                    .map(|(_, done)| *done)
                    .max()
                    .unwrap_or(0);
                let seconds = (now - start).min(10_000) as f64 / 1000.0;
                if seconds == 0.0 {
                    prop_assert_eq!(snapshot.per_second, 0.0);
                } else {
                    let expected = (done - earlier) as f64 / seconds;
                    prop_assert!((snapshot.per_second - expected).abs() < 1e-6);
                }
                prop_assert!(snapshot.per_second.is_finite() && snapshot.per_second >= 0.0);
                if let Some(next) = snapshot.share {
                    prop_assert!((share..=1.0).contains(&next), "{} after {}", next, share);
                    share = next;
                }
                if let (Some(left), Some(total)) = (snapshot.left, snapshot.total) {
                    let items = left.as_secs_f64() * snapshot.per_second;
                    prop_assert!((items - total.saturating_sub(done) as f64).abs() < 1e-3);
                }
            }
        }
    }
}
