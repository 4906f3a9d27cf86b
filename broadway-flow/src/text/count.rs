//! [`CountSink`]: counts equal texts before the partition. A text is copied only when it is first seen.

use super::TextSink;
use crate::{
    At,
    aggregate::Count,
    group::{CombineSink, Crossing, KeyRoute},
    machine::windows::Borrowed,
    sink::{OutboxSink, Pushed, Signal, Sink},
};

/// What crosses the partition: the counts of texts.
pub(super) type TextCrossing = Crossing<String, (), u64>;

/// Counts equal texts before the partition.
pub(super) struct CountSink {
    combine: CombineSink<String, (), Count, OutboxSink<TextCrossing, KeyRoute<String>>>,
}

impl CountSink {
    pub(super) const fn new(
        combine: CombineSink<String, (), Count, OutboxSink<TextCrossing, KeyRoute<String>>>,
    ) -> Self {
        Self { combine }
    }
}

impl TextSink for CountSink {
    #[inline]
    fn push(&mut self, text: &str, at: At) -> Pushed {
        self.combine.add(Borrowed(text), (), at)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.combine.signal(signal)
    }
}
