//! [`CountSink`]: counts equal texts before the partition. A text is copied only when it is first seen.

use smol_str::SmolStr;

use super::TextSink;
use crate::{
    At, Windowed,
    aggregate::Count,
    group::{CombineSink, Crossing, KeyRoute, Shape},
    machine::windows::Borrowed,
    sink::{OutboxSink, Pushed, Signal, Sink},
};

/// What crosses the partition: the counts of texts.
pub(super) type TextCrossing = Crossing<SmolStr, (), u64>;

/// Counts equal texts before the partition.
pub(super) struct CountSink {
    combine: CombineSink<SmolStr, (), Count, OutboxSink<TextCrossing, KeyRoute<SmolStr>>>,
}

impl CountSink {
    pub(super) const fn new(
        combine: CombineSink<SmolStr, (), Count, OutboxSink<TextCrossing, KeyRoute<SmolStr>>>,
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

/// `(text, count)`.
pub(super) struct OfTexts;

impl Shape<SmolStr, u64> for OfTexts {
    type Out = (String, u64);

    fn shape(text: SmolStr, windowed: Windowed<u64>) -> (String, u64) {
        (text.into(), windowed.value)
    }
}
