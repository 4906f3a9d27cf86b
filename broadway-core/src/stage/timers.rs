//! [`Timers`]: the timers of one stage, as deadlines in order and one sleep for the next of them.

use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::deadline::Deadline;

/// Names a timer of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timer(u64);

/// Timers that have been started and have not run out.
#[derive(Default)]
pub(super) struct Timers {
    deadlines: BTreeSet<(Instant, Timer)>,
    started: u64,
    sleep: Option<(Instant, Pin<Box<tokio::time::Sleep>>)>,
}

impl Timers {
    pub(super) fn start(&mut self, after: Duration) -> Timer {
        self.started += 1;
        let timer = Timer(self.started);
        // A deadline beyond the clock's range, centuries away, never comes.
        if let Some(deadline) = Deadline::after(after).at() {
            self.deadlines.insert((deadline, timer));
        }
        timer
    }

    pub(super) fn cancel(&mut self, timer: Timer) -> bool {
        let before = self.deadlines.len();
        self.deadlines.retain(|&(_, other)| other != timer);
        self.deadlines.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.deadlines.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// Waits for the next timer to run out.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        let Some(&(deadline, timer)) = self.deadlines.first() else {
            self.sleep = None;
            return Poll::Pending;
        };
        let sleep = match &mut self.sleep {
            Some((until, sleep)) if *until == deadline => sleep,
            other => {
                let sleep = tokio::time::sleep_until(tokio::time::Instant::from_std(deadline));
                &mut other.insert((deadline, Box::pin(sleep))).1
            }
        };
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        self.deadlines.pop_first();
        Poll::Ready(timer)
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("running", &self.deadlines.len())
            .finish_non_exhaustive()
    }
}
