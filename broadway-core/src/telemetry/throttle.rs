//! [`Throttle`]: at most so many lines a second, and a count of those left out.
//!
//! Time comes in as a parameter. A window opens with the first line and lasts [`WINDOW`]; the lines of a window over the
//! limit are counted. The count is told when the window is over: by the next line, or by [`overdue`](Throttle::overdue)
//! when no further line comes.

use std::time::{Duration, Instant};

/// How long a window is.
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
    /// Write it. Before it, tell how many lines of the window before were left out, if any.
    Write { suppressed_before: u64 },
    /// Leave it out; it is counted.
    Suppress,
}

impl Throttle {
    /// At most `lines_max` lines in a window; with 0, all are left out and counted.
    pub(super) const fn new(lines_max: u32) -> Self {
        Self {
            lines_max,
            window: None,
        }
    }

    /// A line is to be written.
    pub(super) fn admit(&mut self, now: Instant) -> ThrottleDecision {
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
            // Only with a limit of 0 is there anything to carry over: any other new window writes its first line.
            window.suppressed += suppressed_before + 1;
            ThrottleDecision::Suppress
        }
    }

    /// The lines left out in a window that is over, if any: told once.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<u64> {
        self.window
            .take_if(|window| now.saturating_duration_since(window.opened) >= WINDOW)?
            .told()
    }

    /// The lines left out so far, whether or not the window is over: for the end.
    pub(super) fn flush(&mut self) -> Option<u64> {
        self.window.take()?.told()
    }

    /// Whether lines were left out that have not been told.
    pub(super) fn is_holding(&self) -> bool {
        self.window
            .as_ref()
            .is_some_and(|window| window.suppressed > 0)
    }
}

impl Window {
    fn told(self) -> Option<u64> {
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
