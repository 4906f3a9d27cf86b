//! Credit: how much a consumer has asked of one producer that has not come yet.
//!
//! A consumer asks for `max` at first and then stays silent until what is still to come has fallen
//! to `min`; then it tops up to `max` in one ask. So asks are few and large, and never more than
//! `max` messages are on their way. What is consumed is counted in pieces of at most
//! [`chunk`](Credit::chunk) = `max - min`, which makes the rhythm regular: with 1000 and 500 the
//! consumer works in pieces of 500 and asks for 500 after each; with 1 and 0 it takes single messages.
//!
//! The counter is of what was asked, not of what arrived: a producer that sends more than it was
//! asked for does not enlarge the next ask, for the counter stops at zero. Credit that is given back
//! ([`returned`](Credit::returned)), or a smaller `max` ([`resize`](Credit::resize)), may leave more
//! pending than `max`; then nothing is asked until it has fallen to `min`.
//!
//! The rule is that of GenStage's automatic consumers (`gen_stage.ex`, `max_demand` and `min_demand`).

use std::fmt;

/// The demand bookkeeping of one subscription.
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
    /// No more than `max` are ever asked and not consumed; an ask is due at `min` or less.
    ///
    /// # Errors
    /// `max` is 0, or `min` is not below `max`.
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
    /// `max` is 0.
    pub const fn half(max: usize) -> Result<Self, InvalidCredit> {
        Self::new(max, max / 2)
    }

    /// How much to ask for now; it counts as asked from here on. 0: nothing is due.
    #[must_use = "what is returned counts as asked"]
    pub const fn request(&mut self) -> usize {
        if self.pending > self.min {
            return 0;
        }
        let asked = self.max - self.pending;
        self.pending = self.max;
        asked
    }

    /// `n` messages came and were dealt with. More than were asked for count as those asked for.
    pub const fn consumed(&mut self, n: usize) {
        self.pending = self.pending.saturating_sub(n);
    }

    /// `n` of what was asked for will never come, for instance as the producer is gone.
    pub const fn cancelled(&mut self, n: usize) {
        self.pending = self.pending.saturating_sub(n);
    }

    /// `n` consumed messages went back to where they came from, and will come again received_unrequested.
    pub const fn returned(&mut self, n: usize) {
        self.pending = self.pending.saturating_add(n);
    }

    /// Changes the limits; what is pending stays pending.
    ///
    /// # Errors
    /// As [`new`](Self::new); nothing is changed then.
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

    /// The largest piece to handle between two asks, `max - min`: at least 1.
    #[must_use]
    pub const fn chunk(&self) -> usize {
        self.max - self.min
    }

    /// How many were asked for and neither consumed nor cancelled.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending
    }

    /// The most that is ever asked for and not consumed.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// An ask is due when this many or fewer are pending.
    #[must_use]
    pub const fn min(&self) -> usize {
        self.min
    }
}

/// Why a pair of limits is no [`Credit`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCredit {
    /// With a `max` of 0 nothing would ever be asked for.
    ZeroMax,
    /// With a `min` of `max` or more every ask would be for nothing.
    MinNotBelowMax {
        /// The `max` that was given.
        max: usize,
        /// The `min` that was given.
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

const fn validate(max: usize, min: usize) -> Result<(), InvalidCredit> {
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
