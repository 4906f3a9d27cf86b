//! The timestamps of a partition's unsettled messages, for the age of the oldest one: [`Timestamps`].

use std::collections::VecDeque;

/// Timestamps that differ by less are kept as one.
const GRAIN_MS: i64 = 1_000;

/// Timestamps by offset. Consecutive messages within 1 s of the first one share an entry, so there are at most as many entries as
/// unsettled messages, and few if messages come fast.
#[derive(Debug, Default)]
pub(super) struct Timestamps(VecDeque<TimestampRun>);

#[derive(Debug, Clone, Copy)]
struct TimestampRun {
    first: i64,
    /// Milliseconds since 1970; `None` for messages without a timestamp.
    ms: Option<i64>,
}

impl Timestamps {
    /// Adds the timestamp of the message at `offset`, which is above all earlier ones.
    #[inline]
    pub(super) fn push(&mut self, offset: i64, ms: Option<i64>) {
        let is_close = self.0.back().is_some_and(|run| match (run.ms, ms) {
            (Some(last), Some(ms)) => last.abs_diff(ms) < GRAIN_MS.unsigned_abs(),
            (last, ms) => last.is_none() && ms.is_none(),
        });
        if !is_close {
            self.0.push_back(TimestampRun { first: offset, ms });
        }
    }

    /// Forgets entries that cover only offsets below `offset`.
    pub(super) fn forget_below(&mut self, offset: i64) {
        while self.0.get(1).is_some_and(|next| next.first <= offset) {
            self.0.pop_front();
        }
    }

    /// The timestamp of the message at `offset`, which was pushed and not forgotten, accurate to 1 s.
    pub(super) fn of(&self, offset: i64) -> Option<i64> {
        let after = self.0.partition_point(|run| run.first <= offset);
        self.0.get(after.checked_sub(1)?)?.ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_own_time_to_a_second() {
        let mut times = Timestamps::default();
        let all = [
            (5, 10_000),
            (6, 10_400),
            (7, 10_999),
            (9, 11_000),
            (10, 9_000),
            (20, 60_000),
        ];
        for (offset, ms) in all {
            times.push(offset, Some(ms));
        }
        for (offset, ms) in all {
            let told = times.of(offset).unwrap();
            assert!(told.abs_diff(ms) < 1_000, "{offset}: {told}");
        }
        assert_eq!(times.0.len(), 4);
    }

    #[test]
    fn settled_messages_are_forgotten() {
        let mut times = Timestamps::default();
        for offset in 0..100 {
            times.push(offset, Some(offset * 5_000));
        }
        times.forget_below(98);
        assert_eq!((times.0.len(), times.of(98)), (2, Some(490_000)));
        times.forget_below(1_000);
        assert_eq!(times.0.len(), 1);
    }

    #[test]
    fn a_message_without_a_time_has_none() {
        let mut times = Timestamps::default();
        assert_eq!(times.of(3), None);
        times.push(3, None);
        times.push(4, None);
        times.push(5, Some(7_000));
        assert_eq!((times.of(4), times.of(5)), (None, Some(7_000)));
    }
}
