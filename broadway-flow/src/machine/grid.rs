//! [`Grid`]: which windows an event is in, and when they close. Shared by the machines that hold events per window.
//!
//! A window is named by its start. All events with the same newest window make up a *slice*: they enter the state with this window and
//! leave the state when it closes. A machine therefore holds an event once, in its slice, however many sliding windows overlap.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, Window, window::WindowKind};

/// The windows of a flow: one global window, or windows in event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grid {
    times: Option<Times>,
    lateness: i64,
}

/// Where an event belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Between two windows.
    Outside,
    /// All windows of the event are closed.
    Late,
    /// The windows of the event that are open.
    Open(Starts),
}

/// The starts of consecutive windows, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Starts {
    /// The oldest window.
    pub(crate) first: i64,
    /// The newest window: the slice, for the windows of an event.
    pub(crate) last: i64,
    step: i64,
}

/// Windows of `size` every `slide`. `offset` is less than `slide`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    size: i64,
    slide: i64,
    offset: i64,
}

/// The start of the global window, and its slice.
const GLOBAL: i64 = 0;

impl Grid {
    /// Creates the grid of these windows; `None` for kinds that depend on the events of a key or on processing time.
    ///
    /// # Panics
    ///
    /// Panics if the size or the slide is not positive, or the lateness is negative. The options of a flow are checked before it starts.
    pub(crate) fn new(kind: WindowKind, lateness: i64) -> Option<Self> {
        assert!(lateness >= 0, "the lateness is not negative");
        let times = match kind {
            WindowKind::Global => None,
            WindowKind::Time {
                size,
                slide,
                offset,
            } => {
                assert!(size > 0 && slide > 0, "size and slide are positive");
                let slide = slide.min(LONGEST);
                Some(Times {
                    size: size.min(LONGEST),
                    slide,
                    offset: offset.rem_euclid(slide),
                })
            }
            WindowKind::Count(_) | WindowKind::Session { .. } | WindowKind::Periodic { .. } => {
                return None;
            }
        };
        Some(Self {
            times,
            lateness: lateness.min(LONGEST),
        })
    }

    /// The time of an event, in milliseconds, limited so that arithmetic with windows does not overflow: to about 70 million years around
    /// zero.
    pub(crate) fn time(&self, time: Timestamp) -> i64 {
        time.as_millis().clamp(-FARTHEST, FARTHEST)
    }

    /// The open windows of an event at a watermark.
    pub(crate) fn place(&self, time: i64, watermark: Timestamp) -> Place {
        let Some(mut starts) = self.windows(time) else {
            return Place::Outside;
        };
        starts.first = starts.first.max(self.first_open(watermark));
        if starts.first > starts.last {
            Place::Late
        } else {
            Place::Open(starts)
        }
    }

    /// All windows of an event, open or not; `None` if it falls between two windows.
    pub(crate) fn windows(&self, time: i64) -> Option<Starts> {
        let (first, last, step) = match self.times {
            None => (GLOBAL, GLOBAL, 1),
            Some(times) => {
                let first = times.at_or_before(time - times.size) + times.slide;
                (first, times.at_or_before(time), times.slide)
            }
        };
        (first <= last).then_some(Starts { first, last, step })
    }

    /// Whether the event is in the window.
    pub(crate) fn contains(&self, start: i64, time: i64) -> bool {
        self.times
            .is_none_or(|times| start <= time && time - start < times.size)
    }

    /// Whether the watermark has passed the end of the window and its lateness. The global window never closes.
    pub(crate) fn is_closed(&self, start: i64, watermark: Timestamp) -> bool {
        self.times
            .is_some_and(|times| start + times.size + self.lateness <= watermark.as_millis())
    }

    /// The oldest window that is open at a watermark.
    pub(crate) fn first_open(&self, watermark: Timestamp) -> i64 {
        let Some(times) = self.times else {
            return GLOBAL;
        };
        let watermark = watermark.as_millis().clamp(-FARTHEST * 2, FARTHEST * 2);
        times.at_or_before(watermark - times.size - self.lateness) + times.slide
    }

    /// The oldest window that events of a slice may be in.
    pub(crate) fn oldest_of_slice(&self, slice: i64) -> i64 {
        self.times.map_or(slice, |times| {
            slice - (times.size - 1) / times.slide * times.slide
        })
    }

    /// The window after this one.
    pub(crate) fn next(&self, start: i64) -> i64 {
        start + self.times.map_or(1, |times| times.slide)
    }

