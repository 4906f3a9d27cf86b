//! [`Barriers`]: aligns the barriers of the inputs of a worker, so that its state at a barrier is made of exactly the events before it.
//!
//! An input that has delivered the barrier before the others is blocked: its later events belong to the next epoch, and wait until the
//! barrier is complete.

use crate::epoch::Epoch;

/// The barrier that the inputs of a worker are delivering.
///
/// All inputs deliver the same epochs in the same, increasing order; an input that is added takes part from the pending barrier on.
#[derive(Debug, Clone)]
pub(crate) struct Barriers {
    inputs: Vec<Input>,
    pending: Option<Epoch>,
    completed: Option<Epoch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Has not delivered the pending barrier.
    Open,
    /// Has delivered the pending barrier.
    Blocked,
    Ended,
}

impl Barriers {
    /// Creates the barriers of a worker with `inputs` inputs, numbered from 0.
    pub(crate) fn new(inputs: usize) -> Self {
        Self {
            inputs: vec![Input::Open; inputs],
            pending: None,
            completed: None,
        }
    }

    /// Adds an input and returns its number. A pending barrier waits for it, too.
    pub(crate) fn add_input(&mut self) -> usize {
        self.inputs.push(Input::Open);
        self.inputs.len() - 1
    }

    /// Takes the barrier at the end of `epoch` from an input. Returns the epoch once every input that has not ended has delivered it.
    ///
    /// # Panics
    ///
    /// Panics if the input has ended or is blocked, if the epoch is not beyond the last complete one, or if another epoch is pending.
    pub(crate) fn barrier(&mut self, input: usize, epoch: Epoch) -> Option<Epoch> {
        let state = &mut self.inputs[input];
        assert!(*state != Input::Ended, "the input has ended");
        assert!(*state != Input::Blocked, "a blocked input delivers nothing");
        assert!(self.completed < Some(epoch), "epochs increase");
        let pending = *self.pending.get_or_insert(epoch);
        assert!(pending == epoch, "all inputs deliver the same epochs");
        *state = Input::Blocked;
        self.complete()
    }

    /// Leaves an input out from now on. Returns the pending epoch if the input was the last one that it waited for.
    pub(crate) fn end(&mut self, input: usize) -> Option<Epoch> {
        self.inputs[input] = Input::Ended;
        self.complete()
    }

    /// Whether the events of an input must wait: it has delivered the pending barrier before the others.
    pub(crate) fn is_blocked(&self, input: usize) -> bool {
        self.inputs[input] == Input::Blocked
    }

