//! [`TokenBucket`]: a level in units so small that each nanosecond adds a whole number of them.

use std::time::{Duration, Instant};

use super::{Allowance, Change};

/// A level of tokens that fills continuously up to its burst.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    allowance: Allowance,
    /// Units per token: the interval in nanoseconds.
    token: u128,
    burst: usize,
    /// In units, at `filled_at`. At most burst × token < 2⁶⁴ × 2⁵⁵.
    level: u128,
    filled_at: Instant,
}

impl TokenBucket {
    /// Creates a bucket that is full at `now`. A burst of 0 counts as 1, because no message would ever pass otherwise.
    #[must_use]
    pub const fn new(allowance: Allowance, burst: usize, now: Instant) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        let token = allowance.interval().as_nanos();
        Self {
            allowance,
            token,
            burst,
            level: burst as u128 * token,
            filled_at: now,
        }
    }

    /// Takes up to `wanted` whole tokens.
    #[must_use = "granted messages count as passed"]
    pub fn take(&mut self, now: Instant, wanted: usize) -> usize {
        self.fill(now);
        let price = wanted as u128 * self.token;
        if price <= self.level {
            self.level -= price;
            return wanted;
        }
        // Divides only when it runs dry: 128-bit division is the one slow operation here.
        let granted = self.level / self.token;
        self.level -= granted * self.token;
        usize::try_from(granted).expect("fewer than wanted")
    }

    /// Returns `now` if there is a whole token, else the nanosecond in which it will be whole.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        let Some(missing) = self.token.checked_sub(self.level) else {
            return now;
        };
        let wait_ns = missing.div_ceil(self.allowance.messages() as u128);
        let wait =
            Duration::from_nanos(u64::try_from(wait_ns).expect("at most an interval of 365 days"));
        now.max(self.filled_at + wait)
    }

    /// Returns `n` of the granted messages that did not pass after all. The level stays within the burst.
    pub fn refund(&mut self, n: usize) {
        self.level = self
            .level
            .saturating_add(n as u128 * self.token)
            .min(self.full());
    }

    /// Changes the allowance at once and keeps the burst. Fractions of a token are rounded down.
    pub fn update(&mut self, now: Instant, allowance: Allowance, change: Change) {
        self.fill(now);
        // Whole tokens are kept exactly; the fraction is scaled to the new size of a token.
        let whole = self.level / self.token;
        let part = self.level % self.token;
        let token = allowance.interval().as_nanos();
        self.level = whole * token + part * token / self.token;
        self.allowance = allowance;
        self.token = token;
        if change == Change::Reset {
            self.level = self.full();
        }
    }

    /// Returns the allowance that was set last.
    #[must_use]
    pub const fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// Returns the most messages that can pass at one instant.
    #[must_use]
    pub const fn burst(&self) -> usize {
        self.burst
    }

    fn fill(&mut self, now: Instant) {
        if now <= self.filled_at {
            return;
        }
        let elapsed_ns = now.duration_since(self.filled_at).as_nanos();
        let gained = elapsed_ns.saturating_mul(self.allowance.messages() as u128);
        self.level = self.level.saturating_add(gained).min(self.full());
        self.filled_at = now;
    }

    const fn full(&self) -> u128 {
        self.burst as u128 * self.token
    }
}
