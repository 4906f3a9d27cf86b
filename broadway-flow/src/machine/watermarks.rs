//! [`Watermarks`]: the watermark of a worker, combined from its inputs.
//!
//! A worker may only pass on the smallest watermark of its inputs, because any of them may still deliver events of that time. An input that
//! is idle or has ended would hold the others back without need, so it is left out.

use crate::Timestamp;

/// The watermark of a worker: the minimum over its inputs, idle and ended ones left out. It never goes back.
#[derive(Debug, Clone)]
pub(crate) struct Watermarks {
    inputs: Vec<Input>,
    current: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Input {
    watermark: Timestamp,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    Idle,
    Ended,
}

impl Watermarks {
    /// Creates the watermark of a worker with `inputs` active inputs, numbered from 0.
    pub(crate) fn new(inputs: usize) -> Self {
        Self {
            inputs: vec![Input::NEW; inputs],
            current: Timestamp::MIN,
        }
    }

    /// Adds an active input without a watermark, and returns its number.
    pub(crate) fn add_input(&mut self) -> usize {
        self.inputs.push(Input::NEW);
        self.inputs.len() - 1
    }

    /// Advances the watermark of an input, which becomes active. Returns the combined watermark if it advanced, too.
    ///
    /// # Panics
    ///
    /// Panics if the input has ended, like [`active`](Self::active) and [`idle`](Self::idle).
    pub(crate) fn advance(&mut self, input: usize, to: Timestamp) -> Option<Timestamp> {
        let input = self.live(input);
        input.state = State::Active;
        input.watermark = input.watermark.max(to);
        self.combine()
    }

    /// Makes an input active: it has delivered events. An older watermark of it does not pull the combined one back. Returns the combined
    /// watermark if it advanced: no other input is active, and the combined watermark has stayed behind the one of this input.
    pub(crate) fn active(&mut self, input: usize) -> Option<Timestamp> {
        let input = self.live(input);
        if input.state == State::Active {
            return None;
        }
        input.state = State::Active;
        self.combine()
    }

    /// Leaves an input out until it is active again. Returns the combined watermark if it advanced.
    pub(crate) fn idle(&mut self, input: usize) -> Option<Timestamp> {
        self.live(input).state = State::Idle;
        self.combine()
    }

    /// Leaves an input out from now on. Returns the combined watermark if it advanced: [`Timestamp::MAX`] after the last input.
    pub(crate) fn end(&mut self, input: usize) -> Option<Timestamp> {
        self.inputs[input].state = State::Ended;
        self.combine()
    }

    /// Returns the combined watermark.
    #[cfg(test)]
    pub(crate) const fn current(&self) -> Timestamp {
        self.current
    }

    /// Whether no input is active, and not all have ended.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_ended() && self.inputs.iter().all(|input| input.state != State::Active)
    }

    /// Whether there are inputs, and all have ended.
    pub(crate) fn is_ended(&self) -> bool {
        !self.inputs.is_empty() && self.inputs.iter().all(|input| input.state == State::Ended)
    }

    fn live(&mut self, input: usize) -> &mut Input {
        let input = &mut self.inputs[input];
        assert!(input.state != State::Ended, "the input has ended");
        input
    }

    fn combine(&mut self) -> Option<Timestamp> {
        let active = self
            .inputs
            .iter()
            .filter(|input| input.state == State::Active);
        let combined = match active.map(|input| input.watermark).min() {
            Some(least) => least,
            None if self.is_ended() => Timestamp::MAX,
            None => return None,
        };
        (combined > self.current).then(|| {
            self.current = combined;
            combined
        })
    }
}