    fn complete(&mut self) -> Option<Epoch> {
        if self.inputs.contains(&Input::Open) {
            return None;
        }
        let completed = self.pending.take()?;
        self.completed = Some(completed);
        for input in &mut self.inputs {
            if *input == Input::Blocked {
                *input = Input::Open;
            }
        }
        Some(completed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_barrier_is_complete_once_every_input_has_delivered_it() {
        let mut barriers = Barriers::new(2);
        assert_eq!(barriers.barrier(0, Epoch(1)), None);
        assert!(barriers.is_blocked(0) && !barriers.is_blocked(1));
        assert_eq!(barriers.barrier(1, Epoch(1)), Some(Epoch(1)));
        assert!(!barriers.is_blocked(0) && !barriers.is_blocked(1));
    }

    #[test]
    fn a_single_input_is_never_blocked() {
        let mut barriers = Barriers::new(1);
        assert_eq!(barriers.barrier(0, Epoch(1)), Some(Epoch(1)));
        assert!(!barriers.is_blocked(0));
        assert_eq!(barriers.barrier(0, Epoch(2)), Some(Epoch(2)));
    }

    #[test]
    fn the_end_of_an_input_completes_the_pending_barrier() {
        let mut barriers = Barriers::new(3);
        assert_eq!(barriers.end(2), None);
        barriers.barrier(0, Epoch(1));
        assert_eq!(barriers.end(1), Some(Epoch(1)));
        assert_eq!(barriers.end(0), None, "no barrier is pending");
    }

    #[test]
    fn a_barrier_of_an_input_that_ended_afterwards_still_counts() {
        let mut barriers = Barriers::new(2);
        barriers.barrier(0, Epoch(1));
        assert_eq!(barriers.end(0), None);
        assert!(!barriers.is_blocked(0));
        assert_eq!(barriers.end(1), Some(Epoch(1)));
    }

    #[test]
    fn a_new_input_takes_part_in_the_pending_barrier() {
        let mut barriers = Barriers::new(2);
        barriers.barrier(0, Epoch(1));
        let added = barriers.add_input();
        assert_eq!(barriers.barrier(1, Epoch(1)), None);
        assert_eq!(barriers.barrier(added, Epoch(1)), Some(Epoch(1)));
    }

    #[test]
    #[should_panic = "a blocked input delivers nothing"]
    fn a_second_barrier_before_the_first_is_complete_panics() {
        let mut barriers = Barriers::new(2);
        barriers.barrier(0, Epoch(1));
        barriers.barrier(0, Epoch(2));
    }

    #[test]
    #[should_panic = "epochs increase"]
    fn an_epoch_that_is_complete_panics() {
        let mut barriers = Barriers::new(1);
        barriers.barrier(0, Epoch(1));
        barriers.barrier(0, Epoch(1));
    }

    #[test]
    #[should_panic = "all inputs deliver the same epochs"]
    fn another_epoch_than_the_pending_one_panics() {
        let mut barriers = Barriers::new(2);
        barriers.barrier(0, Epoch(1));
        barriers.barrier(1, Epoch(2));
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Message {
        Event(u64),
        Barrier(u64),
        End,
    }

    /// An input: some events per epoch, barriers between them, and perhaps an early end.
    fn input() -> impl Strategy<Value = VecDeque<Message>> {
        let events = proptest::collection::vec(0..4usize, 6);
        (events, proptest::option::weighted(0.4, 0..15usize)).prop_map(|(events, end)| {
            let mut messages = VecDeque::new();
            for (epoch, n) in (0..).zip(events) {
                messages.extend(std::iter::repeat_n(Message::Event(epoch), n));
                messages.push_back(Message::Barrier(epoch));
            }
            messages.truncate(end.unwrap_or(usize::MAX));
            messages.push_back(Message::End);
            messages
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn exactly_the_events_before_a_barrier_are_processed_when_it_is_complete(
            inputs in proptest::collection::vec(input(), 1..5),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut left = inputs.clone();
            let mut barriers = Barriers::new(inputs.len());
            let mut processed = vec![Vec::new(); inputs.len()];
            let mut completed = Vec::new();
            for choice in order {
                let ready: Vec<usize> = (0..inputs.len())
                    .filter(|n| !left[*n].is_empty() && !barriers.is_blocked(*n))
                    .collect();
                if ready.is_empty() {
                    break;
                }
                let n = *choice.get(&ready);
                let complete = match left[n].pop_front().expect("the input is ready") {
                    Message::Event(epoch) => {
                        processed[n].push(epoch);
                        None
                    }
                    Message::Barrier(epoch) => barriers.barrier(n, Epoch(epoch)),
                    Message::End => barriers.end(n),
                };
                if let Some(Epoch(complete)) = complete {
                    completed.push(complete);
                    for (processed, all) in processed.iter().zip(&inputs) {
                        let before: Vec<u64> = all.iter()
                            .filter_map(|message| match message {
                                Message::Event(epoch) if *epoch <= complete => Some(*epoch),
                                _ => None,
                            })
                            .collect();
                        prop_assert_eq!(processed, &before);
                    }
                }
            }
            prop_assert!(left.iter().all(VecDeque::is_empty), "no input stays blocked");
            let delivered: std::collections::BTreeSet<u64> = inputs.iter().flatten()
                .filter_map(|message| match message {
                    Message::Barrier(epoch) => Some(*epoch),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(completed, delivered.into_iter().collect::<Vec<_>>());
        }
    }
}
