//! [`Frame`]: how windows that share no state are numbered.

use super::{grid::Grid, recent::Placed};
use crate::{Timestamp, Window};

/// Windows that do not overlap, with a number for each.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frame {
    /// One window, number 0. It ends at the end of time.
    Global,
    /// Time windows.
    Time(Grid),
    /// Windows in processing time. The current one takes all events, and the watermark does not end it.
    Periodic {
        every: i64,
        current: i64,
        /// When the current window began; `None` before the first tick.
        start: Option<i64>,
    },
}

impl Frame {
    /// Returns the window of an event; `None` between two windows.
    pub(super) fn pane_of(&self, time: Timestamp) -> Option<i64> {
        match self {
            Self::Global => Some(0),
            Self::Time(grid) => grid.pane_of(time),
            Self::Periodic { current, .. } => Some(*current),
        }
    }

    /// Returns the window of an event, and times of which all belong to it; `None` between two windows.
    pub(super) fn place(&self, time: Timestamp) -> Option<Placed> {
        match self {
            Self::Time(grid) => grid.place(time),
            // Global windows have all times, and periods none that stay.
            Self::Global | Self::Periodic { .. } => Some((self.pane_of(time)?, [time, time])),
        }
    }

    pub(super) fn window(&self, pane: i64) -> Window {
        match self {
            Self::Global => Window::Global,
            Self::Time(grid) => grid.window(i128::from(pane)),
            Self::Periodic { .. } => Window::Number(pane.unsigned_abs()),
        }
    }

    /// Returns the first window that has not ended at `watermark`, and the first one that takes late events.
    pub(super) fn bounds(&self, watermark: Timestamp, lateness: i64) -> (i128, i128) {
        match self {
            Self::Time(grid) => (
                grid.ended_below(watermark, 0),
                grid.ended_below(watermark, lateness),
            ),
            Self::Global if watermark == Timestamp::MAX => (1, 1),
            Self::Global | Self::Periodic { .. } => (i128::MIN, i128::MIN),
        }
    }

    /// Whether a pane ends at or before `time`. Panes without times do not.
    pub(super) fn pane_ends(&self, pane: i64, time: Timestamp) -> bool {
        match self {
            Self::Time(grid) => grid.pane_end(pane) <= time,
            Self::Global | Self::Periodic { .. } => false,
        }
    }

    /// Begins another period if the current one is over at `now`, and returns whether it is. Periods that were missed count.
    pub(super) fn end_period(&mut self, now: i64) -> bool {
        let Self::Periodic {
            every,
            current,
            start,
        } = self
        else {
            return false;
        };
        let began = *start.get_or_insert(now);
        let periods = now.saturating_sub(began) / *every;
        if periods < 1 {
            return false;
        }
        *current = current.saturating_add(periods);
        *start = Some(began.saturating_add(periods.saturating_mul(*every)));
        true
    }
}
