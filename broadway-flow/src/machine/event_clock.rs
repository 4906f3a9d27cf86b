//! [`EventClock`]: makes watermarks out of event times, for a source whose inputs (partitions, files) each deliver almost in order.
//!
//! The caller reads the processing time once for each chunk of events, not for each event: see [`EventClock::begin_chunk`].

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::Timestamp;

/// Watermarks from event times: the highest time of each input minus the allowed disorder, and of these the smallest. It never goes back.
///
/// An event exactly at the watermark may still arrive; an event before it is late.
#[derive(Debug, Clone)]
pub(crate) struct EventClock {
    disorder: i64,
    idle_after: Option<i64>,
    now: i64,
    inputs: Vec<Input>,
    places: HashMap<u64, usize, RandomState>,
    /// The input of the last event: an index, out of range if there is none.
    last: usize,
    current: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Input {
    id: u64,
    highest: Timestamp,
    /// The processing time of the last event.
    seen: i64,
}

impl EventClock {
    /// Creates a clock that expects events to be up to `disorder` milliseconds late, and leaves out inputs without an event for
    /// `idle_after` milliseconds of processing time. Without `idle_after`, no input becomes idle.
    pub(crate) fn new(disorder: i64, idle_after: Option<i64>) -> Self {
        Self {
            disorder: disorder.max(0),
            idle_after,
            now: i64::MIN,
            inputs: Vec::new(),
            places: HashMap::default(),
            last: usize::MAX,
            current: Timestamp::MIN,
        }
    }

    /// Sets the processing time of the events that follow. Call it once before the events of a chunk, and before [`assign`](Self::assign).
    pub(crate) fn begin_chunk(&mut self, now: i64) {
        self.now = self.now.max(now);
    }

    /// Counts an event. An input unknown so far is added.
    #[inline]
    pub(crate) fn observe(&mut self, input: u64, time: Timestamp) {
        match self.inputs.get_mut(self.last) {
            Some(last) if last.id == input => {
                last.highest = last.highest.max(time);
                last.seen = self.now;
            }
            _ => self.observe_other(input, time),
        }
    }

    /// Returns the watermark if it advanced: the minimum over the inputs that are active at `now`. Call it after each chunk, and when time
    /// passes.
    pub(crate) fn watermark(&mut self, now: i64) -> Option<Timestamp> {
        let least = self.active(now).map(|input| input.highest).min()?;
        let watermark = least.plus(self.disorder.saturating_neg());
        (watermark > self.current).then(|| {
            self.current = watermark;
            watermark
        })
    }

    /// Starts at this watermark: earlier ones are not returned.
    pub(crate) fn resume(&mut self, at: Timestamp) {
        self.current = self.current.max(at);
    }

    /// Returns the last watermark, if there was one.
    pub(crate) fn current(&self) -> Option<Timestamp> {
        (self.current > Timestamp::MIN).then_some(self.current)
    }

    /// Whether no input is active. A clock without inputs is idle, too: [assign](Self::assign) the inputs to wait for.
    pub(crate) fn is_idle(&self, now: i64) -> bool {
        self.active(now).next().is_none()
    }

    /// Adds an input before its first event. It holds the watermark back until it has an event, or is idle.
    pub(crate) fn assign(&mut self, input: u64) {
        let fresh = Input {
            id: input,
            highest: Timestamp::MIN,
            seen: self.now,
        };
        self.place(fresh);
    }

    /// Returns the highest time of each input, to be saved with the [watermark](Self::current).
    pub(crate) fn inputs(&self) -> Vec<(u64, Timestamp)> {
        let inputs = self.inputs.iter();
        inputs.map(|input| (input.id, input.highest)).collect()
    }

    /// Restores an input. It holds the watermark back from now on, as one that had an event just now.
    pub(crate) fn restore(&mut self, input: u64, highest: Timestamp) {
        self.observe_other(input, highest);
    }

    fn active(&self, now: i64) -> impl Iterator<Item = &Input> {
        self.inputs.iter().filter(move |input| {
            let quiet = now.saturating_sub(input.seen);
            self.idle_after.is_none_or(|after| quiet < after)
        })
    }

    #[cold]
    fn observe_other(&mut self, input: u64, time: Timestamp) {
        let place = self.place(Input {
            id: input,
            highest: time,
            seen: self.now,
        });
        let input = &mut self.inputs[place];
        input.highest = input.highest.max(time);
        input.seen = self.now;
        self.last = place;
    }

