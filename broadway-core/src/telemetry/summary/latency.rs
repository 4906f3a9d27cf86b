//! [`Latencies`]: a histogram of all latencies, and of those since the last progress line.

use std::time::Duration;

use hdrhistogram::Histogram;

/// One hour, in microseconds: the upper limit of the histogram.
const HOUR_US: u64 = 3_600_000_000;

/// Two digits, which is 1 %, make a histogram of about 25 kB.
const DIGITS: u8 = 2;

/// Latencies, in microseconds. Each is sorted once, into `recent`; reading moves these to `older`.
pub(super) struct Latencies {
    older: Histogram<u64>,
    recent: Histogram<u64>,
}

impl Latencies {
    pub(super) fn record(&mut self, latency: Duration) {
        self.recent
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the quantile of all latencies.
    pub(super) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let mut all = self.older.clone();
        all += &self.recent;
        quantile_of(&all, quantile)
    }

    /// Returns the quantile of the latencies since the last call.
    pub(super) fn take_recent(&mut self, quantile: f64) -> Option<Duration> {
        let found = quantile_of(&self.recent, quantile);
        self.older += &self.recent;
        self.recent.reset();
        found
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let empty =
            Histogram::new_with_bounds(1, HOUR_US, DIGITS).expect("bounds and digits are in range");
        Self {
            older: empty.clone(),
            recent: empty,
        }
    }
}

fn quantile_of(histogram: &Histogram<u64>, quantile: f64) -> Option<Duration> {
    (!histogram.is_empty()).then(|| Duration::from_micros(histogram.value_at_quantile(quantile)))
}
