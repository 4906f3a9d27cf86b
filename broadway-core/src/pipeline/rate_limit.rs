//! The rate limit that the producers of a topology share.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use super::config::RateLimit;
use crate::{
    engine::clock,
    machine::rate::{Allowance, Change, FixedWindow, InvalidAllowance, Rate, TokenBucket},
};

/// A rate machine behind a lock, and a bell for those who wait for it.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Mutex<Rate>,
    /// Counts changes, so that those who sleep until the next window look again.
    changes: watch::Sender<u64>,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit, now: Instant) -> Result<Self, InvalidAllowance> {
        let allowance = Allowance::new(limit.messages, limit.interval)?;
        let rate = match limit.burst {
            None => Rate::FixedWindow(FixedWindow::new(allowance, now)),
            Some(burst) => Rate::TokenBucket(TokenBucket::new(allowance, burst, now)),
        };
        Ok(Self {
            rate: Mutex::new(rate),
            changes: watch::Sender::new(0),
        })
    }

    /// How many of `wanted` may pass now; and if none, when to come again.
    pub(super) fn take(&self, wanted: usize) -> Result<usize, Instant> {
        let now = clock::now();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        match rate.take(now, wanted) {
            0 if wanted > 0 => Err(rate.next(now)),
            granted => Ok(granted),
        }
    }

    /// Waits until at least one message may pass.
    pub(super) async fn open(&self) {
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

    /// Waits until `instant`, or until the rate has changed.
    pub(super) async fn wait_until(&self, instant: Instant) {
        let mut changes = self.changes.subscribe();
        let until = instant.saturating_duration_since(clock::now());
        clock::within(until, changes.changed()).await;
    }

    pub(super) fn allowance(&self) -> Allowance {
        self.rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .allowance()
    }

    pub(super) fn update(&self, allowance: Allowance, change: Change) {
        self.rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .update(clock::now(), allowance, change);
        self.changes.send_modify(|changes| *changes += 1);
    }
}
