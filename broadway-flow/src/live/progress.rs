//! [`FlowProgress`]: how far the sources of a flow are.

use std::{fmt, time::Duration};

use crate::{
    machine::progress::ProgressSnapshot,
    readable::{bytes, count, expected, thousands},
};

/// How far the sources of a flow are, at one point in time. Made by [`RunningFlow::progress`](crate::RunningFlow::progress).
///
/// It counts what sources have read, not what the flow has finished: at a share of 1, the last events are still on their way through the
/// operators, and windows may have yet to fire.
///
/// Sources of events count events, and files count bytes. If a flow has both, only events are counted, and the total is unknown.
///
/// `Display` writes it as text, such as `45%, 4,500 of 10,000 events, 900/s, 7 s left`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FlowProgress {
    /// What sources have read.
    pub done: u64,
    /// What sources will have read at their end, if all of them know it: files, and iterators of a known length. Files may grow beyond it.
    pub total: Option<u64>,
    /// The unit of the amounts.
    pub unit: ProgressUnit,
    /// The rate over the last ten seconds, and before that over the whole run.
    pub per_second: f64,
    /// The share that is done, from 0 to 1. Unknown without a total.
    pub share: Option<f64>,
    /// The time left at this rate. Unknown without a total, and while nothing is read.
    pub left: Option<Duration>,
}

/// What the progress of a flow counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProgressUnit {
    /// Events.
    Events,
    /// Bytes of files.
    Bytes,
}

impl FlowProgress {
    pub(super) const fn new(snapshot: ProgressSnapshot, unit: ProgressUnit) -> Self {
        let ProgressSnapshot {
            done,
            total,
            per_second,
            share,
            left,
        } = snapshot;
        Self {
            done,
            total,
            unit,
            per_second,
            share,
            left,
        }
    }

    /// The amount that is done, such as `4,500 of 10,000 events`.
    pub(crate) fn amount(&self) -> String {
        let total = self.total.filter(|total| *total >= self.done);
        match (self.unit, total) {
            (unit, None) => unit.amount(self.done),
            (ProgressUnit::Events, Some(total)) => {
                format!(
                    "{} of {}",
                    thousands(self.done),
                    ProgressUnit::Events.amount(total)
                )
            }
            (ProgressUnit::Bytes, Some(total)) => {
                format!("{} of {}", bytes(self.done), bytes(total))
            }
        }
    }

    fn rate(&self) -> String {
        match self.unit {
            ProgressUnit::Bytes => format!("{}/s", bytes(self.per_second.round() as u64)),
            ProgressUnit::Events if self.per_second > 0.0 && self.per_second < 9.95 => {
                format!("{:.1}/s", self.per_second)
            }
            ProgressUnit::Events => format!("{}/s", thousands(self.per_second.round() as u64)),
        }
    }
}

impl ProgressUnit {
    /// An amount with its unit, such as `4,500 events` or `1.5 MiB`.
    pub(crate) fn amount(self, n: u64) -> String {
        match self {
            Self::Events => count(n, "event"),
            Self::Bytes => bytes(n),
        }
    }
}

impl fmt::Display for FlowProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(share) = self.share {
            // Rounded down: 100% is the end.
            write!(f, "{}%, ", (share * 100.0).floor())?;
        }
        write!(f, "{}, {}", self.amount(), self.rate())?;
        match self.left {
            Some(Duration::ZERO) => f.write_str(", finishing"),
            Some(left) => write!(f, ", {} left", expected(left)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(
        unit: ProgressUnit,
        done: u64,
        total: Option<u64>,
        per_second: f64,
    ) -> FlowProgress {
        let left = total.map(|total| total.saturating_sub(done));
        FlowProgress {
            done,
            total,
            unit,
            per_second,
            share: total.map(|total| (done as f64 / total as f64).min(1.0)),
            left: left.map(|left| Duration::from_secs_f64(left as f64 / per_second)),
        }
    }

    #[test]
    fn the_text_has_share_amount_rate_and_time_left() {
        let text = progress(ProgressUnit::Events, 4_500, Some(10_000), 900.0).to_string();
        assert_eq!(text, "45%, 4,500 of 10,000 events, 900/s, 7 s left");
        let text = progress(ProgressUnit::Bytes, 1 << 20, Some(3 << 20), 1_024.0).to_string();
        assert_eq!(text, "33%, 1.0 MiB of 3.0 MiB, 1.0 KiB/s, 34 min 8 s left");
        let text = progress(ProgressUnit::Events, 1, None, 2.5).to_string();
        assert_eq!(text, "1 event, 2.5/s");
    }

    #[test]
    fn only_the_whole_is_a_hundred_percent() {
        let text = progress(ProgressUnit::Events, 9_999, Some(10_000), 1.0).to_string();
        assert_eq!(text, "99%, 9,999 of 10,000 events, 1.0/s, 1 s left");
        let text = progress(ProgressUnit::Events, 1, Some(1), 1.0).to_string();
        assert_eq!(text, "100%, 1 of 1 event, 1.0/s, finishing");
    }

    #[test]
    fn a_file_that_has_grown_has_no_total_in_its_text() {
        let text = progress(ProgressUnit::Bytes, 3_000, Some(2_000), 100.0).to_string();
        assert_eq!(text, "100%, 2.9 KiB, 100 bytes/s, finishing");
    }
}
