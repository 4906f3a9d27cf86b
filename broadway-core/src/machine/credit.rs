//! [`Credit`]: how many messages a consumer has requested from one producer and not consumed.
//!
//! A consumer requests `max` messages at first. It requests no more until the number pending has fallen to `min`, and
//! then tops up to `max` in one request. Requests are therefore few and large, and never more than `max` messages are
//! on their way. Consumption is counted in chunks of at most [`chunk`](Credit::chunk) = `max - min`, which makes the
//! rhythm regular: with 1000 and 500 the consumer works in chunks of 500 and requests 500 after each; with 1 and 0 it
//! takes single messages.
//!
//! The counter tracks requests, not arrivals. A producer that sends more than was requested does not enlarge the next
//! request, because the counter stops at zero. Credit that is given back ([`returned`](Credit::returned)) or a smaller
//! `max` ([`resize`](Credit::resize)) may leave more pending than `max`; then nothing is requested until the number has
//! fallen to `min`.
//!
//! GenStage's automatic consumers follow the same rule (`gen_stage.ex`, `max_demand` and `min_demand`).

use std::fmt;

/// The demand accounting of one subscription.
///
/// ```
/// use broadway_core::machine::credit::Credit;
///
/// let mut credit = Credit::new(100, 80)?;
/// assert_eq!(credit.request(), 100);
/// credit.consumed(10);
/// assert_eq!(credit.request(), 0, "90 are still to come, more than 80");
/// credit.consumed(10);
/// assert_eq!(credit.request(), 20);
/// # Ok::<(), broadway_core::machine::credit::InvalidCredit>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    max: usize,
    min: usize,
    pending: usize,
}

impl Credit {
    /// Creates a credit: at most `max` messages are requested and not consumed, and a request is due at `min` or fewer.
    ///
    /// # Errors
    ///
    /// Fails if `max` is 0 or `min` is not below `max`.
    pub const fn new(max: usize, min: usize) -> Result<Self, InvalidCredit> {
        match validate(max, min) {
            Ok(()) => Ok(Self {
                max,
                min,
                pending: 0,
            }),
            Err(invalid) => Err(invalid),
        }
    }

    /// As [`new`](Self::new) with `min` at half of `max`, rounded down.
    ///
    /// # Errors
    ///
    /// Fails if `max` is 0.
    pub const fn half(max: usize) -> Result<Self, InvalidCredit> {
        Self::new(max, max / 2)
    }

    /// Returns how many messages to request now, and counts them as requested. Returns 0 if no request is due.
    #[must_use = "the returned number counts as requested"]
    pub const fn request(&mut self) -> usize {
        if self.pending > self.min {
            return 0;
        }
        let asked = self.max - self.pending;
        self.pending = self.max;
        asked
    }

    /// Records that `n` messages arrived and were consumed. Messages beyond those requested are not counted.
    pub const fn consumed(&mut self, n: usize) {
        self.pending = self.pending.saturating_sub(n);
    }

    /// Records that `n` of the requested messages will never arrive, for instance because the producer is gone.
    pub const fn cancelled(&mut self, n: usize) {
        self.pending = self.pending.saturating_sub(n);
    }

    /// Records that `n` consumed messages went back to where they came from, and will arrive again without a request.
    pub const fn returned(&mut self, n: usize) {
        self.pending = self.pending.saturating_add(n);
    }

    /// Changes the limits. Pending messages stay pending.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new). Nothing changes then.
    pub const fn resize(&mut self, max: usize, min: usize) -> Result<(), InvalidCredit> {
        match validate(max, min) {
            Ok(()) => {
                self.max = max;
                self.min = min;
                Ok(())
            }
            Err(invalid) => Err(invalid),
        }
    }

    /// Returns the largest chunk to handle between two requests, `max - min`: at least 1.
    #[must_use]
    pub const fn chunk(&self) -> usize {
        self.max - self.min
    }

    /// Returns how many messages were requested and neither consumed nor cancelled.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending
    }

    /// Returns the most messages that are ever requested and not consumed.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Returns the number of pending messages at which a request is due.
    #[must_use]
    pub const fn min(&self) -> usize {
        self.min
    }
}

/// Why a pair of limits is not a valid [`Credit`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCredit {
    /// With a `max` of 0 no message would ever be requested.
    ZeroMax,
    /// With a `min` of `max` or more every request would be for 0 messages.
    MinNotBelowMax {
        /// The `max` that was passed.
        max: usize,
        /// The `min` that was passed.
        min: usize,
    },
}

impl fmt::Display for InvalidCredit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroMax => f.write_str("max demand is 0: give at least 1"),
            Self::MinNotBelowMax { max, min } => {
                write!(
                    f,
                    "min demand {min} is not below max demand {max}: give at most {}",
                    max - 1
                )
            }
        }
    }
}

impl std::error::Error for InvalidCredit {}

pub(super) const fn validate(max: usize, min: usize) -> Result<(), InvalidCredit> {
    if max == 0 {
        return Err(InvalidCredit::ZeroMax);
    }
    if min >= max {
        return Err(InvalidCredit::MinNotBelowMax { max, min });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Feeds what is asked for in one list and returns the pieces it is handled in, with their asks.
    fn rhythm(max: usize, min: usize, pieces: usize) -> Vec<(usize, usize)> {
        let mut credit = Credit::new(max, min).unwrap();
        let mut arrived = std::collections::VecDeque::from([credit.request()]);
        let mut seen = Vec::new();
        while seen.len() < pieces {
            let mut list = arrived.pop_front().expect("an ask is on its way");
            while list > 0 {
                let piece = list.min(credit.chunk());
                credit.consumed(piece);
                let asked = credit.request();
                seen.push((piece, asked));
                if asked > 0 {
                    arrived.push_back(asked);
                }
                list -= piece;
            }
        }
        seen
    }

    #[test]
    fn the_rhythm_is_that_of_gen_stage() {
        assert_eq!(rhythm(1000, 500, 2), [(500, 500), (500, 500)]);
        assert_eq!(rhythm(100, 80, 5), [(20, 20); 5]);
        assert_eq!(
            rhythm(100, 20, 4)[..4],
            [(80, 80), (20, 0), (80, 100), (80, 80)][..4]
        );
        assert_eq!(rhythm(1, 0, 3), [(1, 1); 3]);
    }

    #[test]
    fn excess_deliveries_never_enlarge_an_ask() {
        let mut credit = Credit::half(10).unwrap();
        assert_eq!(credit.request(), 10);
        credit.consumed(1_000);
        assert_eq!(credit.request(), 10);
    }

    #[test]
    fn returned_messages_are_not_asked_for_again() {
        let mut credit = Credit::new(10, 9).unwrap();
        assert_eq!(credit.request(), 10);
        credit.consumed(4);
        credit.returned(3);
        assert_eq!(credit.request(), 1);
    }

    #[test]
    fn a_smaller_limit_waits_until_pending_has_fallen() {
        let mut credit = Credit::half(100).unwrap();
        assert_eq!(credit.request(), 100);
        credit.resize(10, 5).unwrap();
        credit.consumed(94);
        assert_eq!(credit.request(), 0);
        credit.consumed(1);
        assert_eq!(credit.request(), 5);
        assert_eq!(credit.pending(), 10);
    }

    #[test]
    fn impossible_limits_are_refused() {
        assert_eq!(Credit::new(0, 0), Err(InvalidCredit::ZeroMax));
        let invalid = Credit::new(5, 5).unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "min demand 5 is not below max demand 5: give at most 4"
        );
    }
}
