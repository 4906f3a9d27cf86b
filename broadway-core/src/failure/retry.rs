//! [`Retry`]: when a failed message is handled again.

use std::{fmt, sync::Arc, time::Duration};

use super::ErrorClass;
use crate::{error::Reason, machine::retry::RetrySchedule, rate_limit::RateLimit};

/// When a failed message is handled again, and how often.
///
/// By default up to 5 attempts, the first included, for errors of class [`Transient`](ErrorClass::Transient).
///
/// ```
/// use broadway_core::Retry;
/// use std::time::Duration;
///
/// // After 200 ms, 400 ms, 800 ms and so on up to 30 s, with jitter.
/// let policy = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30))
///     .attempts(8)
///     .total_time(Duration::from_secs(300))
///     .then_dead_letter();
/// # let _ = policy;
/// ```
#[derive(Clone)]
#[must_use = "give it to `Pipeline::on_failure` or `Batching::on_failure`"]
pub struct Retry {
    pub(crate) schedule: RetrySchedule,
    pub(crate) budget: Option<RateLimit>,
    /// From which pause on a retry waits at its source. `None`: it waits in memory.
    pub(super) park_after: Option<Duration>,
    pub(super) condition: Option<Condition>,
}

/// Whether a failure is retried.
pub(super) type Condition = Arc<dyn Fn(&Reason) -> bool + Send + Sync>;

impl Retry {
    /// Retries after the same pause each time, which must be more than zero.
    pub const fn fixed(pause: Duration) -> Self {
        Self::new(RetrySchedule::fixed(pause))
    }

    /// Retries after `first`, and after twice as long each time, up to `max`. Half of each pause is random ("equal jitter"), so that
    /// messages that failed together do not come back together. Both must be more than zero.
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self::new(RetrySchedule::exponential(first, max))
    }

    const fn new(schedule: RetrySchedule) -> Self {
        Self {
            schedule,
            budget: None,
            park_after: None,
            condition: None,
        }
    }

    /// Sets how often a message is handled in all, the first time included: at least 1. Defaults to 5. [`u32::MAX`] means without limit.
    ///
    /// Attempts in `handle_message` and in batches count separately. They are attempts of this process, and those before the message was
    /// [parked](Self::park_after): for deliveries by the broker, see [`Record::deliveries`](crate::Record::deliveries).
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.schedule.attempts_max = attempts;
        self
    }

    /// Sets how long after its delivery a message is still retried. An attempt that would begin later is not made. Each delivery counts
    /// anew, so the limit does not span the pauses of [parked](Self::park_after) messages. Defaults to no limit, [`Duration::MAX`].
    pub const fn total_time(mut self, time: Duration) -> Self {
        self.schedule.total_max = time;
        self
    }

    /// Limits how often `handle_message` is called again, for all messages together, and separately how often each batcher handles a batch
    /// again, where a batch counts as one. Beyond the limit, retries wait longer: none is given up. Retries that were
    /// [parked](Self::park_after) do not count. Defaults to no limit.
    ///
    /// It protects a service that comes back from all messages that wait for it.
    pub const fn budget(mut self, limit: RateLimit) -> Self {
        self.budget = Some(limit);
        self
    }

    /// Lets a retry whose pause is at least `pause` wait at its source instead of in memory, if the source can *park* it
    /// ([`Acknowledger::parks`](crate::Acknowledger::parks)): keep it for the pause, with its count of attempts. The retry then survives a
    /// restart of the process, takes no room in memory, and a drain does not wait for it. [`Duration::ZERO`] parks all retries. Defaults to
    /// none: all wait in memory, up to [`Pipeline::waiting_max`](crate::Pipeline::waiting_max).
    ///
    /// - **A source that cannot park** a message keeps nothing: the message waits in memory as without this option. So does a message that
    ///   was pushed, or acknowledged with `ack_now`, and a part of a [split](crate::source::SourceExt::split) message.
    /// - **Order.** A parked message loses its place in the order of its key: later messages of its key go on, and it comes back behind them,
    ///   unless the source itself holds them back.
    /// - **Attempts** of all deliveries count together, so [`attempts`](Self::attempts) limits them also across restarts.
    /// - **A batch** is parked if all of its messages can be, and waits in memory otherwise. Its messages come back one by one and pass
    ///   `handle_message` again. The source keeps one number for a message: its attempts in `handle_message` or in batches, whichever are more.
    /// - **Postponed** messages ([`postpone`](crate::postpone), and layers that use it) are parked by the same rule. Their attempts stay as
    ///   they are.
    ///
    /// A parked message counts as `delayed` in [`Totals`](crate::pipeline::Totals).
    ///
    /// ```
    /// use broadway_core::Retry;
    /// use std::time::Duration;
    ///
    /// // Pauses below a minute pass in memory, longer ones at the source.
    /// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(3_600))
    ///     .attempts(20)
    ///     .park_after(Duration::from_secs(60));
    /// # let _ = retry;
    /// ```
    pub const fn park_after(mut self, pause: Duration) -> Self {
        self.park_after = Some(pause);
        self
    }

    /// Sets which failures are retried. Defaults to failures of class [`Transient`](ErrorClass::Transient).
    ///
    /// If `condition` panics, the message is not retried. Nor is one on which `partition_by`, `size_of` or a function of a batcher
    /// panicked: `condition` is not asked.
    ///
    /// ```
    /// # use broadway_core::Retry;
    /// # let retry = Retry::fixed(std::time::Duration::from_secs(1));
    /// // Panics as well, as those of a library that panics when a connection is lost.
    /// let retry = retry.when(|reason| reason.is_panic() || reason.as_error().is_some_and(|error| error.is::<std::io::Error>()));
    /// # let _ = retry;
    /// ```
    pub fn when(mut self, condition: impl Fn(&Reason) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    pub(super) fn applies_to(&self, reason: &Reason) -> bool {
        match &self.condition {
            Some(condition) => {
                crate::caught::guarded(|| condition(reason)).is_ok_and(|applies| applies)
            }
            None => reason.class() == ErrorClass::Transient,
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("schedule", &self.schedule)
            .field("budget", &self.budget)
            .field("park_after", &self.park_after)
            .field("condition", &self.condition.is_some())
            .finish()
    }
}
