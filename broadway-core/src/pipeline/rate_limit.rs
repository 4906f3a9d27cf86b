//! The rate limit that the producers of a topology share.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    engine::clock,
    machine::rate::{Allowance, Change, FixedWindow, InvalidAllowance, Rate, TokenBucket},
    rate_limit::RateLimit,
};

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
            rate: Mutex::new(rate(limit, now)?),
            changes: watch::Sender::new(0),
        })
    }

    /// Takes permits for up to `wanted` messages. Returns how many may pass now, or, if none, when to try again.
    pub(super) fn acquire(&self, wanted: usize) -> Result<usize, Instant> {
        let now = clock::now();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        match rate.take(now, wanted) {
            0 if wanted > 0 => Err(rate.next(now)),
            granted => Ok(granted),
        }
    }

    /// Waits until at least one message may pass. Takes no permit: another producer may be faster.
    pub(super) async fn wait_until_open(&self) {
        loop {
            let next = {
                let now = clock::now();
                let next = self
                    .rate
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .next(now);
                if next <= now {
                    return;
                }
                next
            };
            self.wait_until(next).await;
        }
    }

    /// Waits until `instant`, or until the limit is changed.
    pub(super) async fn wait_until(&self, instant: Instant) {
        // A change between the caller's look and this subscription is missed: the caller then looks again at `instant`.
        let mut changes = self.changes.subscribe();
        let until = instant.saturating_duration_since(clock::now());
        clock::within(until, changes.changed()).await;
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
                *current = rate(limit, now)?;
            }
        }
        // After the new rate is in place: a producer that wakes must see it.
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }
}

fn rate(limit: RateLimit, now: Instant) -> Result<Rate, InvalidAllowance> {
    let allowance = Allowance::new(limit.messages(), limit.interval())?;
    Ok(match limit.burst() {
        None => Rate::FixedWindow(FixedWindow::new(allowance, now)),
        Some(burst) => Rate::TokenBucket(TokenBucket::new(allowance, burst, now)),
    })
}

fn burst(rate: &Rate) -> Option<usize> {
    match rate {
        Rate::FixedWindow(_) => None,
        Rate::TokenBucket(bucket) => Some(bucket.burst()),
    }
}
