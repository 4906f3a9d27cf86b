//! [`SourceBound`]: how many messages wait for the processors, by the number of processors.

use super::super::config::Processors;
use crate::machine::link_bound::LinkBound;

/// What the bound of the link to the processors depends on, beside their number.
#[derive(Clone, Copy)]
pub(super) struct SourceBound {
    max_demand: usize,
    min_demand: usize,
    producers: usize,
}

impl SourceBound {
    pub(super) fn new<T>(processors: &Processors<T>, producers: usize) -> Self {
        let max_demand = processors.max_demand;
        Self {
            max_demand,
            min_demand: processors.min_demand.unwrap_or(max_demand / 2),
            producers,
        }
    }

    /// Returns how many messages may be requested from the producers or wait for the processors: what each processor may take, and at
    /// least `max_demand` for each producer.
    pub(super) fn of(self, processors: usize) -> LinkBound {
        let Self {
            max_demand,
            min_demand,
            producers,
        } = self;
        let max = processors.max(producers) * max_demand;
        // Requested at once: what one producer's share leaves above its minimum. Producers that are asked and have nothing keep up to
        // `max_demand` each, so with a larger step the last one would not be asked again.
        let share = max.div_ceil(producers);
        let step = share - share * min_demand / max_demand;
        LinkBound::new(max, max - step).expect("checked by validate")
    }

    /// Returns how many messages may wait for others of their key before processors poll no producer.
    pub(super) fn buffered_max(self, processors: usize) -> usize {
        processors * self.max_demand
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bound's `max` and `min`.
    fn bound(processors: &Processors<u64>, producers: usize) -> (usize, usize) {
        let bound = SourceBound::new(processors, producers).of(processors.concurrency);
        (bound.max(), bound.min())
    }

    #[test]
    fn the_last_producer_is_asked_while_the_others_hold_what_they_were_asked_for() {
        let processors = Processors::new(2).max_demand(100);
        assert_eq!(bound(&processors, 1), (200, 100));
        for producers in [2, 5, 64] {
            let (max, min) = bound(&processors, producers);
            assert_eq!(max, producers * 100);
            assert!(min >= (producers - 1) * 100, "{producers}: {min}");
        }
    }

    #[test]
    fn a_lower_minimum_asks_later() {
        let processors = Processors::new(1).max_demand(100).min_demand(0);
        assert_eq!(bound(&processors, 1), (100, 0));
        // Not below what the other producer may hold.
        assert_eq!(bound(&processors, 2), (200, 100));
    }
}
