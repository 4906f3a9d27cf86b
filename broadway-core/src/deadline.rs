//! [`Deadline`]: the end of a time limit, which no limit can make overflow.

use std::{
    cmp::Ordering,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    task::unconstrained,
    time::{Sleep, sleep_until},
};

/// Limits above this are treated as no limit: far beyond the life of a process, and far within the range of every clock and of
/// tokio's timers.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The point in time at which a limit ends, by the clock of the runtime (which tests can pause).
///
/// The pipeline and the connectors keep every time limit of a user as a deadline. Adding a [`Duration`] to an [`Instant`] panics on
/// overflow; a `Deadline` that far ahead is never reached. [`Duration::MAX`], and everything above 30 years, means *no limit*.
///
/// Deadlines are ordered: the earlier one is less, and [`never`](Self::never) is the greatest, so `min` returns the stricter of two
/// limits.
///
/// ```
/// use broadway_core::Deadline;
/// use std::time::Duration;
///
/// # async fn run() {
/// let deadline = Deadline::after(Duration::from_millis(50));
/// assert_eq!(deadline.within(async { 7 }).await, Some(7));
/// assert_eq!(deadline.within(std::future::pending::<()>()).await, None);
/// assert!(deadline.is_over());
///
/// let unlimited = Deadline::after(Duration::MAX);
/// assert_eq!(unlimited, Deadline::never());
/// assert_eq!(deadline.min(unlimited), deadline);
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Creates a deadline `limit` from now, or one that is never reached if `limit` is above 30 years.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self::since(now(), limit)
    }

    /// Creates a deadline `limit` after `start`, or one that is never reached if `limit` is above 30 years.
    ///
    /// For work that started earlier, and for code that must not read a clock.
    #[must_use]
    pub fn since(start: Instant, limit: Duration) -> Self {
        if limit > FAR {
            return Self::never();
        }
        Self(start.checked_add(limit))
    }

    /// Creates a deadline that is never reached.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// Returns the point in time, or `None` for never. Convert it with [`tokio::time::Instant::from_std`] for tokio's timers.
    #[must_use]
    pub const fn at(self) -> Option<Instant> {
        self.0
    }

    /// Returns whether it has been reached.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|at| at <= now())
    }

    /// Returns the time until the deadline: zero once it is reached, [`Duration::MAX`] if it never is.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0
            .map_or(Duration::MAX, |at| at.saturating_duration_since(now()))
    }

    /// Waits until the deadline; forever, if it is never reached.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with timers, unless the deadline is never reached.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn reached(self) {
        match self.0 {
            Some(at) => sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Runs `future` until the deadline. Returns `None`, and drops the future, if the deadline comes first. A future that is ready at
    /// its first poll wins even if the deadline is over.
    ///
    /// # Panics
    ///
    /// Same as [`reached`](Self::reached).
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`.
    pub async fn within<F: Future>(self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut over = pin!(self.0.map(|at| sleep_until(at.into())));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => poll_over(over.as_mut(), cx).map(|()| None),
        })
        .await
    }
}

/// Runs `future` until it has waited for `limit`. Returns `None`, and drops the future, if it takes longer. Reads the clock and makes a
/// timer only when the future is pending. A result that is ready in the poll after the limit counts.
pub(crate) async fn within_wait<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut over = pin!(None);
    let mut waits = false;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if !waits {
            waits = true;
            let at = Deadline::after(limit).at();
            over.set(at.map(|at| sleep_until(at.into())));
        }
        poll_over(over.as_mut(), cx).map(|()| None)
    })
    .await
}

/// Not generic, so that tokio's part is not compiled again for each future that has a deadline.
fn poll_over(over: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    match over.as_pin_mut() {
        // Outside the budget of the task: a future that uses all of it, at each poll, would never see its deadline.
        Some(over) => pin!(unconstrained(over)).poll(cx),
        None => Poll::Pending,
    }
}

/// Returns the current time by the runtime's clock; works outside a runtime, too.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Some(at), Some(other)) => at.cmp(&other),
            // `never` is the latest.
            (at, other) => other.is_some().cmp(&at.is_some()),
        }
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::{pending, ready};

    use super::*;

    const HUGE: [Duration; 4] = [
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        Duration::from_secs(i64::MAX as u64),
        Duration::from_secs(31 * 365 * 24 * 60 * 60),
    ];

    #[test]
    fn a_limit_that_no_clock_can_express_never_comes() {
        for limit in HUGE {
            let deadline = Deadline::after(limit);
            assert_eq!(deadline, Deadline::never(), "{limit:?}");
            assert_eq!((deadline.at(), deadline.is_over()), (None, false));
            assert_eq!(deadline.remaining(), Duration::MAX);
        }
    }

    #[test]
    fn the_earlier_deadline_is_less_and_never_is_the_greatest() {
        let start = Instant::now();
        let mut deadlines = [
            Deadline::never(),
            Deadline::since(start, Duration::from_secs(2)),
            Deadline::since(start, Duration::ZERO),
        ];
        deadlines.sort();
        let at = deadlines.map(|deadline| deadline.at().map(|at| at - start));
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(at, [seconds(0), seconds(2), None]);
        assert_eq!(Deadline::never().cmp(&Deadline::never()), Ordering::Equal);
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_that_of_the_runtime() {
        let deadline = Deadline::after(Duration::from_secs(3600));
        assert_eq!(deadline.remaining(), Duration::from_secs(3600));
        assert_eq!(deadline.within(pending::<()>()).await, None);
        assert!(deadline.is_over());
        assert_eq!(deadline.remaining(), Duration::ZERO);
        assert_eq!(deadline.within(ready(7)).await, Some(7));
        deadline.reached().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_farthest_deadline_can_be_slept_for() {
        let began = now();
        Deadline::after(FAR).reached().await;
        assert!(now() - began >= FAR);
        for limit in HUGE {
            assert_eq!(Deadline::after(limit).within(ready(7)).await, Some(7));
        }
    }
}
