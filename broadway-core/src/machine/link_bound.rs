//! [`LinkBound`]: how many messages a link requests, where the link itself bounds them.
//!
//! A message is *requested* from the moment that the link asks for it until it is sent, then *buffered* until it is
//! taken. Both together are bounded by `max`. While more than `min` are left, nothing is requested; at `min` or fewer,
//! the link tops up to `max` at once. Requests are therefore few and large, as a
//! [`Credit`](super::credit::Credit)'s are.
//!
//! Messages that are sent without a request are counted like the others. They may exceed `max`; then requests that no
//! sender has learned of are taken back, and nothing is requested until few enough messages are left.

use super::credit::{InvalidCredit, validate};

/// The bound of one link.
///
/// ```
/// use broadway_core::machine::link_bound::LinkBound;
///
/// let bound = LinkBound::new(100, 80)?;
/// assert_eq!(bound.wanted(0, 0), 100);
/// assert_eq!(bound.wanted(50, 40), 40, "90 are left, more than 80: as many as are requested already");
/// assert_eq!(bound.wanted(40, 40), 60, "80 are left: up to 100");
/// # Ok::<(), broadway_core::machine::credit::InvalidCredit>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkBound {
    max: usize,
    min: usize,
}

impl LinkBound {
    /// Creates a bound: at most `max` messages are requested or buffered, and more are requested at `min` or fewer.
    ///
    /// # Errors
    ///
    /// Fails if `max` is 0 or `min` is not below `max`.
    pub const fn new(max: usize, min: usize) -> Result<Self, InvalidCredit> {
        match validate(max, min) {
            Ok(()) => Ok(Self { max, min }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Returns how many messages should be requested, of which `requested` are already. Less than `requested` means
    /// that the difference should be taken back, if it still can.
    #[must_use]
    pub const fn wanted(&self, buffered: usize, requested: usize) -> usize {
        let room = self.max.saturating_sub(buffered);
        if requested < room && buffered + requested > self.min {
            return requested;
        }
        room
    }

    /// Returns the most messages that are requested or buffered.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Returns the number of requested and buffered messages at which more are requested.
    #[must_use]
    pub const fn min(&self) -> usize {
        self.min
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::machine::credit::Credit;

    #[test]
    fn messages_that_were_not_requested_are_counted_and_take_requests_back() {
        let bound = LinkBound::new(10, 5).unwrap();
        assert_eq!(bound.wanted(4, 10), 6);
        assert_eq!(bound.wanted(30, 6), 0);
        assert_eq!(bound.wanted(6, 0), 0, "6 are left, more than 5");
        assert_eq!(bound.wanted(5, 0), 5);
    }

    #[test]
    fn one_sender_is_asked_as_by_a_credit() {
        for (max, min) in [(1, 0), (10, 5), (10, 9), (10, 0), (7, 3)] {
            let bound = LinkBound::new(max, min).unwrap();
            let mut credit = Credit::new(max, min).unwrap();
            let (mut buffered, mut requested) = (0, 0);
            for step in 1..200_usize {
                let more = bound.wanted(buffered, requested) - requested;
                assert_eq!(more, credit.request(), "{bound:?}, step {step}");
                requested += more;
                let sent = (step * 7 % 5).min(requested);
                (buffered, requested) = (buffered + sent, requested - sent);
                let taken = (step * 3 % 4).min(buffered);
                buffered -= taken;
                credit.consumed(taken);
            }
        }
    }

    #[test]
    fn impossible_limits_are_refused() {
        assert_eq!(LinkBound::new(0, 0), Err(InvalidCredit::ZeroMax));
        assert!(LinkBound::new(5, 5).is_err());
    }
}
