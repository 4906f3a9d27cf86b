//! [`Grid`]: which time windows an event belongs to, at any time, the ends of time included.

use super::recent::Placed;
use crate::{Timestamp, Window};

/// Windows of `size` every `slide`, made of panes. Windows that overlap share panes as long as the greatest common divisor of both; others
/// have one pane each. Window numbers are `i128`, because a window may begin long before time does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    size: i64,
    slide: i64,
    /// The start of window 0, less than `slide`.
    offset: i64,
    /// The distance of panes.
    step: i64,
    /// The start of pane 0, less than `step`.
    phase: i64,
    /// The first pane of window 0.
    first: i128,
    /// The panes of a window.
    panes: i128,
    /// The panes between the starts of two windows.
    stride: i128,
}

impl Grid {
    pub(super) fn new(size: i64, slide: i64, offset: i64) -> Self {
        let offset = offset.rem_euclid(slide);
        let overlap = slide < size;
        let step = if overlap { divisor(size, slide) } else { slide };
        Self {
            size,
            slide,
            offset,
            step,
            phase: offset % step,
            first: i128::from(offset / step),
            panes: i128::from(if overlap { size / step } else { 1 }),
            stride: i128::from(slide / step),
        }
    }

    /// Returns the pane of an event; `None` between two windows.
    pub(super) fn pane_of(&self, time: Timestamp) -> Option<i64> {
        let time = time.as_millis();
        let Some(distance) = time.checked_sub(self.phase) else {
            return self.pane_of_early(time);
        };
        let pane = distance.div_euclid(self.step);
        // Only windows with gaps have a size below the distance of panes.
        let gap = self.size < self.step && distance.rem_euclid(self.step) >= self.size;
        (!gap).then_some(pane)
    }

    /// Returns the pane of an event, and the times of the pane; `None` between two windows.
    pub(super) fn place(&self, time: Timestamp) -> Option<Placed> {
        let pane = self.pane_of(time)?;
        Some((pane, [self.pane_start(pane), self.pane_end(pane)]))
    }

    fn pane_start(&self, pane: i64) -> Timestamp {
        clamp(i128::from(self.phase) + i128::from(pane) * i128::from(self.step))
    }

    /// Returns the end of the last millisecond of a pane.
    pub(super) fn pane_end(&self, pane: i64) -> Timestamp {
        let start = i128::from(self.phase) + i128::from(pane) * i128::from(self.step);
        clamp(start + i128::from(self.size.min(self.step)))
    }

    /// Returns the first and the last window of a pane.
    pub(super) fn windows_of(&self, pane: i64) -> (i128, i128) {
        let pane = i128::from(pane) - self.first;
        let last = pane.div_euclid(self.stride);
        let first = (pane - self.panes).div_euclid(self.stride) + 1;
        (first, last)
    }

    /// Returns the first pane of a window, and the first one after it.
    pub(super) const fn panes_of(&self, window: i128) -> (i128, i128) {
        let first = window * self.stride + self.first;
        (first, first + self.panes)
    }

    /// Returns the first pane after the window before `window`: all panes below belong to windows before `window`.
    pub(super) const fn sealed_below(&self, window: i128) -> i128 {
        self.panes_of(window - 1).1
    }

    pub(super) fn window(&self, window: i128) -> Window {
        let start = i128::from(self.offset) + window * i128::from(self.slide);
        Window::Time {
            start: clamp(start),
            end: clamp(start + i128::from(self.size)),
        }
    }

    /// Returns the first window that ends more than `lateness` after `watermark`: all before it have `end + lateness <= watermark`.
    pub(super) fn ended_below(&self, watermark: Timestamp, lateness: i64) -> i128 {
        let offset = i128::from(self.offset);
        let slide = i128::from(self.slide);
        let watermark = i128::from(watermark.as_millis());
        // At the end of time all windows have ended, the last one included, whose end lies beyond.
        let last = if watermark == i128::from(i64::MAX) {
            watermark - offset
        } else {
            watermark - i128::from(lateness) - offset - i128::from(self.size)
        };
        last.div_euclid(slide) + 1
    }

    fn pane_of_early(&self, time: i64) -> Option<i64> {
        let distance = i128::from(time) - i128::from(self.phase);
        let step = i128::from(self.step);
        let gap =
            i128::from(self.size) < step && distance.rem_euclid(step) >= i128::from(self.size);
        let pane = i64::try_from(distance.div_euclid(step))
            .expect("invariant: a phase above zero comes with a step above one");
        (!gap).then_some(pane)
    }
}

fn clamp(time: i128) -> Timestamp {
    let low = i128::from(i64::MIN);
    let high = i128::from(i64::MAX);
    let time = i64::try_from(time.clamp(low, high)).expect("invariant: clamped");
    Timestamp::from_millis(time)
}

const fn divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
