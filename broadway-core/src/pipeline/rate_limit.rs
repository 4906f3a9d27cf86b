//! The rate limit that the producers of a topology share.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    engine::clock,
    failure::FailurePolicy,
    machine::rate::{Allowance, Change, InvalidAllowance, Rate},
    rate_limit::RateLimit,
};

/// The rate limiter of a topology, once it has one.
pub(super) type SharedLimiter = Arc<OnceLock<RateLimiter>>;

/// A rate machine behind a lock, and a signal for producers that wait.
#[derive(Debug)]
pub(super) struct RateLimiter {
    rate: Mutex<Rate>,
    /// Counts changes of the limit: producers that sleep until the next window then look again.
    changes: watch::Sender<u64>,
}

impl RateLimiter {
    pub(super) fn new(limit: RateLimit, now: Instant) -> Result<Self, InvalidAllowance> {
        Ok(Self {
            rate: Mutex::new(limit.machine(now)?),
            changes: watch::Sender::new(0),
        })
    }

    /// Takes permits for up to `wanted` messages. Returns how many may pass now, or, if none, until when to wait.
    pub(super) fn acquire(&self, wanted: usize) -> Result<usize, Wait> {
        let now = clock::now();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        match rate.take(now, wanted) {
            0 if wanted > 0 => Err(self.wait(&rate, now)),
            granted => Ok(granted),
        }
    }

    /// Waits until at least one message may pass. Takes no permit: another producer may be faster.
    pub(super) async fn wait_until_open(&self) {
        loop {
            let wait = {
                let now = clock::now();
                let rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
                if rate.next(now) <= now {
                    return;
                }
                self.wait(&rate, now)
            };
            wait.over().await;
        }
    }

    /// Takes the locked rate: `update` changes it under the same lock and signals afterwards, so a change that this look did not see
    /// is signalled after the subscription, and ends the wait.
    fn wait(&self, rate: &Rate, now: Instant) -> Wait {
        Wait {
            until: rate.next(now),
            changes: self.changes.subscribe(),
        }
    }

    /// Returns the limit that was set last.
    pub(super) fn limit(&self) -> RateLimit {
        let rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let allowance = rate.allowance();
        let limit = RateLimit::per(allowance.messages(), allowance.interval());
        match burst(&rate) {
            Some(burst) => limit.with_burst(burst),
            None => limit,
        }
    }

    /// Changes the limit. One of another kind, or with another burst, replaces the old one at once.
    pub(super) fn update(&self, limit: RateLimit, change: Change) -> Result<(), InvalidAllowance> {
        let now = clock::now();
        let allowance = Allowance::new(limit.messages(), limit.interval())?;
        {
            let mut current = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            if burst(&current) == limit.burst() {
                current.update(now, allowance, change);
            } else {
                *current = limit.machine(now)?;
            }
        }
        // After the new rate is in place: a producer that wakes must see it.
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }
}

/// Returns the limiter of a policy's retries, if it has a budget.
pub(super) fn budget_of(policy: &FailurePolicy) -> Option<RateLimiter> {
    let budget = policy.retry.as_ref()?.budget?;
    Some(RateLimiter::new(budget, clock::now()).expect("checked by validate"))
}

/// Until when nothing may pass, unless the limit is changed first.
#[derive(Debug)]
pub(super) struct Wait {
    until: Instant,
    changes: watch::Receiver<u64>,
}

impl Wait {
    /// The time that is left.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(clock::now())
    }

    /// Waits until the time has come, or until the limit is changed, also if it was changed before this call.
    pub(super) async fn over(mut self) {
        clock::within(self.left(), self.changes.changed()).await;
    }
}

fn burst(rate: &Rate) -> Option<usize> {
    match rate {
        Rate::FixedWindow(_) => None,
        Rate::TokenBucket(bucket) => Some(bucket.burst()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_between_the_look_and_the_wait_ends_the_wait() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let started = clock::now();
        let limiter = RateLimiter::new(RateLimit::per(1, HOUR), started).expect("a valid limit");
        assert_eq!(limiter.acquire(1).ok(), Some(1));
        let wait = limiter
            .acquire(1)
            .expect_err("nothing is left of this hour");
        limiter
            .update(RateLimit::per(100, HOUR), Change::Reset)
            .expect("a valid limit");
        wait.over().await;
        assert_eq!(clock::now(), started, "it did not wait for the next hour");
        assert_eq!(limiter.acquire(5).ok(), Some(5));
    }
}
