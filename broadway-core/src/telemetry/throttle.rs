//! [`Throttle`]: limits the lines per second, and counts those that are suppressed.
//!
//! Time is a parameter. A window opens with the first line and lasts [`WINDOW`]; lines above the limit are counted. The
//! count is reported when the window is over: with the next line, or by [`overdue`](Throttle::overdue) if no further
//! line comes.

use std::time::{Duration, Instant};

/// The length of a window.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// Decides which lines are written.
#[derive(Debug)]
pub(super) struct Throttle {
    lines_max: u32,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    opened: Instant,
    written: u32,
    suppressed: u64,
}

/// What to do about a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ThrottleDecision {
    /// Write it, and before it, the number of lines suppressed in the last window, if any.
    Write { suppressed_before: u64 },
    /// Suppress it. It is counted.
    Suppress,
}

impl Throttle {
    /// Creates a throttle for at most `lines_max` lines per window. With 0, all lines are suppressed and counted.
    pub(super) const fn new(lines_max: u32) -> Self {
        Self {
            lines_max,
            window: None,
        }
    }

    /// Decides about a line.
    pub(super) fn admit(&mut self, now: Instant) -> ThrottleDecision {
        // Closes a window that is over first, so that its count is reported before a line of the next one.
        let suppressed_before = self.overdue(now).unwrap_or(0);
        let window = self.window.get_or_insert(Window {
            opened: now,
            written: 0,
            suppressed: 0,
        });
        if window.written < self.lines_max {
            window.written += 1;
            ThrottleDecision::Write { suppressed_before }
        } else {
            // Only with a limit of 0 is there a count to carry over: any other new window writes its first line.
            window.suppressed += suppressed_before + 1;
            ThrottleDecision::Suppress
        }
    }

    /// Returns the number of lines suppressed in a window that is over, if any. Returned once.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<u64> {
        self.window
            .take_if(|window| now.saturating_duration_since(window.opened) >= WINDOW)?
            .into_suppressed()
    }

    /// Returns the number of lines suppressed so far, whether or not the window is over. For the end.
    pub(super) fn flush(&mut self) -> Option<u64> {
        self.window.take()?.into_suppressed()
    }

    /// Returns whether there are suppressed lines that have not been reported.
    pub(super) fn is_holding(&self) -> bool {
        self.window
            .as_ref()
            .is_some_and(|window| window.suppressed > 0)
    }
}

impl Window {
    fn into_suppressed(self) -> Option<u64> {
        (self.suppressed > 0).then_some(self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::{ThrottleDecision::*, *};

    const FRESH: ThrottleDecision = Write {
        suppressed_before: 0,
    };

    #[test]
    fn lines_over_the_limit_of_a_window_are_left_out_and_counted() {
        let (mut throttle, start) = (Throttle::new(2), Instant::now());
        let verdicts: Vec<_> = (0..5).map(|_| throttle.admit(start)).collect();
        assert_eq!(verdicts, [FRESH, FRESH, Suppress, Suppress, Suppress]);
        assert_eq!(
            throttle.admit(start + WINDOW),
            Write {
                suppressed_before: 3
            }
        );
        assert_eq!(throttle.admit(start + WINDOW), FRESH);
        assert_eq!(throttle.admit(start + WINDOW), Suppress);
    }

    #[test]
    fn a_storm_that_ended_is_told_when_its_window_is_over_and_once() {
        let (mut throttle, start) = (Throttle::new(1), Instant::now());
        throttle.admit(start);
        throttle.admit(start);
        assert_eq!(throttle.overdue(start + WINDOW / 2), None);
        assert_eq!(throttle.overdue(start + WINDOW), Some(1));
        assert_eq!(throttle.overdue(start + WINDOW), None);
    }

    #[test]
    fn the_end_tells_an_open_window() {
        let (mut throttle, start) = (Throttle::new(1), Instant::now());
        assert_eq!(throttle.flush(), None);
        throttle.admit(start);
        assert_eq!(throttle.flush(), None);
        throttle.admit(start);
        throttle.admit(start);
        assert_eq!(throttle.flush(), Some(1));
    }

    #[test]
    fn a_limit_of_none_still_counts() {
        let (mut throttle, start) = (Throttle::new(0), Instant::now());
        assert_eq!(throttle.admit(start), Suppress);
        assert_eq!(throttle.admit(start + WINDOW), Suppress);
        assert_eq!(throttle.flush(), Some(2));
    }
}
