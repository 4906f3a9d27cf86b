//! [`Pool`]: when a pool of consumers grows, and when it shrinks.
//!
//! The owner of a pool observes it from time to time, passes in what it observed, and applies the result. The pool is
//! *pressed* while events wait in the link and no member is idle. After it has been pressed for `grow_after` without a
//! break it grows, by one member at first and by twice as many each time while it stays pressed, so that it meets a
//! burst in a few steps. It never grows by more members than there are events waiting. After some members were idle at
//! every observation for `shrink_after`, half of those that were idle throughout leave, at least one. Under a constant
//! load the pool therefore settles: it grows while it is too small, may overshoot by one step, and then shrinks until
//! no member is idle all the time.
//!
//! Two observations that are further apart than these times count as one: the time counts from the observation that saw
//! the state begin to the current one. Observe at least every `grow_after`, or bursts are met late. A pool outside its
//! bounds (members ended, or the bounds changed) is brought back at once.

use std::fmt;
use std::time::{Duration, Instant};

/// The bounds of a pool, and how long it waits before it changes size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// The minimum number of members. At least 1.
    pub min: usize,
    /// The maximum number of members.
    pub max: usize,
    /// How long the pool must have been pressed before it grows.
    pub grow_after: Duration,
    /// How long some members must have been idle before some of them leave.
    pub shrink_after: Duration,
}

impl PoolOptions {
    /// Between `min` and `max` members. Grows after 100 ms, shrinks after 10 s.
    #[must_use]
    pub const fn new(min: usize, max: usize) -> Self {
        Self {
            min,
            max,
            grow_after: Duration::from_millis(100),
            shrink_after: Duration::from_secs(10),
        }
    }
}

/// What the owner of a pool observes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolObservation {
    /// The time. Observations are in the order of time.
    pub now: Instant,
    /// How many events wait in the link.
    pub waiting: usize,
    /// How many members there are, not counting those that are leaving.
    pub members: usize,
    /// How many of the members wait for events.
    pub idle: usize,
}

/// How to change the size of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// Do nothing.
    Stay,
    /// Start this many more members, at least one.
    Grow(usize),
    /// Stop this many members, at least one, idle members first.
    Shrink(usize),
}

/// Decides the size of one pool.
///
/// ```
/// use broadway_core::machine::pool::{PoolObservation, Pool, PoolOptions, Resize};
/// use std::time::{Duration, Instant};
///
/// let mut pool = Pool::new(PoolOptions::new(1, 8))?;
/// let now = Instant::now();
/// let pressed = PoolObservation { now, waiting: 50, members: 1, idle: 0 };
/// assert_eq!(pool.observe(pressed), Resize::Stay);
/// let later = PoolObservation { now: now + Duration::from_millis(100), ..pressed };
/// assert_eq!(pool.observe(later), Resize::Grow(1));
/// # Ok::<(), broadway_core::machine::pool::InvalidPool>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pool {
    options: PoolOptions,
    state: PoolLoad,
}

/// The load of the pool, and since when.
#[derive(Debug, Clone, Copy)]
enum PoolLoad {
    /// No event waits and no member is idle, or nothing was observed yet.
    Even,
    Pressed {
        since: Instant,
        /// By how many members the pool grows next.
        step: usize,
    },
    Idle {
        since: Instant,
        /// The lowest number of idle members at any observation since then.
        least: usize,
    },
}

impl Pool {
    /// Creates a pool that was not observed yet.
    ///
    /// # Errors
    ///
    /// Fails if `min` is 0 or above `max`.
    pub const fn new(options: PoolOptions) -> Result<Self, InvalidPool> {
        if options.min == 0 {
            return Err(InvalidPool::ZeroMin);
        }
        if options.min > options.max {
            return Err(InvalidPool::MinAboveMax {
                min: options.min,
                max: options.max,
            });
        }
        Ok(Self {
            options,
            state: PoolLoad::Even,
        })
    }

    /// Returns how to change the size now. The owner applies it before the next observation.
    #[must_use = "the pool counts on it that this is done"]
    pub fn observe(&mut self, observation: PoolObservation) -> Resize {
        let PoolOptions { min, max, .. } = self.options;
        // Bounds come before load: a pool outside them is corrected without waiting.
        if observation.members < min {
            return Resize::Grow(min - observation.members);
        }
        if observation.members > max {
            return Resize::Shrink(observation.members - max);
        }
        self.state = self.state.after(observation);
        match self.state {
            PoolLoad::Even => Resize::Stay,
            PoolLoad::Pressed { since, step } => self.grow(observation, since, step),
            PoolLoad::Idle { since, least } => self.shrink(observation, since, least),
        }
    }

    /// Returns the bounds and the times.
    #[must_use]
    pub const fn options(&self) -> PoolOptions {
        self.options
    }

    fn grow(&mut self, observation: PoolObservation, since: Instant, step: usize) -> Resize {
        let room = self.options.max - observation.members;
        let patient = observation.now.saturating_duration_since(since) < self.options.grow_after;
        if room == 0 || patient {
            return Resize::Stay;
        }
        self.state = PoolLoad::Pressed {
            since: observation.now,
            step: step.saturating_mul(2),
        };
        Resize::Grow(step.min(room).min(observation.waiting))
    }