    /// The place of an input; `fresh` is added if it is new.
    fn place(&mut self, fresh: Input) -> usize {
        *self.places.entry(fresh.id).or_insert_with(|| {
            self.inputs.push(fresh);
            self.inputs.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_watermark_stays_behind_the_highest_time_by_the_disorder() {
        let mut clock = EventClock::new(5, None);
        clock.begin_chunk(0);
        clock.observe(1, at(100));
        clock.observe(1, at(90));
        assert_eq!(clock.watermark(0), Some(at(95)));
        assert_eq!(clock.watermark(0), None, "it has not advanced");
        clock.observe(1, at(101));
        assert_eq!(clock.watermark(0), Some(at(96)));
    }

    #[test]
    fn the_slowest_input_decides_until_it_is_idle() {
        let mut clock = EventClock::new(0, Some(1000));
        clock.begin_chunk(0);
        clock.observe(1, at(10));
        clock.observe(2, at(50));
        assert_eq!(clock.watermark(0), Some(at(10)));
        clock.begin_chunk(500);
        clock.observe(2, at(60));
        assert_eq!(clock.watermark(999), None);
        assert_eq!(clock.watermark(1000), Some(at(60)));
        assert!(!clock.is_idle(1499));
        assert!(clock.is_idle(1500));
        assert_eq!(clock.watermark(1500), None);
        clock.begin_chunk(1600);
        clock.observe(1, at(20));
        assert_eq!(clock.watermark(1600), None, "it does not go back");
        assert!(!clock.is_idle(1600));
    }

    #[test]
    fn an_assigned_input_is_waited_for_until_it_is_idle() {
        let mut clock = EventClock::new(0, Some(100));
        assert!(clock.is_idle(0));
        clock.begin_chunk(0);
        clock.assign(7);
        assert!(!clock.is_idle(50));
        clock.begin_chunk(50);
        clock.observe(1, at(10));
        assert_eq!(clock.watermark(50), None);
        assert_eq!(clock.watermark(100), Some(at(10)));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// Time passes, and a chunk begins.
        Chunk(i64),
        Observe(u64, i64),
        /// Time passes, and the watermark is read.
        Watermark(i64),
        Assign(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..60i64).prop_map(Step::Chunk),
            8 => (0..4u64, -100..100i64).prop_map(|(input, time)| Step::Observe(input, time)),
            4 => (0..60i64).prop_map(Step::Watermark),
            1 => (0..4u64).prop_map(Step::Assign),
        ]
    }

    /// The highest time and the last processing time of an input, if it is present: from the whole history of `(chunk time, step)`.
    fn input(n: u64, history: &[(i64, Step)]) -> Option<(Timestamp, i64)> {
        let mut present = None;
        for (now, step) in history {
            match *step {
                Step::Observe(input, time) if input == n => {
                    let (highest, _) = present.unwrap_or((Timestamp::MIN, 0));
                    present = Some((highest.max(at(time)), *now));
                }
                Step::Assign(input) if input == n && present.is_none() => {
                    present = Some((Timestamp::MIN, *now));
                }
                _ => {}
            }
        }
        present
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn watermarks_match_a_recomputation_from_the_history(
            disorder in 0..20i64,
            idle_after in proptest::option::of(1..100i64),
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let mut clock = EventClock::new(disorder, idle_after);
            let (mut now, mut chunk) = (0, 0);
            clock.begin_chunk(0);
            let mut history = Vec::new();
            let mut highest = Timestamp::MIN;
            for step in steps {
                match step {
                    Step::Chunk(later) => {
                        now += later;
                        chunk = now;
                        clock.begin_chunk(now);
                    }
                    Step::Observe(n, time) => clock.observe(n, at(time)),
                    Step::Assign(n) => clock.assign(n),
                    Step::Watermark(later) => {
                        now += later;
                        let active: Vec<Timestamp> = (0..4)
                            .filter_map(|n| input(n, &history))
                            .filter(|(_, seen)| idle_after.is_none_or(|after| now - seen < after))
                            .map(|(highest, _)| highest.plus(-disorder))
                            .collect();
                        prop_assert_eq!(clock.is_idle(now), active.is_empty());
                        let least = active.into_iter().min();
                        let expected = least.filter(|least| *least > highest);
                        highest = highest.max(expected.unwrap_or(highest));
                        prop_assert_eq!(clock.watermark(now), expected);
                    }
                }
                history.push((chunk, step));
            }
        }
    }
}
