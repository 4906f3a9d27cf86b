//! [`Disorder`]: events as they arrive over a network, out of order by a bounded time.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::Event;
use crate::random::Random;

/// Delays each event by less than the bound, and returns them in the order of their arrival.
///
/// So an event may come after events that are later, but by less than the bound.
pub(crate) struct Disorder<I> {
    events: I,
    bound: u64,
    random: Random,
    /// The time of the last event that was taken: events to come arrive at this time or later.
    latest: i64,
    taken: u64,
    delayed: BinaryHeap<Reverse<Delayed>>,
}

impl<I: Iterator<Item = Event>> Disorder<I> {
    /// Events are in the order of their times. A bound of 0 keeps it.
    pub(crate) fn new(events: I, bound: u64, seed: u64) -> Self {
        Self {
            events,
            bound,
            // Another sequence than the one that made the events.
            random: Random::new(!seed),
            latest: i64::MIN,
            taken: 0,
            delayed: BinaryHeap::new(),
        }
    }

    fn arrived(&self) -> bool {
        let first = self.delayed.peek();
        first.is_some_and(|Reverse(first)| first.arrival < self.latest)
    }
}

impl<I: Iterator<Item = Event>> Iterator for Disorder<I> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.bound == 0 {
            return self.events.next();
        }
        while !self.arrived() {
            let Some(event) = self.events.next() else {
                break;
            };
            self.latest = event.at();
            self.taken += 1;
            self.delayed.push(Reverse(Delayed {
                arrival: event.at() + self.random.below(self.bound) as i64,
                number: self.taken,
                event,
            }));
        }
        self.delayed.pop().map(|Reverse(delayed)| delayed.event)
    }
}

/// An event, ordered by its arrival. Of two that arrive at once the one that happened first comes first.
struct Delayed {
    arrival: i64,
    number: u64,
    event: Event,
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrival, self.number).cmp(&(other.arrival, other.number))
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Delayed {}

#[cfg(test)]
mod tests {
    use crate::nexmark::{Event, Nexmark};

    fn stream(disorder: u64) -> Vec<Event> {
        let options = Nexmark {
            events: 100_000,
            disorder,
            ..Nexmark::default()
        };
        options.stream().collect()
    }

    /// By how much an event comes after a later one, at most.
    fn worst(events: &[Event]) -> i64 {
        let mut latest = i64::MIN;
        let late = events.iter().map(|event| {
            latest = latest.max(event.at());
            latest - event.at()
        });
        late.max().unwrap()
    }

    #[test]
    fn events_are_late_by_less_than_the_bound_but_by_almost_as_much() {
        for bound in [1, 2, 50, 2_000] {
            let worst = worst(&stream(bound));
            assert!(worst < bound as i64, "{worst} of {bound}");
            assert!(worst >= bound as i64 * 9 / 10 - 1, "{worst} of {bound}");
        }
    }

    #[test]
    fn without_disorder_times_never_decrease() {
        assert_eq!(worst(&stream(0)), 0);
    }

    #[test]
    fn disorder_neither_loses_nor_changes_events() {
        let mut disordered = stream(2_000);
        let ordered = stream(0);
        assert!(disordered != ordered);
        let key = |event: &Event| (event.at(), format!("{event:?}"));
        disordered.sort_by_cached_key(key);
        let mut ordered = ordered;
        ordered.sort_by_cached_key(key);
        assert!(disordered == ordered);
    }
}