    fn shrink(&mut self, observation: PoolObservation, since: Instant, least: usize) -> Resize {
        let spare = observation.members - self.options.min;
        let patient = observation.now.saturating_duration_since(since) < self.options.shrink_after;
        if spare == 0 || patient {
            return Resize::Stay;
        }
        // Members that stay must be observed idle again from the start.
        self.state = PoolLoad::Even;
        Resize::Shrink(least.div_ceil(2).min(spare))
    }
}

impl PoolLoad {
    /// The load after one more observation.
    fn after(self, observation: PoolObservation) -> Self {
        match self {
            Self::Idle { since, least } if observation.idle > 0 => Self::Idle {
                since,
                least: least.min(observation.idle),
            },
            _ if observation.idle > 0 => Self::Idle {
                since: observation.now,
                least: observation.idle,
            },
            _ if observation.waiting == 0 => Self::Even,
            Self::Pressed { .. } => self,
            _ => Self::Pressed {
                since: observation.now,
                step: 1,
            },
        }
    }
}

/// Why a pair of bounds is not a valid [`Pool`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPool {
    /// A pool without members would never request anything, so it could not find out that it has to grow.
    ZeroMin,
    /// No size is within the bounds.
    MinAboveMax {
        /// The `min` that was passed.
        min: usize,
        /// The `max` that was passed.
        max: usize,
    },
}

impl fmt::Display for InvalidPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroMin => f.write_str("a pool of at least 0 members: give a min of at least 1"),
            Self::MinAboveMax { min, max } => write!(
                f,
                "a pool of at least {min} and at most {max} members: give a max of at least {min}"
            ),
        }
    }
}

impl std::error::Error for InvalidPool {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A pool that is looked at every 50 ms, with the defaults.
    struct Owned {
        pool: Pool,
        members: usize,
        now: Instant,
    }

    impl Owned {
        fn new(min: usize, max: usize) -> Self {
            Self {
                pool: Pool::new(PoolOptions::new(min, max)).unwrap(),
                members: min,
                now: Instant::now(),
            }
        }

        /// Does what it is told, and says what that was.
        fn look(&mut self, waiting: usize, idle: usize) -> Resize {
            self.now += Duration::from_millis(50);
            let observation = PoolObservation {
                now: self.now,
                waiting,
                members: self.members,
                idle,
            };
            let resize = self.pool.observe(observation);
            match resize {
                Resize::Stay => {}
                Resize::Grow(n) => self.members += n,
                Resize::Shrink(n) => self.members -= n,
            }
            resize
        }

        /// The sizes after each change, over `looks` equal observations.
        fn sizes(&mut self, looks: usize, waiting: usize, idle: usize) -> Vec<usize> {
            let mut sizes = Vec::new();
            for _ in 0..looks {
                if self.look(waiting, idle) != Resize::Stay {
                    sizes.push(self.members);
                }
            }
            sizes
        }
    }

    #[test]
    fn a_pool_that_stays_pressed_grows_in_doubling_steps_to_its_bound() {
        let mut owned = Owned::new(1, 20);
        assert_eq!(owned.sizes(100, 1_000, 0), [2, 4, 8, 16, 20]);
    }

    #[test]
    fn a_break_in_the_pressure_starts_its_patience_and_its_steps_anew() {
        let mut owned = Owned::new(1, 20);
        assert_eq!(owned.sizes(5, 9, 0), [2, 4]);
        owned.look(0, 0);
        assert_eq!(owned.sizes(3, 9, 0), [5]);
        owned.look(9, 1);
        assert!(owned.sizes(2, 9, 0).is_empty());
    }

    #[test]
    fn it_never_grows_by_more_than_events_wait() {
        let mut owned = Owned::new(1, 20);
        assert_eq!(owned.sizes(7, 2, 0), [2, 4, 6]);
    }

    #[test]
    fn half_of_those_that_were_idle_all_the_time_go() {
        let mut owned = Owned::new(1, 20);
        owned.sizes(100, 1_000, 0);
        assert!(owned.sizes(200, 0, 12).is_empty());
        assert_eq!(owned.look(0, 5), Resize::Shrink(3));
        assert_eq!(owned.sizes(201, 0, 1), [16]);
    }

    #[test]
    fn one_look_without_an_idle_member_starts_its_patience_anew() {
        let mut owned = Owned::new(1, 20);
        owned.members = 5;
        assert!(owned.sizes(200, 0, 2).is_empty());
        owned.look(0, 0);
        assert!(owned.sizes(200, 0, 2).is_empty());
    }

    #[test]
    fn it_never_shrinks_below_its_bound() {
        let mut owned = Owned::new(3, 20);
        owned.members = 4;
        assert_eq!(owned.sizes(1_000, 0, 4), [3]);
    }

    #[test]
    fn a_pool_outside_its_bounds_is_brought_back_at_once() {
        let mut owned = Owned::new(3, 5);
        owned.members = 1;
        assert_eq!(owned.look(0, 1), Resize::Grow(2));
        owned.members = 9;
        assert_eq!(owned.look(7, 0), Resize::Shrink(4));
    }

    #[test]
    fn impossible_bounds_are_refused() {
        let refused = |min, max| {
            Pool::new(PoolOptions::new(min, max))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(0, 4),
            "a pool of at least 0 members: give a min of at least 1"
        );
        assert_eq!(
            refused(5, 4),
            "a pool of at least 5 and at most 4 members: give a max of at least 5"
        );
    }
}
