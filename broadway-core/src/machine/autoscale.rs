//! [`Autoscale`]: how many processors there should be, by whether messages wait for a free one.
//!
//! The load is sampled at equal distances. [`SAMPLES`] samples make an interval, and each interval ends with a decision:
//!
//! - **More**, if in at least half of its samples messages waited while no processor was idle. The number grows by half, and
//!   by at least one.
//! - **Fewer**, if in [`CALM_INTERVALS`] intervals in a row no message waited and more than half of the processors were
//!   idle on average. The number falls by a quarter, and by at least one.
//! - Otherwise it stays.
//!
//! Growing is quick because messages wait meanwhile; shrinking is slow because an idle processor costs next to nothing.
//! The two conditions are far apart: after growing by half, processors that were all busy are at most a third idle, and
//! after shrinking by a quarter, those that were half idle are still a third idle. So a steady load reaches one number and
//! stays there.

/// How many samples make an interval.
pub const SAMPLES: u32 = 10;
/// After how many calm intervals in a row the number falls.
pub const CALM_INTERVALS: u32 = 10;

/// One look at the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Whether messages wait for a processor, and none is idle.
    pub is_waiting: bool,
    /// How many processors wait for messages.
    pub idle: usize,
}

/// Decides how many processors there should be; see the [module docs](self).
///
/// ```
/// use broadway_core::machine::autoscale::{Autoscale, Load, SAMPLES};
///
/// let mut autoscale = Autoscale::new(2, 100);
/// let busy = Load { is_waiting: true, idle: 0 };
/// let decisions: Vec<_> = (0..SAMPLES).filter_map(|_| autoscale.observe(busy, 8)).collect();
/// assert_eq!(decisions, [12]);
/// ```
#[derive(Clone, Debug)]
pub struct Autoscale {
    min: usize,
    max: usize,
    samples: u32,
    waiting: u32,
    /// The sums over the samples of this interval.
    idle: usize,
    processors: usize,
    calm: u32,
}

impl Autoscale {
    /// Creates a machine that decides on `min` to `max` processors.
    ///
    /// # Panics
    ///
    /// Panics if `min` is 0 or above `max`.
    #[must_use]
    #[track_caller]
    pub fn new(min: usize, max: usize) -> Self {
        assert!(1 <= min && min <= max, "at least one processor");
        Self {
            min,
            max,
            samples: 0,
            waiting: 0,
            idle: 0,
            processors: 0,
            calm: 0,
        }
    }

    /// Observes the load of `processors`. Returns their new number if it changes.
    pub fn observe(&mut self, load: Load, processors: usize) -> Option<usize> {
        self.samples += 1;
        self.waiting += u32::from(load.is_waiting);
        self.idle = self.idle.saturating_add(load.idle);
        self.processors = self.processors.saturating_add(processors);
        if self.samples < SAMPLES {
            return None;
        }
        let wanted = self.decide(processors).clamp(self.min, self.max);
        self.samples = 0;
        self.waiting = 0;
        self.idle = 0;
        self.processors = 0;
        (wanted != processors).then_some(wanted)
    }

    fn decide(&mut self, processors: usize) -> usize {
        let is_calm = self.waiting == 0 && self.idle.saturating_mul(2) > self.processors;
        self.calm = if is_calm { self.calm + 1 } else { 0 };
        if self.waiting.saturating_mul(2) >= SAMPLES {
            return processors.saturating_add((processors / 2).max(1));
        }
        if self.calm >= CALM_INTERVALS {
            self.calm = 0;
            return processors - (processors / 4).max(1).min(processors);
        }
        processors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Load = Load {
        is_waiting: true,
        idle: 0,
    };

    /// The numbers that one interval after the other leads to.
    fn run(
        autoscale: &mut Autoscale,
        mut processors: usize,
        intervals: u32,
        load: impl Fn(usize) -> Load,
    ) -> Vec<usize> {
        let mut numbers = Vec::new();
        for _ in 0..intervals {
            for _ in 0..SAMPLES {
                let wanted = autoscale.observe(load(processors), processors);
                processors = wanted.unwrap_or(processors);
            }
            numbers.push(processors);
        }
        numbers
    }

    /// Work for this number of processors at once.
    fn work_for(needed: usize) -> impl Fn(usize) -> Load {
        move |processors| Load {
            is_waiting: needed > processors,
            idle: processors.saturating_sub(needed),
        }
    }

    #[test]
    fn it_grows_by_half_while_messages_wait_up_to_the_maximum() {
        let mut autoscale = Autoscale::new(1, 20);
        let numbers = run(&mut autoscale, 1, 9, |_| BUSY);
        assert_eq!(numbers, [2, 3, 4, 6, 9, 13, 19, 20, 20]);
    }

    #[test]
    fn it_shrinks_slowly_to_the_minimum() {
        let mut autoscale = Autoscale::new(3, 20);
        let numbers = run(&mut autoscale, 8, CALM_INTERVALS * 4, work_for(0));
        let at = |interval: u32| numbers[(interval * CALM_INTERVALS) as usize - 1];
        assert_eq!((numbers[0], at(1), at(2), at(3), at(4)), (8, 6, 5, 4, 3));
    }

    #[test]
    fn a_short_burst_changes_nothing() {
        let mut autoscale = Autoscale::new(1, 20);
        for sample in 0..1_000 {
            let load = Load {
                is_waiting: sample % 3 == 0,
                idle: 0,
            };
            assert_eq!(autoscale.observe(load, 4), None);
        }
    }

    #[test]
    fn a_number_outside_of_the_limits_is_moved_into_them() {
        let mut autoscale = Autoscale::new(5, 10);
        assert_eq!(run(&mut autoscale, 2, 1, work_for(1)), [5]);
        assert_eq!(run(&mut autoscale, 40, 1, work_for(40)), [10]);
    }

    #[test]
    fn each_steady_load_reaches_one_number_and_stays_there() {
        for needed in 0..200 {
            for first in [1, 2, 3, 7, 50, 128] {
                let mut autoscale = Autoscale::new(1, 128);
                let numbers = run(&mut autoscale, first, 700, work_for(needed));
                let last = numbers[numbers.len() - 1];
                assert!(
                    numbers[400..].iter().all(|number| *number == last),
                    "{needed} from {first}: {:?}",
                    &numbers[400..]
                );
                assert!(last >= needed.min(128), "enough for {needed}: {last}");
                assert!(
                    last <= (2 * needed).max(1),
                    "not too many for {needed}: {last}"
                );
            }
        }
    }
}
