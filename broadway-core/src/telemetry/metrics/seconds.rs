//! [`SecondsCounter`]: a counter of elapsed time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ::metrics::Counter;

use super::catalog::Metric;

/// A counter of seconds. The facade's counters are integers, so fractions of a second are kept here until they make a
/// whole one.
#[derive(Debug)]
pub(super) struct SecondsCounter {
    counter: Counter,
    nanos: AtomicU64,
}

impl SecondsCounter {
    pub(super) fn new(metric: &Metric, values: &[&str]) -> Self {
        Self {
            counter: metric.counter(values),
            nanos: AtomicU64::new(0),
        }
    }

    pub(super) fn add(&self, duration: Duration) {
        const SECOND: u64 = 1_000_000_000;
        // 2^64 ns are 584 years.
        let nanos = duration.as_nanos() as u64;
        let before = self.nanos.fetch_add(nanos, Ordering::Relaxed);
        let whole = before.wrapping_add(nanos) / SECOND - before / SECOND;
        if whole > 0 {
            self.counter.increment(whole);
        }
    }
}