    /// The end of the slices with events in this window: the first slice beyond it.
    pub(crate) fn end(&self, start: i64) -> i64 {
        start + self.times.map_or(1, |times| times.size)
    }

    /// The window with this start.
    pub(crate) fn window(&self, start: i64) -> Window {
        self.times.map_or(Window::Global, |times| Window::Time {
            start: Timestamp::from_millis(start),
            end: Timestamp::from_millis(start + times.size),
        })
    }
}

impl Starts {
    /// The windows in both.
    pub(crate) fn common(self, other: Self) -> Self {
        Self {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
            step: self.step,
        }
    }
}

impl Iterator for Starts {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let start = self.first;
        (start <= self.last).then(|| {
            self.first += self.step;
            start
        })
    }
}

/// The longest size, slide and lateness: an eighth of the range, so that a limited time plus all of them fits.
const LONGEST: i64 = i64::MAX / 8;
/// The farthest time of an event: a quarter of the range.
const FARTHEST: i64 = i64::MAX / 4;

impl Times {
    /// The newest window that starts at this time or before it.
    const fn at_or_before(&self, time: i64) -> i64 {
        time - (time - self.offset).rem_euclid(self.slide)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grid(size: i64, slide: i64, offset: i64, lateness: i64) -> Grid {
        let kind = WindowKind::Time {
            size,
            slide,
            offset,
        };
        Grid::new(kind, lateness).expect("windows in event time have a grid")
    }

    #[test]
    fn an_event_of_a_fixed_window_has_one_window() {
        let starts = grid(10, 10, 3, 0)
            .windows(2)
            .expect("fixed windows have no gaps");
        assert_eq!(starts.collect::<Vec<_>>(), [-7]);
    }

    #[test]
    fn an_event_between_two_windows_is_outside() {
        let grid = grid(5, 10, 0, 0);
        assert_eq!(grid.place(7, Timestamp::MIN), Place::Outside);
    }

    #[test]
    fn the_global_window_never_closes() {
        let grid = Grid::new(WindowKind::Global, 0).expect("the global window has a grid");
        assert!(!grid.is_closed(0, Timestamp::MAX));
        assert!(matches!(grid.place(7, Timestamp::MAX), Place::Open(_)));
    }

    #[test]
    fn session_windows_have_no_grid() {
        assert_eq!(Grid::new(WindowKind::Session { gap: 1 }, 0), None);
    }

    #[test]
    fn the_ends_of_time_and_the_longest_windows_do_not_overflow() {
        for size in [1, i64::MAX] {
            for slide in [1, 7, i64::MAX] {
                if size / slide > 1 {
                    continue;
                }
                let grid = grid(size, slide, i64::MIN, i64::MAX);
                for time in [i64::MIN, -1, 0, i64::MAX] {
                    let time = grid.time(Timestamp::from_millis(time));
                    for watermark in [Timestamp::MIN, Timestamp::MAX] {
                        let _ = grid.place(time, watermark);
                    }
                    for start in grid.windows(time).into_iter().flatten() {
                        assert!(!grid.is_closed(start, Timestamp::MIN));
                        assert!(grid.is_closed(start, Timestamp::MAX));
                        let _ = (grid.window(start), grid.oldest_of_slice(start));
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn open_windows_match_a_scan_of_all_starts(
            size in 1..20i64, slide in 1..20i64, offset in -30..30i64, lateness in 0..10i64,
            time in -50..50i64, watermark in -60..80i64,
        ) {
            let grid = grid(size, slide, offset, lateness);
            let all: Vec<i64> = (-100..100)
                .filter(|start| (start - offset).rem_euclid(slide) == 0)
                .filter(|start| *start <= time && time < start + size)
                .collect();
            let open: Vec<i64> = all.iter().copied()
                .filter(|start| start + size + lateness > watermark)
                .collect();
            let place = grid.place(time, Timestamp::from_millis(watermark));
            match place {
                Place::Outside => prop_assert!(all.is_empty()),
                Place::Late => prop_assert!(!all.is_empty() && open.is_empty()),
                Place::Open(starts) => prop_assert_eq!(starts.collect::<Vec<_>>(), open),
            }
            for start in all {
                prop_assert!(grid.contains(start, time));
                let slice = grid.windows(time).expect("it has windows").last;
                prop_assert!(grid.oldest_of_slice(slice) <= start);
                prop_assert!(grid.oldest_of_slice(slice) > slice - size);
            }
        }
    }
}