impl Input {
    const NEW: Self = Self {
        watermark: Timestamp::MIN,
        state: State::Active,
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_slowest_input_decides() {
        let mut marks = Watermarks::new(2);
        assert_eq!(marks.advance(0, at(10)), None);
        assert_eq!(marks.advance(1, at(5)), Some(at(5)));
        assert_eq!(marks.advance(1, at(20)), Some(at(10)));
        assert_eq!(marks.current(), at(10));
    }

    #[test]
    fn the_watermark_of_an_input_never_goes_back() {
        let mut marks = Watermarks::new(2);
        marks.advance(0, at(10));
        marks.advance(0, at(3));
        assert_eq!(marks.advance(1, at(20)), Some(at(10)));
    }

    #[test]
    fn an_idle_input_is_left_out_until_it_is_active() {
        let mut marks = Watermarks::new(2);
        marks.advance(0, at(10));
        assert_eq!(marks.idle(1), Some(at(10)));
        assert_eq!(marks.active(1), None);
        assert_eq!(marks.advance(0, at(30)), None, "the input holds it back");
        assert_eq!(marks.advance(1, at(5)), None, "it is not pulled back");
        assert_eq!(marks.current(), at(10));
        assert_eq!(marks.advance(1, at(20)), Some(at(20)));
    }

    #[test]
    fn the_watermark_stays_if_all_inputs_are_idle_or_ended() {
        let mut marks = Watermarks::new(2);
        marks.advance(0, at(10));
        marks.advance(1, at(5));
        assert_eq!(marks.idle(1), Some(at(10)));
        assert_eq!(marks.end(0), None);
        assert_eq!(marks.current(), at(10));
        assert!(!marks.is_ended());
        assert_eq!(marks.end(1), Some(Timestamp::MAX));
        assert!(marks.is_ended());
    }

    #[test]
    fn the_last_active_input_may_advance_the_watermark_when_it_wakes() {
        let mut marks = Watermarks::new(2);
        marks.advance(0, at(10));
        marks.idle(0);
        assert_eq!(marks.end(1), None, "no input is active");
        assert_eq!(marks.active(0), Some(at(10)));
    }

    #[test]
    fn a_new_input_holds_the_watermark_back() {
        let mut marks = Watermarks::new(1);
        marks.advance(0, at(10));
        assert_eq!(marks.add_input(), 1);
        assert_eq!(marks.advance(0, at(20)), None);
        assert_eq!(marks.advance(1, at(15)), Some(at(15)));
    }

    #[test]
    fn a_worker_without_inputs_has_not_ended() {
        assert!(!Watermarks::new(0).is_ended());
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Advance(usize, i64),
        Active(usize),
        Idle(usize),
        End(usize),
        Add,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..5usize, -50..50i64).prop_map(|(input, to)| Step::Advance(input, to)),
            1 => (0..5usize).prop_map(Step::Active),
            2 => (0..5usize).prop_map(Step::Idle),
            1 => (0..5usize).prop_map(Step::End),
            1 => Just(Step::Add),
        ]
    }

    /// The minimum at one point of the history: each input recomputed from all steps up to there.
    fn minimum(inputs: usize, history: &[Step]) -> Option<Timestamp> {
        let added = history
            .iter()
            .filter(|step| matches!(step, Step::Add))
            .count();
        let mut active = Vec::new();
        let mut ended = 0;
        for n in 0..inputs + added {
            let mut highest = Timestamp::MIN;
            let (mut is_idle, mut is_ended) = (false, false);
            for step in history {
                match *step {
                    Step::Advance(input, to) if input == n => {
                        highest = highest.max(at(to));
                        is_idle = false;
                    }
                    Step::Active(input) if input == n => is_idle = false,
                    Step::Idle(input) if input == n => is_idle = true,
                    Step::End(input) if input == n => is_ended = true,
                    _ => {}
                }
            }
            if is_ended {
                ended += 1;
            } else if !is_idle {
                active.push(highest);
            }
        }
        if inputs + added > 0 && ended == inputs + added {
            return Some(Timestamp::MAX);
        }
        active.into_iter().min()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_watermark_equals_the_highest_minimum_of_the_history(
            inputs in 0..4usize,
            steps in proptest::collection::vec(step(), 0..40),
        ) {
            let mut marks = Watermarks::new(inputs);
            let mut history = Vec::new();
            let mut count = inputs;
            let mut ended = std::collections::HashSet::new();
            for step in steps {
                let before = marks.current();
                let returned = match step {
                    Step::Add => {
                        prop_assert_eq!(marks.add_input(), count);
                        count += 1;
                        None
                    }
                    Step::Advance(n, _) | Step::Active(n) | Step::Idle(n) | Step::End(n)
                        if n >= count || ended.contains(&n) => continue,
                    Step::Advance(n, to) => marks.advance(n, at(to)),
                    Step::Active(n) => marks.active(n),
                    Step::Idle(n) => marks.idle(n),
                    Step::End(n) => {
                        ended.insert(n);
                        marks.end(n)
                    }
                };
                history.push(step);
                let expected = (0..=history.len())
                    .filter_map(|n| minimum(inputs, &history[..n]))
                    .max()
                    .unwrap_or(Timestamp::MIN);
                prop_assert_eq!(marks.current(), expected);
                prop_assert_eq!(returned, (expected > before).then_some(expected));
                prop_assert_eq!(marks.is_ended(), count > 0 && ended.len() == count);
            }
        }
    }
}
